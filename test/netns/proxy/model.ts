/**
 * The packet-walk model against the kernel: the same random Services in both, and flows from everywhere to everything.
 * Run by model.test.ts, and by bench/l4-model.bench.ts for longer, inside namespaces of its own, never directly.
 *
 *   node model.ts SERIES SEED [EXACT_MAX]
 *
 *   anyService ─▶ edits ─┬▶ proxy on nft ─▶ real connections
 *                        └▶ proxy on FakeNft ─▶ walks, whose endpoints and refusals those must be
 *
 * After each series the table is listed, and compared with that of a proxy that starts anew.
 */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { after, test } from "node:test";
import * as fc from "fast-check";
import type { ServiceResource, ServiceResourceEndpoint } from "#api/wire/service.ts";
import { type Clock, realClock as clock } from "#lib/clock.ts";
import { errnoOf } from "#lib/errors.ts";
import { silentLogger } from "#lib/log.ts";
import { systemRandom as random } from "#lib/random.ts";
import { type Exec, systemExec } from "../../../proxy/l4/exec.ts";
import { anyService, named } from "../../../proxy/l4/fixture.ts";
import { FakeNft } from "../../../proxy/l4/nft/fake.ts";
import { createNodeProxy, type NodeProxy } from "../../../proxy/state.ts";
import { callTCP, serveTCP } from "./endpoints.ts";
import { createNetwork, type Place } from "./network.ts";

/** Services whose chains are their own; without any, all that can be are plain. */
const [series = "100", seed = "1", exactMax = "1000"] = process.argv.slice(2);
/** What is not answered by then was dropped, in ms; what shall be answered has longer, whatever else the machine does. */
const droppedMs = 300;
/** The clock of the proxies goes so much faster than ours, and by it they have swept after so many ms. */
const speed = 25;
const sweptMs = 1500;
const fastClock: Clock = {
  ...clock,
  monotonicMs: () => clock.monotonicMs() * speed,
  after: (delayMs, callback) => clock.after(delayMs / speed, callback),
  sleep: (delayMs, signal) => clock.sleep(delayMs / speed, signal),
};
const { node, pods, remote } = createNetwork();
// The way to the load balancers' addresses; where there is none, packets do not get as far as the rules that reject.
execFileSync("sh", [
  "-e",
  "-c",
  `ip link add out type veth peer name nowhere
  ip link set out up arp off
  ip link set nowhere up
  echo 0 >/proc/sys/net/ipv4/conf/nowhere/forwarding
  ip route add 192.0.2.0/24 dev out`,
]);
const fake = new FakeNft();
fake.localAddresses = [node.address];
const system = systemExec(clock);
let lastRun: Promise<unknown> = Promise.resolve();
const recorded: Exec = (...call) => {
  const result = system(...call);
  lastRun = result;
  return result;
};
const start = (exec: Exec, services: readonly ServiceResource[] = []): NodeProxy => {
  const facts = { nodeName: "n1", zone: "a", nodeIPs: [node.address], exactMax: Number(exactMax) };
  const proxy = createNodeProxy({ exec, clock: fastClock, random, log: silentLogger, facts, healthHost: "127.0.0.1" });
  proxy.apply(named(...services), []);
  proxy.markSynced();
  return proxy;
};
const known = new Map<string, ServiceResource>();
let real = start(recorded);
const modelled = start(fake.exec);
const closers: (() => void)[] = [];
for (const place of [...pods, remote]) closers.push(await serveTCP(place, 8080));
after(() => {
  for (const proxy of [real, modelled]) proxy.close();
  for (const close of closers) close();
});

/** Endpoints of the fixture, on the pods that there are. */
function place(endpoint: ServiceResourceEndpoint, at: number): ServiceResourceEndpoint {
  const pod = [...pods, remote][at] ?? remote;
  return { ...endpoint, address: pod.address, ports: { http: 8080 }, nodeName: pod === remote ? "n2" : "n1" };
}

const edits = fc.array(
  anyService.map((service): ServiceResource => ({
    ...service,
    ports: service.ports.map((port) => ({ ...port, protocol: "TCP" })),
    endpoints: service.endpoints.map(place),
    // What a source had last differs between the two.
    affinitySeconds: 0,
  })),
  { minLength: 1, maxLength: 4 },
);
const targets = [1, 2, 3].flatMap((index) => [
  { address: `10.96.1.${index}`, port: 80 },
  { address: `10.96.1.${index}`, port: 81 },
  { address: `192.0.2.${index}`, port: 80 },
  { address: node.address, port: 30_000 + index },
]);

/**
 * What the kernel holds: the lines of the table without order, and slots without their numbers. A slot's number is
 * where an endpoint came, and nothing else.
 */
function listTable(): readonly string[] {
  const text = execFileSync("nft", ["list", "table", "ip", "wherry-proxy"], { encoding: "utf8" });
  const [open = "", ...chains] = text.split(/^\t(?=chain )/m);
  // Elements go over several lines, and are told apart by commas.
  const elements = open.split(/,\s*|\{|\}|\n/).map((each) => each.trim().replace(/ \. [0-9]+ : (?=[0-9])/, " : "));
  const rules = chains.map((chain) => chain.replaceAll(/[\s}]+$/g, ""));
  return [...elements.filter((each) => each !== ""), ...rules].sort();
}

type Target = (typeof targets)[number];

/** The endpoints that the model sends such packets to, or what it does instead. */
function expected({ address: source }: Place, { address, port }: Target): ReadonlySet<string> {
  const seen = new Set<string>();
  for (let n = 0; n < 8; n++) {
    const verdict = fake.walk({ protocol: "tcp", source, destination: address, port });
    seen.add(verdict.kind === "dnat" ? (/^[0-9.]+/.exec(verdict.to)?.[0] ?? "") : verdict.kind);
  }
  return seen;
}

async function observed(from: Place, to: Target, wanted: ReadonlySet<string>): Promise<string> {
  const mayBeDropped = wanted.has("drop") || wanted.has("accept");
  try {
    return (await (mayBeDropped ? callTCP(from, to, droppedMs) : callTCP(from, to))).by;
  } catch (error) {
    return errnoOf(error) === "ECONNREFUSED" ? "reject" : "drop";
  }
}

test("connections go where the model sends them", async () => {
  let runs = 0;
  const property = fc.asyncProperty(edits, async (services) => {
    // A port that a caller used for what nobody answered is used again, and conntrack takes the one for the other.
    spawnSync("conntrack", ["-F"]);
    for (const service of services) known.set(service.name, service);
    for (const proxy of [real, modelled]) {
      for (const service of services) proxy.apply(named(service), []);
      await proxy.programmed();
    }
    const flows = [pods[0] ?? node, pods[1] ?? node, node].flatMap((from) => targets.map((to) => ({ from, to })));
    await Promise.all(
      flows.map(async ({ from, to }) => {
        const wanted = expected(from, to);
        const was = await observed(from, to, wanted);
        // Accepted is: left to the network, which has nobody there.
        const isRight = wanted.has(was) || (wanted.has("accept") && (was === "drop" || was === "reject"));
        assert.ok(isRight, `${from.address} to ${to.address}:${to.port}: ${was}, wanted ${[...wanted].join(" or ")}`);
      }),
    );
    // What nothing leads to any more goes a second later.
    await fastClock.sleep(sweptMs);
    await lastRun;
    const grown = listTable();
    real.close();
    real = start(recorded, [...known.values()]);
    await real.programmed();
    assert.deepEqual(grown, listTable());
    runs++;
  });
  await fc.assert(property, { numRuns: Number(series), seed: Number(seed), endOnFailure: true });
  assert.equal(runs, Number(series));
});
