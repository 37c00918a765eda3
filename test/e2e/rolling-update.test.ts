/**
 * A rolling update and its undo under load: no request is lost, and the floor of available pods holds at every
 * moment that a watch can see.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { deployments } from "#api/apps/deployment.ts";
import type { HttpKubeClient } from "#api/client/http.ts";
import { endpointSlices } from "#api/discovery/endpointslice.ts";
import { createTestCluster, type TestCluster } from "./cluster.ts";
import { findKubectl } from "./kubectl/binary.ts";
import { findOrSkip, Kubectl, skipReason } from "./kubectl/kubectl.ts";
import { startLoad, readReviews } from "./load.ts";

const found = await findOrSkip(findKubectl);
/** Requests a second, each through the gateway and the sidecar of reviews. */
const rate = 300;
const replicas = 3;
/** The way to the pods that are replaced, and to no others. */
const route = `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: direct}
spec:
  parentRefs: [{name: bookinfo-gateway}]
  rules:
    - matches: [{path: {type: PathPrefix, value: /reviews}}]
      backendRefs: [{name: reviews-v1-only, port: 9080}]
---
apiVersion: v1
kind: Service
metadata: {name: reviews-v1-only}
spec: {selector: {app: reviews, version: v1}, ports: [{name: http, port: 9080}]}
`;

describe("a rolling update", skipReason(found), () => {
  let cluster: TestCluster;
  let kubectl: Kubectl;
  let client: HttpKubeClient;
  let url = "";

  before(async () => {
    cluster = createTestCluster();
    const done = await cluster.run("demo", "--detach", "-o", "json", "-p", "0=gateway/default/bookinfo-gateway:80");
    url = (JSON.parse(done) as { url: string }).url.replace("/productpage", "/reviews/0");
    kubectl = new Kubectl(found, cluster);
    client = cluster.connect();
    await kubectl.run("apply", "-f", kubectl.write("route.yaml", route));
    await kubectl.line(`scale deployment reviews-v1 --replicas=${replicas}`);
    await kubectl.line("rollout status deployment reviews-v1 --timeout=30s");
    for (const untilMs = performance.now() + 10_000; !(await fetch(url)).ok;)
      assert.ok(performance.now() < untilMs, "the route never served");
  });

  after(async () => {
    await client?.close();
    await cluster[Symbol.asyncDispose]();
  });

  /** The least that any state of the Deployment, and of its Service's endpoints, has shown until `stop`. */
  const sample = (): { stop: () => Promise<{ available: number; ready: number; states: number }> } => {
    const stopped = new AbortController();
    const least = { available: Infinity, ready: Infinity, states: 0 };
    const from = { namespace: "default", resourceVersion: "0" };
    const watchDeployment = async (): Promise<void> => {
      for await (const event of client.watch(
        deployments,
        { ...from, fieldSelector: "metadata.name=reviews-v1" },
        stopped.signal,
      )) {
        if (event.type !== "ADDED" && event.type !== "MODIFIED") continue;
        least.available = Math.min(least.available, event.object.status?.availableReplicas ?? 0);
        least.states += 1;
      }
    };
    const watchSlices = async (): Promise<void> => {
      const labelSelector = "kubernetes.io/service-name=reviews-v1-only";
      for await (const event of client.watch(endpointSlices, { ...from, labelSelector }, stopped.signal)) {
        if (event.type !== "ADDED" && event.type !== "MODIFIED") continue;
        const { endpoints } = event.object;
        least.ready = Math.min(least.ready, endpoints.filter(({ conditions }) => conditions?.ready === true).length);
      }
    };
    const ended = Promise.allSettled([watchDeployment(), watchSlices()]);
    return { stop: async () => (stopped.abort(), await ended, least) };
  };

  for (const [what, command] of [
    ["an update", "set env deployment/reviews-v1 GENERATION=2"],
    ["its undo", "rollout undo deployment/reviews-v1"],
  ] as const) {
    it(`loses no request during ${what}, and keeps the floor`, async () => {
      const before = await kubectl.line("get pods -l app=reviews,version=v1 -o name");
      const load = startLoad(url, rate, readReviews);
      const floor = sample();
      await kubectl.line(command);
      const status = await kubectl.line("rollout status deployment reviews-v1 --timeout=60s");
      assert.match(status, /successfully rolled out/);
      const { sent, failures, byPod } = await load.stop();
      const { available, ready, states } = await floor.stop();
      assert.deepEqual(failures, []);
      assert.ok(sent >= rate, `${sent} requests`);
      assert.ok(available >= replicas && ready >= replicas, `at least ${available} available, ${ready} ready`);
      assert.ok(states > replicas, `${states} states seen`);
      const replaced = [...byPod.keys()].filter((name) => !before.includes(name));
      assert.ok(replaced.length > 0, "new pods answered");
    });
  }
});
