/**
 * One pod on a node for tests of PodWorker: a runtime in memory, time by hand, and a trace of what was done, in order.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
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

/** Time by hand whose wall clock can be set apart from the monotonic one. */
export class SkewedClock extends ManualClock {
  /** How far the wall clock is off. */
  skewMs = 0;

  override nowMs(): number {
    return super.nowMs() + this.skewMs;
  }
}

/** A node with one pod on it. */
export class Bench {
  readonly clock: SkewedClock = new SkewedClock();
  readonly dirs: PodDirs;
  readonly images: ImageMapEntry[] = [{ image: "web", command: ["serve"] }];
  /** Names of the probes' containers that fail their probes. */
  readonly sick: Set<string> = new Set();
  /** What an attempt to make the pod's network fails with, once each. */
  readonly scriptErrors: Error[] = [];
  /** What an attempt to have the pod judged fails with, once each. */
  readonly policyErrors: Error[] = [];
  /** Whether the trace says when the pod is judged. */
  hasPolicies = false;
  readonly admitted: Set<string> = new Set();
  /** `Normal Started Container started spec.containers{web}`, …, in order. */
  readonly events: string[] = [];
  readonly configMaps: Map<string, Map<string, Buffer>> = new Map();
  runtime: FakeRuntime;
  worker: PodWorker;
  pod: Pod;
  gone = false;
  #addresses = new AddressPool("10.244.1.0/24");
  #lives = 0;

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
    this.#lives += 1;
    this.runtime = this.runtime.successor();
    this.#addresses = new AddressPool("10.244.1.0/24");
    const [record] = this.dirs.records();
    assert.ok(record !== undefined, "the record is on disk");
    this.#addresses.adopt(record.uid, record.podIP);
    this.worker = this.#worker(object === "kept" ? this.pod : withoutObject(record));
    this.worker.adopt(record);
    if (object === "removed") this.worker.objectRemoved();
    else this.worker.update(this.pod);
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
    const life = this.#lives;
    /** A dead kubelet's worker does nothing more. */
    const alive = (): Promise<void> => (life === this.#lives ? Promise.resolve() : new Promise(() => undefined));
    return {
      runtime: this.runtime,
      prober: async (_, { container }) => ({ ok: !this.sick.has(container.name), detail: "" }),
      sidecars: {
        add: async () => {
          await alive();
          await clock.sleep(50);
          trace.push("sidecar listens");
        },
        remove: async () => {
          await alive();
          trace.push("sidecar removed");
        },
      },
      policies: {
        admit: async (_, podIP) => {
          await alive();
          const error = this.policyErrors.shift();
          if (error !== undefined) throw error;
          this.admitted.add(podIP);
          trace.push(...(this.hasPolicies ? ["policies judge"] : []));
        },
        release: () => this.admitted.clear(),
      },
      references: { configMap: async (_, name) => this.configMaps.get(name), secret: async () => undefined },
      hooks: async (handler) => {
        trace.push(`hook ${Object.keys(handler).join()}`);
        if (handler.sleep !== undefined) await clock.sleep(handler.sleep.seconds * 1000);
        if (handler.exec?.command?.[0] === "false") throw new Error("it failed");
      },
      tokens: { token: async () => "t0ken", forget: () => undefined },
      recorder: {
        record: (about, type, reason, message) => {
          const fieldPath = "object" in about ? about.fieldPath : "";
          this.events.push(`${type} ${reason} ${message} ${fieldPath}`.trim());
        },
      },
      api: { host: "10.96.0.1", port: 443 },
      allocatable: { cpus: 4, memory: 2 ** 30, storage: 2 ** 33 },
      limitsRefusal: undefined,
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
        await alive();
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

export const web: Container = { name: "web", image: "web" };

export function podOf(spec: Partial<PodSpec> = {}, injected = false): Pod {
  const annotations = injected ? { [sidecarStatusAnnotation]: "injected" } : {};
  const metadata = { name: "web-1", namespace: "shop", uid: "u1", annotations };
  return { apiVersion: "v1", kind: "Pod", metadata, spec: { containers: [web], ...spec } };
}

/** A pod that runs. */
export async function running(spec: Partial<PodSpec> = {}, injected = false): Promise<Bench> {
  const bench = new Bench(podOf(spec, injected));
  bench.worker.step();
  await bench.clock.advance(100);
  return bench;
}
