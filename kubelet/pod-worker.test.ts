/** The life of a pod on its node, with a runtime in memory and time by hand. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { type Container, type Pod, type PodSpec, sidecarStatusAnnotation } from "#api/core/pod.ts";
import type { ImageMapEntry } from "#api/wire/image.ts";
import { ManualClock } from "#lib/clock.ts";
import { silentLogger } from "#lib/log.ts";
import { AddressPool } from "./address-pool.ts";
import { FakeRuntime } from "./fake-runtime.ts";
import { PodDirs, type PodRecord } from "./pod-dirs.ts";
import { PodWorker } from "./pod-worker.ts";
import { podStatus } from "./status.ts";
import type { WorkerDependencies } from "./worker-dependencies.ts";

const root = mkdtempSync(join(tmpdir(), "wherry-worker-"));
after(() => rmSync(root, { recursive: true, force: true }));

/** A node with one pod on it. */
class Bench {
  readonly clock = new ManualClock();
  readonly dirs: PodDirs;
  readonly images: ImageMapEntry[] = [{ image: "web", command: ["serve"] }];
  /** Names of the probes' containers that fail their probes. */
  readonly sick = new Set<string>();
  /** What an attempt to make the pod's network fails with, once each. */
  readonly scriptErrors: Error[] = [];
  runtime: FakeRuntime;
  worker: PodWorker;
  pod: Pod;
  gone = false;
  #addresses = new AddressPool("10.244.1.0/24");

  constructor(pod: Pod, startMs = 0) {
    this.runtime = new FakeRuntime(this.clock, { startMs });
    this.dirs = new PodDirs(mkdtempSync(join(root, "pods-")));
    this.pod = pod;
    this.worker = this.#worker();
  }

  get trace(): string[] {
    return this.runtime.machine.trace;
  }

  #worker(pod: Pod = this.pod): PodWorker {
    return new PodWorker(pod, this.#dependencies());
  }

  /** The kubelet dies and its successor takes over; without the object when that has gone. */
  restart(object: "kept" | "removed"): void {
    this.runtime = this.runtime.successor();
    this.#addresses = new AddressPool("10.244.1.0/24");
    const [record] = this.dirs.records();
    assert.ok(record !== undefined, "the record is on disk");
    this.#addresses.adopt(record.uid, record.podIP);
    this.worker = this.#worker(object === "kept" ? this.pod : withoutObject(record));
    this.worker.adopt(record);
    if (object === "removed") this.worker.objectRemoved();
  }

  delete(graceSeconds: number): void {
    const deletionTimestamp = "2026-01-01T00:00:00Z";
    const metadata = { ...this.pod.metadata, deletionTimestamp, deletionGracePeriodSeconds: graceSeconds };
    this.pod = { ...this.pod, metadata };
    this.worker.update(this.pod);
  }

  get status(): NonNullable<Pod["status"]> {
    return podStatus(this.pod, this.worker.view(), this.clock.nowMs());
  }

  get ready(): boolean {
    return this.status.conditions?.find(({ type }) => type === "Ready")?.status === "True";
  }

  /** Advances until nothing is due at this moment. */
  settle(): Promise<void> {
    return this.clock.advance(1);
  }

  #dependencies(): WorkerDependencies {
    const { clock, dirs, images, trace } = this;
    return {
      runtime: this.runtime,
      prober: async (_, { container }) => ({ ok: !this.sick.has(container.name), detail: "" }),
      sidecars: {
        add: async () => {
          await clock.sleep(50);
          trace.push("sidecar listens");
        },
        remove: async () => void trace.push("sidecar removed"),
      },
      references: { configMap: async () => undefined, secret: async () => undefined },
      dirs,
      addresses: this.#addresses,
      images,
      clock,
      log: silentLogger,
      nodeName: "node1",
      hostIP: "100.64.0.2",
      nameserver: "10.96.0.10",
      nodeBinary: "/usr/bin/node",
      runScript: async (script) => {
        const error = this.scriptErrors.shift();
        if (error !== undefined) throw error;
        trace.push(script.includes("link add") ? "network made" : "network removed");
      },
      changed: () => undefined,
      gone: () => {
        this.gone = true;
      },
    };
  }
}

function withoutObject({ namespace, name, uid }: PodRecord): Pod {
  return { apiVersion: "v1", kind: "Pod", metadata: { namespace, name, uid }, spec: { containers: [] } };
}

const web: Container = { name: "web", image: "web" };

function podOf(spec: Partial<PodSpec> = {}, injected = false): Pod {
  const annotations = injected ? { [sidecarStatusAnnotation]: "injected" } : {};
  const metadata = { name: "web-1", namespace: "shop", uid: "u1", annotations };
  return { apiVersion: "v1", kind: "Pod", metadata, spec: { containers: [web], ...spec } };
}

/** A pod that runs. */
async function running(spec: Partial<PodSpec> = {}, injected = false): Promise<Bench> {
  const bench = new Bench(podOf(spec, injected));
  bench.worker.step();
  await bench.clock.advance(100);
  return bench;
}

describe("PodWorker start", () => {
  it("makes the network, then the sidecar, and starts containers when it listens", async () => {
    const bench = await running({}, true);
    assert.deepEqual(bench.trace, ["network made", "sidecar listens", "start web#0"]);
    assert.equal(bench.status.phase, "Running");
    assert.equal(bench.status.podIP, "10.244.1.2");
    assert.ok(bench.ready);
  });

  it("says why it cannot, and tries again after 500 ms doubling", async () => {
    const bench = new Bench(podOf());
    bench.scriptErrors.push(new Error("no veth"), new Error("no veth"));
    bench.worker.step();
    await bench.settle();
    assert.deepEqual(bench.status.containerStatuses?.[0]?.state, {
      waiting: { reason: "FailedCreatePodSandBox", message: "no veth" },
    });
    await bench.clock.advance(499);
    assert.deepEqual(bench.trace, []);
    await bench.clock.advance(1001);
    assert.deepEqual(bench.trace, ["network made", "start web#0"]);
  });

  it("explains an image without mapping, and recovers when there is one", async () => {
    const bench = new Bench(podOf({ containers: [{ name: "web", image: "other" }] }));
    bench.worker.step();
    await bench.settle();
    const waiting = bench.status.containerStatuses?.[0]?.state.waiting;
    assert.equal(waiting?.reason, "ErrImagePull");
    assert.match(waiting.message ?? "", /^Cannot resolve image "other": no entry in the image map/);
    assert.equal(bench.status.phase, "Pending");
    bench.images.push({ image: "other", command: ["serve"] });
    await bench.clock.advance(10_000);
    assert.deepEqual(bench.trace, ["network made", "start web#0"]);
    assert.equal(bench.status.phase, "Running");
  });
});

describe("PodWorker restart", () => {
  it("restarts a container that was killed, and counts it", async () => {
    const bench = await running();
    bench.runtime.exit("u1", "web", 137);
    await bench.settle();
    assert.deepEqual(bench.trace.slice(-2), ["exit web#0 137", "start web#1"]);
    const [status] = bench.status.containerStatuses ?? [];
    assert.deepEqual([status?.restartCount, status?.lastState.terminated?.exitCode], [1, 137]);
  });

  it("waits 10 s before the second restart, and says so", async () => {
    const bench = await running();
    bench.runtime.exit("u1", "web", 1);
    await bench.settle();
    bench.runtime.exit("u1", "web", 1);
    await bench.settle();
    const [status] = bench.status.containerStatuses ?? [];
    assert.deepEqual(status?.state.waiting, {
      reason: "CrashLoopBackOff",
      message: "back-off 10s restarting failed container=web pod=web-1_shop",
    });
    assert.equal(status.lastState.terminated?.exitCode, 1);
    await bench.clock.advance(9_900);
    assert.equal(bench.trace.at(-1), "exit web#1 1");
    await bench.clock.advance(200);
    assert.equal(bench.trace.at(-1), "start web#2");
  });

  it("leaves a pod that must not restart, with its phase", async () => {
    const bench = await running({ restartPolicy: "Never" });
    bench.runtime.exit("u1", "web", 3);
    await bench.clock.advance(60_000);
    assert.equal(bench.trace.at(-1), "exit web#0 3");
    assert.equal(bench.status.phase, "Failed");
  });

  it("restarts a container whose liveness probe fails, by TERM, then KILL after the grace period", async () => {
    const livenessProbe = { exec: { command: ["check"] }, periodSeconds: 1, failureThreshold: 2 };
    const bench = await running({ containers: [{ ...web, livenessProbe }], terminationGracePeriodSeconds: 5 });
    bench.runtime.stubborn.add("web");
    bench.sick.add("web");
    await bench.clock.advance(2000);
    assert.equal(bench.trace.at(-1), "SIGTERM web#0");
    assert.ok(!bench.ready);
    bench.sick.clear();
    await bench.clock.advance(4800);
    assert.equal(bench.trace.at(-1), "SIGTERM web#0");
    await bench.clock.advance(300);
    assert.deepEqual(bench.trace.slice(-3), ["SIGKILL web#0", "exit web#0 137", "start web#1"]);
  });

  it("is ready only while its readiness probe passes", async () => {
    const readinessProbe = { exec: { command: ["check"] }, periodSeconds: 1, failureThreshold: 1 };
    const bench = new Bench(podOf({ containers: [{ ...web, readinessProbe }] }));
    bench.sick.add("web");
    bench.worker.step();
    await bench.clock.advance(500);
    assert.ok(!bench.ready);
    bench.sick.clear();
    await bench.clock.advance(200);
    assert.ok(bench.ready);
    bench.sick.add("web");
    await bench.clock.advance(1000);
    assert.ok(!bench.ready);
  });
});

describe("PodWorker deletion", () => {
  it("drains, sends TERM, then KILL at the end of the grace period, and removes the sidecar last", async () => {
    const bench = await running({}, true);
    bench.runtime.stubborn.add("web");
    const from = bench.trace.length;
    bench.delete(30);
    await bench.clock.advance(1400);
    assert.deepEqual(bench.trace.slice(from), []);
    assert.ok(bench.ready, "it serves while it drains");
    await bench.clock.advance(200);
    assert.deepEqual(bench.trace.slice(from), ["SIGTERM web#0"]);
    assert.ok(!bench.ready);
    await bench.clock.advance(29_800);
    assert.deepEqual(bench.trace.slice(from), ["SIGTERM web#0"]);
    await bench.clock.advance(200);
    assert.deepEqual(bench.trace.slice(from + 1), [
      "SIGKILL web#0",
      "exit web#0 137",
      "sidecar removed",
      "network removed",
      "forget web#0",
    ]);
    assert.ok(bench.gone);
    assert.deepEqual(bench.dirs.records(), []);
  });

  it("ends a pod whose program heeds TERM without waiting for the grace period", async () => {
    const bench = await running();
    bench.delete(30);
    await bench.clock.advance(1600);
    assert.ok(bench.gone);
  });

  it("does not restart a container that ends by the deletion", async () => {
    const bench = await running();
    bench.delete(30);
    bench.runtime.exit("u1", "web", 0);
    await bench.clock.advance(2000);
    assert.ok(!bench.trace.includes("start web#1"));
    assert.ok(bench.gone);
  });

  it("shortens the grace period by a second, shorter deletion, and never lengthens it", async () => {
    const bench = await running();
    bench.runtime.stubborn.add("web");
    bench.delete(30);
    await bench.clock.advance(3000);
    bench.delete(60);
    bench.delete(2);
    await bench.clock.advance(1900);
    assert.equal(bench.trace.at(-1), "SIGTERM web#0");
    await bench.clock.advance(200);
    assert.ok(bench.gone);
  });

  it("ends at once, also while it drains, when the grace period is 0", async () => {
    const bench = await running();
    bench.runtime.stubborn.add("web");
    bench.delete(30);
    await bench.clock.advance(100);
    bench.delete(0);
    await bench.clock.advance(5);
    assert.ok(bench.gone);
    assert.ok(bench.trace.includes("SIGKILL web#0"));
  });

  it("removes what it had made when it is deleted while its sandbox is being made", async () => {
    const bench = new Bench(podOf({}, true));
    bench.worker.step();
    await bench.clock.advance(10);
    bench.delete(30);
    await bench.clock.advance(100);
    assert.deepEqual(bench.trace, ["network made", "sidecar listens", "sidecar removed", "network removed"]);
    assert.ok(bench.gone);
  });

  it("waits for a container that is being started, and ends it", async () => {
    const bench = new Bench(podOf(), 500);
    bench.worker.step();
    await bench.clock.advance(100);
    bench.delete(30);
    await bench.clock.advance(100);
    assert.ok(!bench.gone);
    await bench.clock.advance(500);
    assert.deepEqual(bench.trace.slice(1), [
      "start web#0",
      "SIGKILL web#0",
      "exit web#0 137",
      "network removed",
      "forget web#0",
    ]);
  });

  it("gives up a pod that could not start", async () => {
    const bench = new Bench(podOf());
    bench.scriptErrors.push(new Error("no veth"));
    bench.worker.step();
    await bench.settle();
    bench.delete(30);
    await bench.settle();
    assert.ok(bench.gone);
  });
});

describe("PodWorker.adopt()", () => {
  it("keeps what runs: no restart, ready as before, and hears of later ends", async () => {
    const bench = await running();
    bench.pod = { ...bench.pod, status: bench.status };
    const from = bench.trace.length;
    bench.restart("kept");
    await bench.clock.advance(1000);
    assert.deepEqual(bench.trace.slice(from), []);
    assert.ok(bench.ready);
    assert.equal(bench.status.podIP, "10.244.1.2");
    bench.runtime.exit("u1", "web", 1);
    await bench.settle();
    assert.deepEqual(bench.trace.slice(from), ["exit web#0 1", "start web#1"]);
  });

  it("learns of an end that happened meanwhile, and restarts", async () => {
    const bench = await running();
    const dead = bench.runtime;
    bench.runtime = dead.successor();
    bench.runtime.exit("u1", "web", 7);
    bench.restart("kept");
    await bench.settle();
    assert.equal(bench.trace.at(-1), "start web#1");
    assert.equal(bench.status.containerStatuses?.[0]?.lastState.terminated?.exitCode, 7);
  });

  it("leaves a pod that ended meanwhile and must not restart", async () => {
    const bench = await running({ restartPolicy: "Never" });
    bench.runtime.exit("u1", "web", 0);
    bench.restart("kept");
    await bench.clock.advance(1000);
    assert.equal(bench.status.phase, "Succeeded");
  });

  it("starts a container that the earlier kubelet had not come to", async () => {
    const bench = await running();
    bench.pod = { ...bench.pod, spec: { containers: [web, { name: "late", image: "web" }] } };
    bench.restart("kept");
    await bench.settle();
    assert.equal(bench.trace.at(-1), "start late#0");
  });

  it("ends containers whose object went while no kubelet ran, before it forgets them", async () => {
    const bench = await running({}, true);
    bench.runtime.stubborn.add("web");
    const from = bench.trace.length;
    bench.restart("removed");
    await bench.clock.advance(100);
    assert.deepEqual(
      bench.trace.slice(from).filter((line) => !line.startsWith("SIGTERM")),
      ["exit web#0 143", "sidecar removed", "network removed", "forget web#0"],
    );
    assert.ok(bench.gone);
  });
});
