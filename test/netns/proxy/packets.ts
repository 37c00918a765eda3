/**
 * What real packets do. Run by proxy.test.ts inside namespaces of its own, never directly.
 */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { after, test } from "node:test";
import type { ServiceResource } from "#api/wire/service.ts";
import { realClock as clock } from "#lib/clock.ts";
import { silentLogger } from "#lib/log.ts";
import { systemRandom as random } from "#lib/random.ts";
import { type Exec, systemExec } from "../../../proxy/l4/exec.ts";
import { endpoint, named, port, service } from "../../../proxy/l4/fixture.ts";
import { NetlinkTableWatch } from "../../../proxy/l4/nft/netlink/watch.ts";
import { createNodeProxy, type NodeProxy } from "../../../proxy/state.ts";
import { callTCP, callUDP, dial, openUDP, say, serveTCP, serveUDP } from "./endpoints.ts";
import { createNetwork, type Place } from "./network.ts";

const { node, pods, remote } = createNetwork();
const [caller = node, second = node, third = node] = pods;
const closers: (() => void)[] = [];
for (const place of [...pods, remote]) closers.push(await serveTCP(place, 8080), await serveUDP(place, 8080));
/** What somebody else does while our nft runs, which nobody hears. */
let meanwhile = "";
const run = systemExec(clock);
const exec: Exec = async (command, input, onLine) => {
  const result = await run(command, input, onLine);
  if (meanwhile !== "" && command[0] === "nft") execFileSync("nft", meanwhile.split(" "));
  meanwhile = "";
  return result;
};
const start = (): NodeProxy => {
  const watch = NetlinkTableWatch.open();
  assert.ok(watch !== undefined);
  return createNodeProxy({ exec, clock, random, log: silentLogger, watch, facts: { nodeIPs: [node.address] } });
};
let proxy = start();
after(() => {
  proxy.close();
  for (const close of closers) close();
});

const to = (places: readonly Place[]): ReturnType<typeof endpoint>[] =>
  places.map(({ address }) => endpoint(`${address}:8080`));
const make = (
  name: string,
  ip: string,
  places: readonly Place[],
  given: Partial<ServiceResource> = {},
): ServiceResource => service(name, ip, { endpoints: to(places), ...given });
const apply = async (updated: readonly ServiceResource[], removed: readonly string[] = []): Promise<void> => {
  proxy.apply(named(...updated), removed);
  await proxy.programmed();
};
const web = { address: "10.96.1.1", port: 80 };
const echo = { address: "10.96.1.2", port: 80 };
const ports = [port(80, "UDP")];

execFileSync("nft", ["-f", "-"], {
  input: "add table ip foreign\nadd chain ip foreign keep\nadd rule ip foreign keep counter\n",
});
const foreign = (): string => execFileSync("nft", ["list", "table", "ip", "foreign"], { encoding: "utf8" });
const foreignBefore = foreign();

await apply([
  make("web", web.address, [...pods.slice(1), remote]),
  make("echo", echo.address, [...pods.slice(1), remote], { ports }),
]);
proxy.markSynced();
await proxy.programmed();

for (const [name, from] of [
  ["a pod", caller],
  ["the node", node],
] as const) {
  for (const [protocol, call, vip] of [
    ["TCP", callTCP, web],
    ["UDP", callUDP, echo],
  ] as const) {
    test(`${protocol} from ${name} rotates exactly, also to another node`, async () => {
      const seen = new Map<string, number>();
      for (let n = 0; n < 9; n++) {
        const { by, saw } = await call(from, vip);
        seen.set(by, (seen.get(by) ?? 0) + 1);
        assert.equal(saw, from.address);
      }
      const wanted = { [second.address]: 3, [third.address]: 3, [remote.address]: 3 };
      assert.deepEqual(Object.fromEntries(seen), wanted);
    });
  }
}

test("a pod reaches itself through its own Service", async () => {
  await apply([make("self", "10.96.1.3", [caller])]);
  const { by, saw } = await callTCP(caller, { address: "10.96.1.3", port: 80 });
  assert.equal(by, caller.address);
  assert.notEqual(saw, caller.address);
});

test("no endpoints, a wrong port and an unallocated address are refused at once", async () => {
  await apply([make("empty", "10.96.1.4", [])]);
  for (const from of [caller, node]) {
    for (const target of [
      { address: "10.96.1.4", port: 80 },
      { ...web, port: 81 },
      { address: "10.96.200.200", port: 80 },
    ]) {
      const startMs = clock.monotonicMs();
      await assert.rejects(dial(from, target), { code: "ECONNREFUSED" });
      assert.equal(clock.monotonicMs() - startMs < 500, true);
    }
  }
});

test("a node port without endpoints refuses who calls it, not who calls from a port of that number", async () => {
  const nodePort = 30_081;
  const callFrom = async (localPort: number): Promise<Socket> => {
    const socket = connect({ host: second.address, port: 8080, localAddress: node.address, localPort });
    await once(socket, "connect", { signal: AbortSignal.timeout(1000) });
    return socket;
  };
  const before = await callFrom(nodePort);
  await apply([service("taken", "10.96.1.9", { type: "NodePort", ports: [{ ...port(80), nodePort }] })]);
  assert.equal((await say(before)).by, second.address);
  before.resetAndDestroy();
  const later = await callFrom(nodePort);
  assert.equal((await say(later)).by, second.address);
  later.resetAndDestroy();
  await assert.rejects(dial(caller, { address: node.address, port: nodePort }), { code: "ECONNREFUSED" });
});

test("source ranges that come later leave established connections alone", async () => {
  const target = { address: "192.0.2.1", port: 80 };
  const given = { type: "LoadBalancer", loadBalancerIPs: [target.address] } as const;
  await apply([make("edge", "10.96.1.10", [second], given)]);
  const socket = await dial(caller, target);
  await apply([make("edge", "10.96.1.10", [second], { ...given, loadBalancerSourceRanges: ["198.51.100.0/24"] })]);
  assert.equal((await say(socket)).by, second.address);
  socket.destroy();
  await assert.rejects(dial(caller, target, 300), { name: "AbortError" });
});

test("UDP without endpoints is refused at once", () => {
  // Node does not report what comes back on a connected UDP socket; bash does.
  const script = "exec 3<>/dev/udp/10.96.1.4/99; echo x >&3 && read -t 2 -u 3 line";
  const inPod = ["nsenter", `--net=/proc/${process.pid}/fd/${caller.namespace?.fd}`, "bash", "-c", script];
  const refusals = [
    [inPod, /Connection refused/],
    // On the node itself, sending fails already.
    [["bash", "-c", script], /Operation not permitted/],
  ] as const;
  for (const [[program = "", ...args], wanted] of refusals) {
    assert.match(spawnSync(program, args, { encoding: "utf8" }).stderr, wanted);
  }
});

test("established connections survive changes, the loss of their endpoint, and a restart of the proxy", async () => {
  await apply([make("one", "10.96.1.5", [second])]);
  const target = { address: "10.96.1.5", port: 80 };
  const socket = await dial(caller, target);
  assert.equal((await say(socket)).by, second.address);
  await apply([make("one", "10.96.1.5", [third]), make("more", "10.96.1.6", pods)]);
  assert.equal((await say(socket)).by, second.address);
  assert.equal((await callTCP(caller, target)).by, third.address);
  await apply([], ["default/one"]);
  assert.equal((await say(socket)).by, second.address);
  proxy.close();
  proxy = start();
  await apply([make("web", web.address, [...pods.slice(1), remote])]);
  proxy.markSynced();
  await proxy.programmed();
  assert.equal((await say(socket)).by, second.address);
  socket.destroy();
});

test("a UDP flow moves when its endpoint goes", async (t) => {
  try {
    execFileSync("conntrack", ["-L"], { stdio: "ignore" });
  } catch {
    return t.skip("conntrack is not to be had");
  }
  const target = { address: "10.96.1.7", port: 80 };
  await apply([make("flow", target.address, [second], { ports })]);
  const socket = await openUDP(caller);
  assert.equal((await callUDP(caller, target, socket)).by, second.address);
  await apply([make("flow", target.address, [third], { ports })]);
  assert.equal((await callUDP(caller, target, socket)).by, third.address);
  socket.close();
});

test("the DNS address answers on the node, untracked", async () => {
  const vip = { address: "10.96.0.10", port: 53 };
  const server = await openUDP(node, 53);
  closers.push(() => server.close());
  server.on("message", (_, from) => server.send("dns x", from.port, from.address));
  for (const from of [caller, node]) {
    // On the wildcard address, the answer's source is the DNS address only when the query's was kept.
    const socket = await openUDP(from);
    const answered = new Promise((resolve) => socket.once("message", resolve));
    socket.send("?", vip.port, vip.address);
    await answered;
    socket.close();
  }
  const flows = execFileSync("sh", ["-c", "conntrack -L -p udp 2>/dev/null || true"], { encoding: "utf8" });
  assert.equal(flows.includes("dst=10.96.0.10"), false);
});

/** How often the whole table was written. */
function replacements(): number {
  const [, count] =
    /full_proxy_rules_duration_seconds_count\{ip_family="IPv4"\} ([0-9]+)/.exec(proxy.metrics.collect()) ?? [];
  return Number(count);
}

async function becomesServed(): Promise<void> {
  const startMs = clock.monotonicMs();
  const isServed = (): Promise<boolean> =>
    callTCP(caller, web).then(
      () => true,
      () => false,
    );
  while (!(await isServed())) {
    assert.ok(clock.monotonicMs() - startMs < 1000);
    await clock.sleep(20);
  }
}

for (const [what, command] of [
  ["removed", "delete table ip wherry-proxy"],
  ["emptied", "flush table ip wherry-proxy"],
  ["changed", "delete element ip wherry-proxy services { 10.96.1.1 . tcp . 80 }"],
] as const) {
  test(`a table that somebody else ${what} is restored within a second`, async () => {
    execFileSync("nft", command.split(" "));
    await assert.rejects(callTCP(caller, web));
    await becomesServed();
  });
}

for (const command of [
  "flush table ip wherry-proxy",
  "flush chain ip wherry-proxy nat-prerouting",
  "delete element ip wherry-proxy services { 10.96.1.1 . tcp . 80 }",
])
  test(`what somebody does while we change the table is mended within a second: ${command}`, async () => {
    // Its elements name the chain that rejects, too.
    const dead = service("dead", "10.96.1.8", { type: "NodePort", ports: [{ ...port(80), nodePort: 30_080 }] });
    const before = replacements();
    meanwhile = command;
    try {
      await apply([dead], ["default/echo"]);
      assert.equal(meanwhile, "");
      // It may be mended sooner than anybody can look: so it is counted.
      const startMs = clock.monotonicMs();
      for (; replacements() === before; await clock.sleep(20)) assert.ok(clock.monotonicMs() - startMs < 1000);
      await becomesServed();
    } finally {
      await apply([], ["default/dead"]);
    }
  });

// Last: the table has its other name then.
test("what somebody does to a large table in one go costs one replacement", async () => {
  const many = Array.from({ length: 2000 }, (_, n) => make(`m${n}`, `10.96.${100 + (n >> 8)}.${n & 255}`, [second]));
  await apply(many);
  const before = replacements();
  execFileSync("nft", ["flush", "table", "ip", "wherry-proxy"]);
  await clock.sleep(3000);
  assert.equal(replacements() - before, 1);
  assert.equal((await callTCP(caller, web)).saw, caller.address);
  await apply(
    [],
    many.map(({ name }) => `default/${name}`),
  );
});

test("a table of somebody else is untouched", () => {
  assert.equal(foreign(), foreignBefore);
});
