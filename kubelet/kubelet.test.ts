/** The kubelet as a whole, with a runtime and an API server in memory. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { FakeKubeClient } from "#api/client/fake.ts";
import { silentRecorder } from "#api/client/events.ts";
import { type Pod, pods } from "#api/core/pod.ts";
import { ManualClock } from "#lib/clock.ts";
import { silentLogger } from "#lib/log.ts";
import { seededRandom } from "#lib/random.ts";
import { FakeRuntime } from "./fake-runtime.ts";
import { Kubelet } from "./kubelet.ts";
import { readMachine } from "./node/machine.ts";

const root = mkdtempSync(join(tmpdir(), "wherry-kubelet-"));
after(() => rmSync(root, { recursive: true, force: true }));

const key = { namespace: "shop", name: "web" };

function podOf(spec: Partial<Pod["spec"]> = {}): Pod {
  const containers = [{ name: "web", image: "web" }];
  return { apiVersion: "v1", kind: "Pod", metadata: key, spec: { nodeName: "node1", containers, ...spec } };
}

/** A node and what outlives its kubelet. */
class Bench implements AsyncDisposable {
  readonly clock = new ManualClock();
  readonly client = new FakeKubeClient(() => this.clock.nowMs());
  runtime = new FakeRuntime(this.clock);
  readonly #dir = mkdtempSync(join(root, "node-"));
  #stop = new AbortController();

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.clock.advance(1);
  }

  get trace(): string[] {
    return this.runtime.machine.trace;
  }

  async start(): Promise<Kubelet> {
    const { clock, client, runtime } = this;
    const kubelet = new Kubelet({
      client,
      tokenSource: { createToken: () => Promise.reject(new Error("no tokens here")) },
      recorder: silentRecorder,
      clock,
      random: seededRandom(1),
      log: silentLogger,
      sidecars: { add: async () => undefined, remove: async () => undefined },
      nodeName: "node1",
      nodeIP: "100.64.0.2",
      podCIDR: "10.244.1.0/24",
      nameserver: "10.96.0.10",
      images: [{ image: "web", command: ["serve"] }],
      runDir: join(this.#dir, "run"),
      logDir: join(this.#dir, "logs"),
      kubeletPort: 10_250,
      effects: { runtime, runScript: async () => undefined, readMachine: () => readMachine(root) },
    });
    const started = kubelet.start(this.#stop.signal);
    await clock.advance(500);
    await started;
    return kubelet;
  }

  /** The kubelet dies; what it ran goes on. */
  async die(): Promise<void> {
    this.#stop.abort();
    await this.clock.advance(1);
    this.#stop = new AbortController();
    this.runtime = this.runtime.successor();
  }

  async phase(): Promise<string | undefined> {
    return (await this.client.get(pods, key)).status?.phase;
  }
}

describe("Kubelet", () => {
  it("runs a pod that is bound to its node, says so, and completes its deletion", async () => {
    await using bench = new Bench();
    await bench.start();
    await bench.client.create(pods, podOf());
    await bench.clock.advance(500);
    assert.equal(await bench.phase(), "Running");
    await bench.client.delete(pods, key, { gracePeriodSeconds: 5 });
    await bench.clock.advance(7000);
    await assert.rejects(bench.phase(), { code: "NotFound" });
    assert.deepEqual(bench.trace, ["start web#0", "SIGTERM web#0", "exit web#0 143", "forget web#0"]);
  });

  it("adopts what runs, and starts nothing twice", async () => {
    await using bench = new Bench();
    await bench.start();
    await bench.client.create(pods, podOf());
    await bench.clock.advance(500);
    await bench.die();
    await bench.start();
    await bench.clock.advance(1000);
    assert.deepEqual(bench.trace, ["start web#0"]);
    assert.equal(await bench.phase(), "Running");
  });

  it("ends a pod whose object was deleted while no kubelet ran", async () => {
    await using bench = new Bench();
    await bench.start();
    await bench.client.create(pods, podOf());
    await bench.clock.advance(500);
    await bench.die();
    await bench.client.delete(pods, key, { gracePeriodSeconds: 0 });
    await bench.start();
    await bench.clock.advance(1000);
    assert.deepEqual(bench.trace.slice(1), ["SIGTERM web#0", "exit web#0 143", "forget web#0"]);
  });

  for (const meanwhile of ["while it runs", "while no kubelet runs"]) {
    it(`ends a pod before the one of its name that replaces it ${meanwhile}`, async () => {
      await using bench = new Bench();
      await bench.start();
      await bench.client.create(pods, podOf());
      await bench.clock.advance(500);
      if (meanwhile === "while no kubelet runs") await bench.die();
      await bench.client.delete(pods, key, { gracePeriodSeconds: 0 });
      await bench.client.create(pods, podOf());
      if (meanwhile === "while no kubelet runs") await bench.start();
      await bench.clock.advance(1000);
      const order = ["start web#0", "SIGTERM web#0", "exit web#0 143", "forget web#0", "start web#0"];
      assert.deepEqual(bench.trace, order);
      assert.equal(await bench.phase(), "Running");
    });
  }

  it("goes on while the API server is away, and says what happened when it is back", async () => {
    await using bench = new Bench();
    await bench.start();
    await bench.client.create(pods, podOf({ restartPolicy: "Never" }));
    await bench.clock.advance(500);
    bench.client.failNext(...Array.from({ length: 8 }, () => new Error("away")));
    const { uid = "" } = (await bench.client.get(pods, key).catch(() => podOf())).metadata;
    bench.runtime.exit(
      uid === "" ? ([...bench.runtime.machine.entries.keys()][0]?.split("/")[0] ?? "") : uid,
      "web",
      0,
    );
    await bench.clock.advance(30_000);
    assert.equal(await bench.phase(), "Succeeded");
  });

  it("keeps a pod that has ended until its object goes, also across a restart", async () => {
    await using bench = new Bench();
    await bench.start();
    const { uid = "" } = (await bench.client.create(pods, podOf({ restartPolicy: "Never" }))).metadata;
    await bench.clock.advance(500);
    bench.runtime.exit(uid, "web", 3);
    await bench.clock.advance(500);
    await bench.die();
    const kubelet = await bench.start();
    assert.equal(await bench.phase(), "Failed");
    const pod = kubelet.findPod("shop", "web");
    assert.ok(pod !== undefined);
    assert.equal(kubelet.statusOf(pod)?.containerStatuses?.[0]?.state.terminated?.exitCode, 3);
    await bench.client.delete(pods, key);
    await bench.clock.advance(1000);
    await assert.rejects(bench.phase(), { code: "NotFound" });
  });
});
