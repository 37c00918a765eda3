/**
 * What a proxy that stands alone does about the API: behaviours 42, 43, with real packets. Run by proxy.test.ts inside
 * namespaces of its own, never directly. Time is the test's: a minute without the API takes no minute.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, test } from "node:test";
import type { KubeClient, ListOptions, WatchEvent } from "#api/client/client.ts";
import { FakeKubeClient } from "#api/client/fake.ts";
import { services } from "#api/core/service.ts";
import { type EndpointSlice, endpointSlices } from "#api/discovery/endpointslice.ts";
import type { KindRef } from "#api/kind.ts";
import type { KubeList, KubeObject } from "#api/meta.ts";
import { ManualClock, realClock } from "#lib/clock.ts";
import { silentLogger } from "#lib/log.ts";
import { systemRandom as random } from "#lib/random.ts";
import { parseConfiguration } from "../../../proxy/kube/configuration.ts";
import { systemExec } from "../../../proxy/l4/exec.ts";
import { NetlinkTableWatch } from "../../../proxy/l4/nft/netlink/watch.ts";
import { StandaloneProxy } from "../../../proxy/main.ts";
import type { TableWatch } from "../../../proxy/guard.ts";
import { callTCP, dial, say, serveTCP } from "./endpoints.ts";
import { createNetwork, type Place } from "./network.ts";

const { node, pods } = createNetwork();
const [caller = node, second = node, third = node] = pods;
const closers: (() => void)[] = [];
for (const place of pods) closers.push(await serveTCP(place, 8080));
const vip = { address: "10.96.1.1", port: 80 };
const clock = new ManualClock();

/** An API that can be gone, or hold a list back. */
class Outage implements Pick<KubeClient, "list" | "watch"> {
  readonly api: FakeKubeClient = new FakeKubeClient();
  isGone = true;
  /** The plural of what is not listed yet. */
  holds = "";

  async list<T extends KubeObject>(kind: KindRef<T>, options?: ListOptions): Promise<KubeList<T>> {
    if (this.isGone || kind.plural === this.holds) throw new Error("Cannot reach the API");
    return this.api.list(kind, options);
  }

  async *watch<T extends KubeObject>(
    kind: KindRef<T>,
    options: ListOptions,
    signal: AbortSignal,
  ): AsyncIterable<WatchEvent<T>> {
    if (this.isGone) throw new Error("Cannot reach the API");
    yield* this.api.watch(kind, options, signal);
  }

  end(): void {
    this.isGone = true;
    this.api.endWatches();
  }
}

const outage = new Outage();
const sliceOf = (place: Place): EndpointSlice => ({
  apiVersion: "discovery.k8s.io/v1",
  kind: "EndpointSlice",
  metadata: { namespace: "default", name: "web-1", labels: { "kubernetes.io/service-name": "web" } },
  addressType: "IPv4",
  endpoints: [{ addresses: [place.address] }],
  ports: [{ name: "", protocol: "TCP", port: 8080 }],
});
await outage.api.create(services, {
  apiVersion: "v1",
  kind: "Service",
  metadata: { namespace: "default", name: "web" },
  spec: { clusterIP: vip.address, ports: [{ port: 80 }] },
});
await outage.api.create(endpointSlices, sliceOf(second));

/** Changes of the proxy's own that are under way: what others do in that moment is heard later, or not at all. */
const changes = { underWay: 0 };

function openWatch(): TableWatch | undefined {
  const watch = NetlinkTableWatch.open();
  if (watch === undefined) return undefined;
  return {
    setPaused(isPaused) {
      changes.underWay += isPaused ? 1 : -1;
      watch.setPaused(isPaused);
    },
    poll: () => watch.poll(),
    close: () => watch.close(),
  };
}

/** Waits until the proxy changes nothing; it begins nothing while its clock stands. */
async function rest(): Promise<void> {
  await clock.advance(0);
  for (; changes.underWay > 0; await clock.advance(0)) await realClock.sleep(5);
}

interface Running {
  end(): Promise<void>;
}

function start(): Running {
  const stopped = new AbortController();
  const address = "127.0.0.1:0";
  const ended = new StandaloneProxy({
    config: parseConfiguration(undefined, {
      "proxy-mode": "nftables",
      "healthz-bind-address": address,
      "metrics-bind-address": address,
    }),
    client: outage,
    nodeName: "node1",
    exec: systemExec(realClock),
    openWatch,
    clock,
    random,
    log: silentLogger,
  }).run(stopped.signal);
  return {
    async end() {
      stopped.abort();
      await clock.advance(10);
      await ended;
    },
  };
}

let running = start();
after(async () => {
  await running.end();
  for (const close of closers) close();
});

/** Lets the proxy's time pass until it is so. */
async function until(isSo: () => Promise<boolean>): Promise<void> {
  const startMs = realClock.monotonicMs();
  while (!(await isSo())) {
    assert.ok(realClock.monotonicMs() - startMs < 5000, "not within 5 s");
    await clock.advance(250);
    await realClock.sleep(5);
  }
}

const answers = (by: Place): Promise<boolean> =>
  callTCP(caller, vip, 300).then(
    (answer) => answer.by === by.address,
    () => false,
  );
const tables = (): string => execFileSync("nft", ["list", "tables"], { encoding: "utf8" });

execFileSync("nft", ["-f", "-"], {
  input: "add table ip foreign\nadd chain ip foreign keep\nadd rule ip foreign keep counter\n",
});
const foreign = (): string => execFileSync("nft", ["list", "table", "ip", "foreign"], { encoding: "utf8" });
const foreignBefore = foreign();

test("42: nothing is programmed before both lists are in", async () => {
  outage.isGone = false;
  outage.holds = "endpointslices";
  for (let n = 0; n < 20; n++) {
    await clock.advance(500);
    await realClock.sleep(5);
  }
  assert.doesNotMatch(tables(), /wherry/);
  outage.holds = "";
  await until(() => answers(second));
});

test("42: rules and connections stay while the API is gone for a minute; when it is back, what changed is programmed", async () => {
  const socket = await dial(caller, vip);
  assert.equal((await say(socket)).by, second.address);
  outage.end();
  await outage.api.update(endpointSlices, sliceOf(third));
  for (let n = 0; n < 60; n++) await clock.advance(1000);
  assert.equal(await answers(second), true);
  assert.equal((await say(socket)).by, second.address);
  outage.isGone = false;
  await until(() => answers(third));
  assert.equal((await say(socket)).by, second.address);
  socket.destroy();
});

test("42: a proxy that is restarted while the API is gone leaves what is programmed", async () => {
  outage.end();
  const socket = await dial(caller, vip);
  await running.end();
  running = start();
  for (let n = 0; n < 60; n++) await clock.advance(1000);
  assert.equal(await answers(third), true);
  await outage.api.update(endpointSlices, sliceOf(second));
  outage.isGone = false;
  await until(() => answers(second));
  assert.equal((await say(socket)).by, third.address);
  socket.destroy();
});

test("43: what somebody flushes or removes is restored, with and without the API; other tables are as they were", async () => {
  const socket = await dial(caller, vip);
  closers.push(() => socket.destroy());
  for (const command of ["flush table ip wherry-proxy", "delete table ip wherry-proxy"]) {
    await rest();
    execFileSync("nft", command.split(" "));
    assert.equal(await answers(second), false);
    await until(() => answers(second));
    assert.equal((await say(socket)).by, second.address);
    outage.end();
  }
  assert.equal(foreign(), foreignBefore);
});
