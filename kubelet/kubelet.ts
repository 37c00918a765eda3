/**
 * The kubelet: runs the pods that are bound to its node.
 *
 *   API server ─ watch (spec.nodeName) ─▶ PodWorker, one a pod ─▶ runtime, network, sidecar
 *              ◀─ status, final deletion ─┘
 *
 * Invariant: a restart changes nothing for pods that run: what an earlier kubelet left is adopted, and only what has no
 * object any more is removed.
 */
import { spawn } from "node:child_process";
import type { KubeClient } from "#api/client/client.ts";
import { Informer } from "#api/client/informer.ts";
import { type Pod, pods } from "#api/core/pod.ts";
import { keyOf } from "#api/meta.ts";
import type { ImageMapEntry } from "#api/wire/image.ts";
import { isConflict, isNotFound } from "#api/status.ts";
import type { Clock } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";
import { AddressPool } from "./address-pool.ts";
import { KubeletError } from "./errors.ts";
import { boundLogs } from "./logs.ts";
import { keepNode } from "./node-status.ts";
import { PodDirs, type PodRecord } from "./pod-dirs.ts";
import { PodWorker } from "./pod-worker.ts";
import { createProber } from "./prober.ts";
import { ProcessRuntime } from "./process-runtime.ts";
import { liveReferences } from "./references.ts";
import type { Runtime } from "./runtime.ts";
import type { Sidecars } from "./sidecars.ts";
import { podStatus } from "./status.ts";
import { StatusWriter } from "./status-writer.ts";
import type { WorkerDependencies } from "./worker-dependencies.ts";

/** How often logs are held to their bound, in ms. */
const logBoundMs = 10_000;

export interface KubeletOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly sidecars: Sidecars;
  readonly nodeName: string;
  readonly nodeIP: string;
  /** The node's pod addresses, a /24. */
  readonly podCIDR: string;
  /** The cluster's DNS address. */
  readonly nameserver: string;
  readonly images: readonly ImageMapEntry[];
  /** Folder on the cluster's tmpfs. */
  readonly runDir: string;
  /** Folder for pod logs. */
  readonly logDir: string;
  readonly kubeletPort: number;
}

export class Kubelet {
  readonly runtime: Runtime;
  readonly #options: KubeletOptions;
  readonly #dirs: PodDirs;
  readonly #addresses: AddressPool;
  readonly #informer: Informer<Pod>;
  readonly #statuses: StatusWriter;
  readonly #workers = new Map<string, PodWorker>();

  constructor(options: KubeletOptions) {
    const { client, clock, random, log, nodeName, runDir, logDir, podCIDR } = options;
    this.#options = options;
    this.#dirs = new PodDirs(runDir);
    this.#addresses = new AddressPool(podCIDR);
    this.runtime = new ProcessRuntime(this.#dirs, logDir, clock);
    const selector = { fieldSelector: `spec.nodeName=${nodeName}` };
    this.#informer = new Informer(pods, { client, clock, random, log, selector });
    this.#statuses = new StatusWriter(client, clock, log);
  }

  /** Registers the node, adopts what is there and follows the API server until `signal` aborts. Resolves once synced. */
  async start(signal: AbortSignal): Promise<void> {
    const { client, clock, log, nodeName, nodeIP, podCIDR, kubeletPort } = this.#options;
    const facts = { name: nodeName, internalIP: nodeIP, podCIDR, kubeletPort };
    void keepNode(facts, { client, clock, log, signal });
    const records = this.#dirs.records();
    for (const { uid, podIP } of records) this.#addresses.adopt(uid, podIP);
    void this.#informer.run(signal);
    void this.#boundLogs(signal);
    await this.#informer.synced;
    this.#adopt(records);
    this.#informer.addHandler({
      added: (pod) => this.#observe(pod),
      updated: (pod) => this.#observe(pod),
      deleted: (pod) => this.#workers.get(pod.metadata.uid ?? "")?.objectRemoved(),
    });
  }

  async #boundLogs(signal: AbortSignal): Promise<void> {
    const { clock, logDir, log } = this.#options;
    while (!signal.aborted) {
      await clock.sleep(logBoundMs, signal).catch(() => undefined); // Aborted: the loop's condition sees it.
      await boundLogs(logDir).catch((error: unknown) => log.warn("Logs not bounded", { error: messageOf(error) }));
    }
  }

  /** A pod of this node. */
  findPod(namespace: string, name: string): Pod | undefined {
    return this.#informer.get({ namespace, name });
  }

  #adopt(records: readonly PodRecord[]): void {
    const objects = new Map(this.#informer.list().map((pod) => [pod.metadata.uid ?? "", pod]));
    for (const record of records) {
      const pod = objects.get(record.uid);
      const worker = new PodWorker(pod ?? orphan(record), this.#dependencies());
      this.#workers.set(record.uid, worker);
      worker.adopt(record);
      if (pod === undefined) worker.objectRemoved();
      else worker.update(pod);
    }
  }

  #observe(pod: Pod): void {
    const uid = pod.metadata.uid ?? "";
    let worker = this.#workers.get(uid);
    if (worker === undefined) {
      if (pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed") return this.#finalize(pod);
      worker = new PodWorker(pod, this.#dependencies());
      this.#workers.set(uid, worker);
    }
    worker.update(pod);
  }

  /** A pod that has ended before: nothing runs, so a deletion needs nothing but our word. */
  #finalize(pod: Pod): void {
    if (pod.metadata.deletionTimestamp !== undefined) void this.#deleteObject(pod);
  }

  #dependencies(): WorkerDependencies {
    const { client, clock, log, sidecars, images, nodeName, nodeIP, nameserver } = this.#options;
    return {
      runtime: this.runtime,
      prober: createProber(this.runtime, clock),
      sidecars,
      references: liveReferences(client),
      dirs: this.#dirs,
      addresses: this.#addresses,
      images,
      clock,
      log,
      nodeName,
      hostIP: nodeIP,
      nameserver,
      nodeBinary: process.execPath,
      runScript: runShell,
      changed: (worker) => this.#report(worker),
      gone: (worker, pod) => {
        this.#workers.delete(worker.uid);
        this.#statuses.forget(worker.uid);
        void this.#deleteObject(pod);
      },
    };
  }

  #report(worker: PodWorker): void {
    const pod = this.#informer.get(worker.key);
    // Another pod may have the name by now.
    if (pod?.metadata.uid !== worker.uid || worker.isGone) return;
    this.#statuses.want(pod, podStatus(pod, worker.view(), this.#options.clock.nowMs()));
  }

  /** Completes the deletion; repeated until the API server has taken it. */
  async #deleteObject(pod: Pod): Promise<void> {
    const { client, clock, log } = this.#options;
    const uid = pod.metadata.uid ?? "";
    for (let delayMs = 100; ; delayMs = Math.min(delayMs * 2, 5000)) {
      try {
        await client.delete(pods, keyOf(pod), { gracePeriodSeconds: 0, preconditions: { uid } });
        return;
      } catch (error) {
        if (isNotFound(error) || isConflict(error)) return; // Gone, or another pod of that name.
        log.debug("Pod not deleted", { pod: pod.metadata.name, error: messageOf(error) });
        await clock.sleep(delayMs);
      }
    }
  }
}

/** What stands for a pod whose object went while no kubelet ran: enough to end it. */
function orphan({ namespace, name, uid }: PodRecord): Pod {
  return { apiVersion: "v1", kind: "Pod", metadata: { namespace, name, uid }, spec: { containers: [] } };
}

/** Runs a script in this process's namespaces. */
function runShell(script: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn("/bin/dash", ["-e"], { stdio: ["pipe", "ignore", "pipe"] });
    let errors = "";
    child.stderr.on("data", (chunk: Buffer) => (errors = (errors + chunk.toString()).slice(-2000)));
    child.once("error", reject);
    child.once("close", (code) => {
      if (code === 0) return resolve();
      reject(new KubeletError("FailedCreatePodSandBox", `Cannot set up the pod's network: ${errors.trim()}`));
    });
    child.stdin.on("error", reject);
    child.stdin.end(script);
  });
}
