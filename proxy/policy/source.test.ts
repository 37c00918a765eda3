/** Pods of this node are judged before anything runs in them. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FakeKubeClient } from "#api/client/fake.ts";
import { namespaces } from "#api/core/namespace.ts";
import type { Pod } from "#api/core/pod.ts";
import { networkPolicies } from "#api/networking/network-policy.ts";
import type { WorkloadResource } from "#api/wire/workload.ts";
import { ManualClock } from "#lib/clock.ts";
import { silentLogger } from "#lib/log.ts";
import { seededRandom } from "#lib/random.ts";
import { PolicySource, type PolicySourceOptions } from "./source.ts";
import type { PolicyView } from "./view.ts";

type Apply = (updated: readonly { name: string; resource: WorkloadResource }[], removed: readonly string[]) => void;

const podOf = (name: string, app: string): Pod => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, namespace: "default", uid: `uid-${name}`, labels: { app } },
  spec: { nodeName: "n1", containers: [{ name: "c", ports: [{ name: "http", containerPort: 8080 }] }] },
});
const workload = (address: string, podName: string, app: string): { name: string; resource: WorkloadResource } => {
  const names = { workloadName: podName, serviceAccount: "", app, version: "", canonicalService: "" };
  const resource = { address, namespace: "default", podName, ...names, canonicalRevision: "", nodeName: "n1" };
  return { name: address, resource: { ...resource, labels: { app } } };
};

class Bed {
  readonly clock = new ManualClock();
  readonly client = new FakeKubeClient();
  /** Those with policies. */
  readonly views: PolicyView[] = [];
  push: Apply = () => assert.fail("nobody subscribed");
  programmed = Promise.resolve();
  readonly source: PolicySource;
  readonly #stop = new AbortController();

  constructor() {
    const ads = { subscribe: (_url: string, _names: string, handler: { apply: Apply }) => (this.push = handler.apply) };
    this.source = new PolicySource({
      client: this.client,
      clock: this.clock,
      random: seededRandom(1),
      log: silentLogger,
      ads: ads as unknown as PolicySourceOptions["ads"],
      sink: {
        setPolicies: (view) => view.policies.length > 0 && this.views.push(view),
        programmed: () => this.programmed,
      },
    });
  }

  async start(): Promise<void> {
    await this.client.create(namespaces, { apiVersion: "v1", kind: "Namespace", metadata: { name: "default" } });
    void this.source.run(this.#stop.signal);
    await this.clock.advance(0);
  }

  async deny(): Promise<void> {
    const metadata = { name: "deny", namespace: "default" };
    const spec = { podSelector: { matchLabels: { app: "isolated" } } };
    await this.client.create(networkPolicies, {
      apiVersion: "networking.k8s.io/v1",
      kind: "NetworkPolicy",
      metadata,
      spec,
    });
    await this.clock.advance(1);
  }

  /** Follows an admission: `waits`, `admitted`, or why not. */
  admit(pod: Pod, podIP: string): { state: string } {
    const seen = { state: "waits" };
    this.source.admit(pod, podIP).then(
      () => (seen.state = "admitted"),
      (error: unknown) => (seen.state = (error as Error).message),
    );
    return seen;
  }

  /** Who has an address, as the sink was told last: by the label `app`. */
  appAt(address: string): readonly (string | undefined)[] {
    const pods = this.views.at(-1)?.pods.filter(({ addresses }) => addresses.includes(address)) ?? [];
    return pods.map(({ labels }) => labels["app"]);
  }

  [Symbol.dispose](): void {
    this.#stop.abort();
  }
}

describe("PolicySource.admit()", () => {
  it("is at once where no policy selects the pod, and before the lists are there never", async () => {
    using bed = new Bed();
    const early = bed.admit(podOf("a", "free"), "10.244.1.2");
    await bed.clock.advance(5);
    assert.equal(early.state, "waits");
    await bed.start();
    assert.equal(early.state, "admitted");
    await bed.deny();
    const free = bed.admit(podOf("b", "free"), "10.244.1.3");
    await bed.clock.advance(0);
    assert.deepEqual([free.state, bed.views.length], ["admitted", 0]);
  });

  it("waits for the push, for the sink to be told, and for the kernel", async () => {
    using bed = new Bed();
    await bed.start();
    await bed.deny();
    const kernel = Promise.withResolvers<void>();
    bed.programmed = kernel.promise;
    const pod = bed.admit(podOf("web", "isolated"), "10.244.1.2");
    await bed.clock.advance(100);
    assert.deepEqual([pod.state, bed.views.length], ["waits", 0], "half of the pods are not taken for all");
    bed.push([workload("10.244.1.9", "other", "other")], []);
    await bed.clock.advance(100);
    assert.deepEqual([pod.state, bed.appAt("10.244.1.2")], ["waits", ["isolated"]]);
    assert.deepEqual(bed.views.at(-1)?.pods[1]?.ports, [{ name: "http", protocol: "TCP", port: 8080 }]);
    kernel.resolve();
    await bed.clock.advance(0);
    assert.equal(pod.state, "admitted");
  });

  it("says after 10 s that it is not to be had", async () => {
    using bed = new Bed();
    await bed.start();
    await bed.deny();
    bed.push([], []);
    bed.programmed = new Promise(() => undefined);
    const pod = bed.admit(podOf("web", "isolated"), "10.244.1.2");
    await bed.clock.advance(9999);
    assert.equal(pod.state, "waits");
    await bed.clock.advance(1);
    assert.equal(pod.state, "Cannot isolate pod: its NetworkPolicies are not in the kernel after 10 s");
  });

  it("holds against what the push still says of the address, until that names the pod", async () => {
    using bed = new Bed();
    await bed.start();
    await bed.deny();
    bed.push([workload("10.244.1.2", "before", "free")], []);
    await bed.clock.advance(100);
    assert.deepEqual(bed.appAt("10.244.1.2"), ["free"]);
    const pod = bed.admit(podOf("web", "isolated"), "10.244.1.2");
    await bed.clock.advance(100);
    assert.deepEqual([pod.state, bed.appAt("10.244.1.2")], ["admitted", ["isolated"]]);
    bed.push([workload("10.244.1.2", "before", "free")], []);
    await bed.clock.advance(100);
    assert.deepEqual(bed.appAt("10.244.1.2"), ["isolated"]);
    bed.push([workload("10.244.1.2", "web", "isolated")], []);
    bed.push([workload("10.244.1.2", "web", "relabelled")], []);
    await bed.clock.advance(100);
    assert.deepEqual(bed.appAt("10.244.1.2"), ["relabelled"]);
  });

  it("release() forgets a pod that the push never told of", async () => {
    using bed = new Bed();
    await bed.start();
    await bed.deny();
    bed.push([], []);
    void bed.admit(podOf("web", "isolated"), "10.244.1.2");
    await bed.clock.advance(100);
    assert.deepEqual(bed.appAt("10.244.1.2"), ["isolated"]);
    bed.source.release("uid-web");
    bed.push([workload("10.244.1.9", "other", "other")], []);
    await bed.clock.advance(100);
    assert.deepEqual(bed.appAt("10.244.1.2"), []);
  });
});

it("PolicySource tells that there is no policy, once, and asks for no pods", async () => {
  const told: PolicyView[] = [];
  const clock = new ManualClock();
  const stopped = new AbortController();
  const source = new PolicySource({
    client: new FakeKubeClient(),
    clock,
    random: seededRandom(1),
    log: silentLogger,
    ads: { subscribe: () => assert.fail("asks for pods") },
    sink: { setPolicies: (view) => void told.push(view), programmed: () => Promise.resolve() },
  });
  const ended = source.run(stopped.signal);
  await source.told;
  assert.deepEqual(told, [{ policies: [], pods: [], namespaces: new Map() }]);
  stopped.abort();
  await clock.advance(1000);
  await ended;
  assert.equal(told.length, 1);
});
