import assert from "node:assert/strict";
import { test } from "node:test";
import { nodes } from "#api/core/node.ts";
import { pods } from "#api/core/pod.ts";
import type { StatsSummary } from "#api/wire/stats.ts";
import type { ReadStats } from "./kubelet-client.ts";
import { each, type Testbed, textOf, whileTimePasses, withServer } from "./testbed.ts";

const time = "2026-01-01T00:00:00Z";
const cpu = { time, usageNanoCores: 12_500_000, usageCoreNanoSeconds: 1 };
const memory = { time, workingSetBytes: 5 * 1024 * 1024 };
const base = "/apis/metrics.k8s.io/v1beta1";

async function withNodes(body: (bed: Testbed, summaries: Map<string, StatsSummary>) => Promise<void>): Promise<void> {
  const summaries = new Map<string, StatsSummary>();
  const readStats: ReadStats = async ({ address }, signal) => {
    const summary = summaries.get(address);
    if (summary !== undefined) return summary;
    return new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(new Error("no answer"))));
  };
  await withServer(
    async (bed) => {
      for (const index of [1, 2]) {
        const addresses = [{ type: "InternalIP", address: `100.64.0.${index}` }];
        const metadata = { name: `node${index}`, labels: { zone: `z${index}` } };
        await bed.client.create(nodes, { apiVersion: "v1", kind: "Node", metadata, status: { addresses } });
        const containers = [{ name: "main", image: "a" }];
        const spec = { containers, nodeName: `node${index}` };
        const key = { name: `p${index}`, namespace: "default" };
        const pod = await bed.client.create(pods, { apiVersion: "v1", kind: "Pod", metadata: key, spec });
        const podRef = { ...key, uid: pod.metadata.uid ?? "" };
        const stats = { podRef, containers: [{ name: "main", cpu, memory }] };
        summaries.set(`100.64.0.${index}`, { node: { nodeName: `node${index}`, cpu, memory }, pods: [stats] });
      }
      await body(bed, summaries);
    },
    { readStats },
  );
}

test("metrics of nodes and pods come from the kubelets, by selector and by name", async () => {
  await withNodes(async ({ call }) => {
    const { body } = await call("GET", `${base}/nodes`);
    assert.equal(textOf(body["kind"]), "NodeMetricsList");
    assert.deepEqual(body["items"]?.[0]?.["usage"], { cpu: "12500000n", memory: "5120Ki" });
    const one = (await call("GET", `${base}/namespaces/default/pods/p1`)).body;
    assert.deepEqual(one["containers"], [{ name: "main", usage: { cpu: "12500000n", memory: "5120Ki" } }]);
    const selected = (await call("GET", `${base}/nodes?labelSelector=zone%3Dz2`)).body["items"];
    assert.deepEqual(each(selected as never, "metadata").length, 1);
    const missing = await call("GET", `${base}/namespaces/default/pods/none`);
    assert.equal(missing.code, 404);
    assert.equal(textOf(missing.body["message"]), 'pods.metrics.k8s.io "default/none" not found');
    assert.equal((await call("DELETE", `${base}/nodes`)).code, 405);
    assert.equal((await call("GET", `${base}/things`)).code, 404);
    const groups = (await call("GET", "/apis")).text;
    assert.match(groups, /"metrics.k8s.io\/v1beta1"/);
  });
});

test("a kubelet that does not answer in time is left out", async () => {
  await withNodes(async ({ call, clock }, summaries) => {
    summaries.delete("100.64.0.1");
    const answer = call("GET", `${base}/pods`);
    const { body } = await whileTimePasses(clock, answer, 500);
    assert.equal(textOf(body["items"]?.["length"]), "1");
    assert.equal(textOf(body["items"]?.[0]?.["metadata"]?.["name"]), "p2");
  });
});

test("without a way to kubelets there are no metrics", async () => {
  await withServer(async ({ call }) => {
    const reply = await call("GET", `${base}/nodes`);
    assert.equal(reply.code, 503);
    assert.match(reply.text, /the server is currently unable to handle the request \(list nodes.metrics.k8s.io\)/);
  });
});
