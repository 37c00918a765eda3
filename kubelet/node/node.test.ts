/** The Node object and its lease, against an API server in memory. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FakeKubeClient } from "#api/client/fake.ts";
import { leases } from "#api/coordination/lease.ts";
import { type Node, nodes } from "#api/core/node.ts";
import { ManualClock } from "#lib/clock.ts";
import { silentLogger } from "#lib/log.ts";
import { seededRandom } from "#lib/random.ts";
import type { Machine } from "./machine.ts";
import { formatMicroTime, keepLease } from "./node-lease.ts";
import { NodeRegistration } from "./node-registration.ts";
import { nodeStatus, saysTheSame } from "./node-status.ts";

const gib = 2 ** 30;
const machine: Machine = {
  cpus: 4,
  memory: 8 * gib,
  memoryAvailable: 4 * gib,
  storage: 100 * gib,
  storageAvailable: 50 * gib,
  processes: 100,
  processesMax: 32_768,
  architecture: "amd64",
  kernelVersion: "6.1.0",
  osImage: "Debian GNU/Linux 12 (bookworm)",
  machineID: "m",
  systemUUID: "",
  bootID: "b",
};
const facts = { name: "node1", internalIP: "100.64.0.2", podCIDR: "10.244.1.0/24", kubeletPort: 10_250 };

class Bench implements AsyncDisposable {
  readonly clock = new ManualClock();
  readonly client = new FakeKubeClient(() => this.clock.nowMs());
  readonly events: string[] = [];
  now: Machine = machine;
  readonly #stop = new AbortController();

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.clock.advance(1);
  }

  async run(): Promise<void> {
    const { clock, client } = this;
    const recorder = { record: (...[, , reason]: readonly unknown[]) => void this.events.push(String(reason)) };
    const options = { client, clock, random: seededRandom(1), log: silentLogger, recorder };
    const registration = new NodeRegistration(facts, { ...options, readMachine: () => this.now });
    void registration.run(this.#stop.signal);
    await clock.advance(200);
  }

  lease(durationSeconds?: number): void {
    const { clock, client } = this;
    void keepLease({ client, clock, log: silentLogger, nodeName: "node1", durationSeconds }, this.#stop.signal);
  }

  node(): Promise<Node> {
    return this.client.get(nodes, { name: "node1" });
  }

  get writes(): number {
    return this.client.trace.filter((line) => line.startsWith("patch")).length;
  }
}

const ready = (node: Node): string | undefined => node.status?.conditions?.find(({ type }) => type === "Ready")?.status;

describe("NodeRegistration", () => {
  it("registers the node with its labels, conditions and size, and tells of it", async () => {
    await using bench = new Bench();
    await bench.run();
    const node = await bench.node();
    assert.equal(node.metadata.labels?.["kubernetes.io/hostname"], "node1");
    assert.equal(node.status?.capacity?.["memory"], `${8 * 2 ** 20}Ki`);
    assert.equal(node.status.capacity["ephemeral-storage"], `${100 * 2 ** 20}Ki`);
    const said = node.status.conditions?.map(({ type, status, reason }) => `${type} ${status} ${reason}`);
    assert.deepEqual(said, [
      "MemoryPressure False KubeletHasSufficientMemory",
      "DiskPressure False KubeletHasNoDiskPressure",
      "PIDPressure False KubeletHasSufficientPID",
      "Ready True KubeletReady",
    ]);
    const wanted = [
      "Starting",
      "NodeHasSufficientMemory",
      "NodeHasNoDiskPressure",
      "NodeHasSufficientPID",
      "NodeReady",
    ];
    assert.deepEqual(bench.events, wanted);
    assert.equal(bench.writes, 0, "nobody saw it without its status");
  });

  it("writes when it has something new to say, and else every five minutes", async () => {
    await using bench = new Bench();
    await bench.run();
    const before = bench.writes;
    await bench.clock.advance(60_000);
    assert.equal(bench.writes, before);
    bench.now = { ...machine, memoryAvailable: 0 };
    await bench.clock.advance(10_100);
    assert.equal(bench.writes, before + 1);
    assert.equal(bench.events.at(-1), "NodeHasInsufficientMemory");
    await bench.clock.advance(310_000);
    assert.equal(bench.writes, before + 2);
  });

  it("says at once that it is ready when somebody else has said that it is not", async () => {
    await using bench = new Bench();
    await bench.run();
    const lost = { type: "Ready", status: "Unknown" as const, reason: "NodeStatusUnknown" };
    await bench.client.patchStatus(nodes, { name: "node1" }, { status: { conditions: [lost] } });
    await bench.clock.advance(100);
    assert.equal(ready(await bench.node()), "True");
  });

  it("loses no condition that another writes while it writes its own", async () => {
    await using bench = new Bench();
    await bench.run();
    bench.now = { ...machine, memoryAvailable: 0 };
    const patchStatus = bench.client.patchStatus.bind(bench.client);
    const network = { type: "NetworkUnavailable", status: "False" as const };
    bench.client.patchStatus = async (kind, key, patch) => {
      bench.client.patchStatus = patchStatus;
      // Between its look at the node and its write.
      const conditions = [...((await bench.node()).status?.conditions ?? []), network];
      await bench.client.patchStatus(nodes, { name: "node1" }, { status: { conditions } });
      return bench.client.patchStatus(kind, key, patch);
    };
    await bench.clock.advance(10_100);
    const said = (await bench.node()).status?.conditions?.map(({ type, status }) => `${type} ${status}`);
    assert.ok(said?.includes("NetworkUnavailable False") && said.includes("MemoryPressure True"), String(said));
  });

  it("keeps what users set on it, adds its own labels, and registers again when it was deleted", async () => {
    await using bench = new Bench();
    const spec = { unschedulable: true, taints: [{ key: "a", effect: "NoSchedule" as const }] };
    await bench.client.create(nodes, {
      apiVersion: "v1",
      kind: "Node",
      metadata: { name: "node1", labels: { mine: "1" } },
      spec,
    });
    await bench.run();
    const node = await bench.node();
    assert.deepEqual([node.metadata.labels?.["mine"], node.metadata.labels?.["kubernetes.io/os"]], ["1", "linux"]);
    assert.deepEqual(node.spec, spec);
    await bench.client.delete(nodes, { name: "node1" });
    await bench.clock.advance(11_000);
    assert.equal(ready(await bench.node()), "True");
  });
});

describe("nodeStatus()", () => {
  it("says the same of the same, whenever it is asked, and keeps transition times and others' conditions", () => {
    const before = nodeStatus(facts, machine, undefined, 0);
    const network = { type: "NetworkUnavailable", status: "False" as const };
    const next = nodeStatus(facts, machine, { ...before, conditions: [...(before.conditions ?? []), network] }, 60_000);
    assert.ok(!saysTheSame(before, next));
    assert.equal(next.conditions?.[0], network);
    assert.equal(next.conditions.at(-1)?.lastTransitionTime, "1970-01-01T00:00:00Z");
    assert.ok(saysTheSame(before, nodeStatus(facts, machine, before, 60_000)));
  });
});

describe("keepLease()", () => {
  const key = { namespace: "kube-node-lease", name: "node1" };

  it("makes the lease with the node as its owner and renews it at a quarter of its duration", async () => {
    await using bench = new Bench();
    await bench.run();
    bench.lease();
    await bench.clock.advance(100);
    const lease = await bench.client.get(leases, key);
    const owner = { apiVersion: "v1", kind: "Node", name: "node1", uid: (await bench.node()).metadata.uid };
    assert.deepEqual(lease.metadata.ownerReferences, [owner]);
    assert.deepEqual([lease.spec?.holderIdentity, lease.spec?.leaseDurationSeconds], ["node1", 40]);
    await bench.clock.advance(10_000);
    const renewed = await bench.client.get(leases, key);
    const times = [lease, renewed].map(({ spec }) => Date.parse(spec?.renewTime ?? ""));
    assert.equal((times[1] ?? 0) - (times[0] ?? 0), 10_000);
  });

  it("goes on when somebody else wrote, or the API server was away", async () => {
    await using bench = new Bench();
    bench.lease(4);
    await bench.clock.advance(100);
    await bench.client.delete(leases, key);
    bench.client.failNext(new Error("away"), new Error("away"));
    await bench.clock.advance(3000);
    assert.equal((await bench.client.get(leases, key)).spec?.leaseDurationSeconds, 4);
  });

  it("writes times as MicroTime", () => {
    assert.equal(formatMicroTime(1), "1970-01-01T00:00:00.001000Z");
  });
});
