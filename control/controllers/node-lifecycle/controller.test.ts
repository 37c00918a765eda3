/** Node lifecycle, taint eviction and pod collection over a real API server in memory; the test plays the kubelets. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { leases } from "#api/coordination/lease.ts";
import { events } from "#api/core/event.ts";
import { type Node, nodes } from "#api/core/node.ts";
import { type Pod, pods, type PodSpec } from "#api/core/pod.ts";
import { isNotFound } from "#api/status.ts";
import { silentLogger } from "#lib/log.ts";
import { seededRandom } from "#lib/random.ts";
import { type Testbed, withServer } from "../../apiserver/testbed.ts";
import { Objects } from "../../snapshot/objects.ts";
import { startControllers } from "../run.ts";

type Client = Testbed["client"];

interface World {
  readonly client: Client;
  /** Lets `ms` pass while these nodes renew their Leases. */
  readonly pass: (ms: number, alive: readonly string[]) => Promise<void>;
}

async function withNodes(names: readonly string[], body: (world: World) => Promise<void>): Promise<void> {
  await withServer(async ({ client, clock }) => {
    const stop = new AbortController();
    const renew = async (name: string): Promise<void> => {
      const key = { namespace: "kube-node-lease", name };
      const renewTime = new Date(clock.nowMs()).toISOString().replace("Z", "000Z");
      await client.patch(leases, key, { spec: { renewTime } });
    };
    try {
      for (const name of names) await addNode(client, name);
      const options = {
        client,
        clock,
        random: seededRandom(1),
        log: silentLogger,
        finalize: (name: string, finalizers: readonly string[]) => client.finalize(name, finalizers),
        bind: client.bind.bind(client),
        objects: new Objects(),
        nodeLifecycle: {},
      };
      await startControllers(options, stop.signal);
      await body({
        client,
        pass: async (ms, alive) => {
          for (let left = ms; left > 0; left -= 5000) {
            for (const name of alive) await renew(name);
            await clock.advance(Math.min(left, 5000));
          }
          // Writes that the last timers began.
          for (let turn = 0; turn < 10; turn += 1) await clock.advance(1);
        },
      });
    } finally {
      stop.abort();
    }
  });
}

async function addNode(client: Client, name: string): Promise<void> {
  const node: Node = { apiVersion: "v1", kind: "Node", metadata: { name } };
  await client.create(nodes, node);
  const allocatable = { cpu: "8", memory: "8Gi", pods: "110" };
  const conditions = [{ type: "Ready", status: "True", reason: "KubeletReady" }];
  await client.patchStatus(nodes, { name }, { status: { conditions, allocatable, capacity: allocatable } });
  const metadata = { name, namespace: "kube-node-lease" };
  await client.create(leases, { apiVersion: "coordination.k8s.io/v1", kind: "Lease", metadata, spec: {} });
}

async function runPod(client: Client, name: string, nodeName: string, tolerationSeconds?: number): Promise<void> {
  const tolerations: PodSpec["tolerations"] = [
    {
      key: "node.kubernetes.io/unreachable",
      operator: "Exists",
      effect: "NoExecute",
      ...(tolerationSeconds === undefined ? {} : { tolerationSeconds }),
    },
  ];
  const key = { namespace: "default", name };
  const spec = { containers: [{ name: "a", image: "a" }], nodeName, tolerations };
  await client.create(pods, { apiVersion: "v1", kind: "Pod", metadata: key, spec });
  await client.patchStatus(pods, key, {
    status: { phase: "Running", conditions: [{ type: "Ready", status: "True" }] },
  });
}

async function find(client: Client, name: string): Promise<Pod | undefined> {
  return client.get(pods, { namespace: "default", name }).catch((error: unknown) => {
    if (isNotFound(error)) return undefined;
    throw error;
  });
}

async function describeNode(client: Client, name: string): Promise<string> {
  const { spec, status } = await client.get(nodes, { name });
  const ready = status?.conditions?.find(({ type }) => type === "Ready");
  const taints = (spec?.taints ?? []).map(({ key, effect }) => `${key.split("/")[1]}:${effect}`);
  return [`${ready?.status} ${ready?.reason}`, ...taints].join(" ");
}

async function told(client: Client): Promise<string[]> {
  return (await client.list(events)).items.map(({ reason, message }) => `${reason}: ${message}`);
}

describe("createNodeLifecycleController()", () => {
  it("takes a silent node out of service, evicts its pods when their time has come, and takes it back", async () => {
    await withNodes(["node1", "node2"], async ({ client, pass }) => {
      await runPod(client, "brief", "node1", 20);
      await runPod(client, "patient", "node1");
      await pass(50_000, ["node2"]);
      assert.equal(await describeNode(client, "node1"), "True KubeletReady");
      await pass(10_000, ["node2"]);
      assert.equal(
        await describeNode(client, "node1"),
        "Unknown NodeStatusUnknown unreachable:NoSchedule unreachable:NoExecute",
      );
      assert.equal(await describeNode(client, "node2"), "True KubeletReady");
      assert.equal(
        (await find(client, "patient"))?.status?.conditions?.find(({ type }) => type === "Ready")?.status,
        "False",
      );
      await pass(25_000, ["node2"]);
      const brief = await find(client, "brief");
      assert.notEqual(brief?.metadata.deletionTimestamp, undefined);
      const target = brief?.status?.conditions?.find(({ type }) => type === "DisruptionTarget");
      assert.equal(target?.reason, "DeletionByTaintManager");
      assert.equal((await find(client, "patient"))?.metadata.deletionTimestamp, undefined);
      const said = await told(client);
      for (const text of [
        "RegisteredNode: Node node1 event: Registered Node node1 in Controller",
        "NodeNotReady: Node node1 status is now: NodeNotReady",
        "NodeNotReady: Node is not ready",
        "TaintManagerEviction: Marking for deletion Pod default/brief",
      ])
        assert.ok(said.includes(text), `${text} in ${said.join("\n")}`);

      const conditions = [{ type: "Ready", status: "True", reason: "KubeletReady" }];
      await client.patchStatus(nodes, { name: "node1" }, { status: { conditions } });
      await pass(10_000, ["node1", "node2"]);
      assert.equal(await describeNode(client, "node1"), "True KubeletReady");
    });
  });

  it("evicts nobody while all nodes are silent, and those of the silent ones once another is back", async () => {
    await withNodes(["node1", "node2"], async ({ client, pass }) => {
      await runPod(client, "brief", "node1", 1);
      await pass(120_000, []);
      assert.equal(await describeNode(client, "node1"), "Unknown NodeStatusUnknown unreachable:NoSchedule");
      assert.equal((await find(client, "brief"))?.metadata.deletionTimestamp, undefined);
      const conditions = [{ type: "Ready", status: "True", reason: "KubeletReady" }];
      await client.patchStatus(nodes, { name: "node2" }, { status: { conditions } });
      await pass(10_000, ["node2"]);
      assert.equal(
        await describeNode(client, "node1"),
        "Unknown NodeStatusUnknown unreachable:NoSchedule unreachable:NoExecute",
      );
      assert.notEqual((await find(client, "brief"))?.metadata.deletionTimestamp, undefined);
    });
  });

  it("removes the pods of a node that is gone, after a quarantine", async () => {
    await withNodes(["node1", "node2"], async ({ client, pass }) => {
      await runPod(client, "lost", "node1");
      await client.delete(nodes, { name: "node1" });
      await pass(40_000, ["node2"]);
      assert.notEqual(await find(client, "lost"), undefined);
      await pass(41_000, ["node2"]);
      assert.equal(await find(client, "lost"), undefined);
    });
  });
});
