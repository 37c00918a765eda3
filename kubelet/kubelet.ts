/**
 * The kubelet: runs the pods that are bound to its node.
 *
 *   API server ─ watch (spec.nodeName) ─▶ PodWorker, one a pod ─▶ runtime, network, sidecar
 *              ◀─ status, final deletion ─┘
 *
 * Invariant: a restart changes nothing for pods that run: what an earlier kubelet left is adopted, and only what has no
 * object any more is removed. Of two pods of one name the new one starts when nothing is left of the old one.
 */
import type { KubeClient } from "#api/client/client.ts";
import type { EventRecorder } from "#api/client/events.ts";
import { Informer } from "#api/client/informer.ts";
import type { Node } from "#api/core/node.ts";
import { type Pod, type PodStatus, isPodFinished, pods } from "#api/core/pod.ts";
import { formatKey, keyOf } from "#api/meta.ts";
import { isConflict, isNotFound } from "#api/status.ts";
import type { ImageMapEntry } from "#api/wire/image.ts";
import type { StatsSummary } from "#api/wire/stats.ts";
import type { Clock } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";
import { AddressPool } from "./address-pool.ts";
import { Cgroups } from "./cgroups.ts";
import type { NodeResources } from "./downward.ts";
import type { APIService } from "./environment.ts";
import { createHookRunner } from "./hooks.ts";
import { noPolicies, type Policies } from "./policies.ts";
import { boundPodLogs, removeLogsExcept } from "./logs/log-files.ts";
import { type Machine, readMachine } from "./node/machine.ts";
import { keepLease } from "./node/node-lease.ts";
import { NodeRegistration } from "./node/node-registration.ts";
import { PodDirs, type PodRecord } from "./pod-dirs.ts";
import { PodWorker } from "./pod-worker.ts";
import { createProber } from "./probes/prober.ts";
import { ProcessRuntime } from "./process-runtime.ts";
import { liveReferences, onceEach } from "./references.ts";
import type { Runtime } from "./runtime.ts";
import { runShell } from "./shell.ts";
import type { Sidecars } from "./sidecars.ts";
import { Stats } from "./stats/stats.ts";
import { podStatus } from "./status.ts";
import { StatusWriter } from "./status-writer.ts";
import { type TokenSource, Tokens } from "./volumes/tokens.ts";
import type { WorkerDependencies } from "./worker-dependencies.ts";

/** How often logs are held to their bound, in ms. */
const logBoundMs = 10_000;
/** How often volumes are brought up to date with their ConfigMaps, Secrets and tokens, in ms. */
const volumeSyncMs = 20_000;
const apiServiceDefault: APIService = { host: "10.96.0.1", port: 443 };

export interface KubeletOptions {
  readonly client: KubeClient;
  /** Creates ServiceAccount tokens. */
  readonly tokenSource: TokenSource;
  readonly recorder: EventRecorder;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly sidecars: Sidecars;
  /** Default: none. */
  readonly policies?: Policies;
  readonly nodeName: string;
  readonly nodeIP: string;
  /** The node's pod addresses, a /24. */
  readonly podCIDR: string;
  /** The cluster's DNS address. */
  readonly nameserver: string;
  /** Where containers find the API server. Default 10.96.0.1:443. */
  readonly api?: APIService;
  readonly images: readonly ImageMapEntry[];
  /** Folder on the cluster's tmpfs. */
  readonly runDir: string;
  /** Folder for pod logs. */
  readonly logDir: string;
  readonly kubeletPort: number;
  /** Life of the node's lease, in seconds. Default 40. */
  readonly leaseDurationSeconds?: number;
  /** Told of the Node as it is, and each time that it is another. */
  readonly onNode?: (node: Node) => void;
  /** Name of the node's control group. Default: no control groups. */
  readonly cgroupName?: string;
  /** What is really done, for tests. Default: processes in namespaces. */
  readonly effects?: KubeletEffects;
}

export interface KubeletEffects {
  readonly runtime: Runtime;
  readonly runScript: (script: string) => Promise<void>;
  readonly readMachine: () => Machine;
}

export class Kubelet {
  readonly runtime: Runtime;
  readonly #options: KubeletOptions;
  readonly #dirs: PodDirs;
  readonly #addresses: AddressPool;
  readonly #informer: Informer<Pod>;
  readonly #statuses: StatusWriter;
  readonly #tokens: Tokens;
  readonly #cgroups: Cgroups;
  readonly #stats: Stats;
  readonly #effects: KubeletEffects;
  readonly #allocatable: NodeResources;
  readonly #workers = new Map<string, PodWorker>();

  constructor(options: KubeletOptions) {
    const { client, clock, random, log, nodeName, runDir, logDir, podCIDR, cgroupName, tokenSource } = options;
    this.#options = options;
    this.#dirs = new PodDirs(runDir);
    this.#addresses = new AddressPool(podCIDR);
    this.#cgroups = cgroupName === undefined ? Cgroups.none("none were asked for") : Cgroups.find(cgroupName);
    if (this.#cgroups.refusal !== undefined) log.info("No control groups", { because: this.#cgroups.refusal });
    this.#effects = options.effects ?? {
      runtime: new ProcessRuntime(this.#dirs, logDir, { clock, cgroups: this.#cgroups }),
      runScript: runShell,
      readMachine: () => readMachine(logDir),
    };
    this.runtime = this.#effects.runtime;
    const machine = this.#effects.readMachine();
    this.#allocatable = { cpus: machine.cpus, memory: machine.memory, storage: machine.storage };
    const selector = { fieldSelector: `spec.nodeName=${nodeName}` };
    this.#informer = new Informer(pods, { client, clock, random, log, selector });
    this.#statuses = new StatusWriter(client, clock, log);
    this.#tokens = new Tokens(tokenSource, clock);
    this.#stats = new Stats({ clock, cgroups: this.#cgroups, runtime: this.runtime, nodeName });
  }

  /**
   * Registers the node, adopts what is there and follows the API server until `signal` aborts. Resolves once synced and
   * registered.
   */
  async start(signal: AbortSignal): Promise<void> {
    const registered = this.#keepNode(signal);
    const records = this.#dirs.records();
    for (const { uid, podIP, finished } of records) if (finished !== true) this.#addresses.adopt(uid, podIP);
    void this.#informer.run(signal);
    await this.#informer.synced;
    this.#adopt(records);
    const present = [...this.#informer.list().map(({ metadata }) => metadata.uid ?? ""), ...this.#workers.keys()];
    removeLogsExcept(this.#options.logDir, new Set(present));
    this.#informer.addHandler({
      added: (pod) => this.#observe(pod),
      updated: (pod) => this.#observe(pod),
      deleted: (pod) => this.#forget(pod),
    });
    void this.#every(logBoundMs, signal, () => boundPodLogs(this.#options.logDir));
    void this.#every(volumeSyncMs, signal, () => this.#syncVolumes());
    await registered;
  }

  /** Resolves once the node is registered. */
  #keepNode(signal: AbortSignal): Promise<void> {
    const { client, clock, random, log, recorder, onNode } = this.#options;
    const { nodeName: name, nodeIP: internalIP, podCIDR, kubeletPort, leaseDurationSeconds } = this.#options;
    const facts = { name, internalIP, podCIDR, kubeletPort };
    const { readMachine } = this.#effects;
    const registration = new NodeRegistration(facts, {
      client,
      clock,
      random,
      log,
      recorder,
      readMachine,
      ...(onNode === undefined ? {} : { onNode }),
    });
    void registration.run(signal);
    void keepLease({ client, clock, log, nodeName: name, durationSeconds: leaseDurationSeconds }, signal);
    return registration.registered;
  }

  /** Does `task` again and again; one that fails is told and done again at its next time. */
  async #every(ms: number, signal: AbortSignal, task: () => Promise<void>): Promise<void> {
    const { clock, log } = this.#options;
    while (!signal.aborted) {
      await clock.sleep(ms, signal).catch(() => undefined); // Aborted: the loop's condition sees it.
      await task().catch((error: unknown) => log.warn("Upkeep failed", { error: messageOf(error) }));
    }
  }

  async #syncVolumes(): Promise<void> {
    const references = onceEach(liveReferences(this.#options.client));
    for (const worker of this.#workers.values()) await worker.refresh(references);
  }

  /** The namespace of the pod of this node that has the address, for names that are looked up from there. */
  namespaceOf(podIP: string): string | undefined {
    for (const worker of this.#workers.values()) if (worker.podIP === podIP) return worker.key.namespace;
    return undefined;
  }

  /** A pod of this node. */
  findPod(namespace: string, name: string): Pod | undefined {
    return this.#informer.get({ namespace, name });
  }

  /** What is to be said of a pod now. */
  statusOf(pod: Pod): PodStatus | undefined {
    const worker = this.#workers.get(pod.metadata.uid ?? "");
    return worker === undefined ? pod.status : podStatus(pod, worker.view(), this.#options.clock.nowMs());
  }

  /** What the node and its containers use. */
  stats(): Promise<StatsSummary> {
    const seen = [...this.#workers.values()].map((worker) => ({
      key: worker.key,
      uid: worker.uid,
      view: worker.view(),
    }));
    return this.#stats.summary(seen);
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
      if (isPodFinished(pod)) return this.#finalize(pod);
      const key = formatKey(keyOf(pod));
      const old = [...this.#workers.values()].find((other) => formatKey(other.key) === key);
      // Its object has gone, whatever was missed: the new pod waits until nothing of it is left.
      if (old !== undefined) return old.objectRemoved();
      worker = new PodWorker(pod, this.#dependencies());
      this.#workers.set(uid, worker);
    }
    worker.update(pod);
  }

  /** The object has gone: what is left of the pod goes, too. */
  #forget(pod: Pod): void {
    const uid = pod.metadata.uid ?? "";
    const worker = this.#workers.get(uid);
    if (worker === undefined) this.runtime.remove(uid);
    else worker.objectRemoved();
  }

  /** A pod that has ended before: nothing runs, so a deletion needs nothing but our word. */
  #finalize(pod: Pod): void {
    if (pod.metadata.deletionTimestamp === undefined) return;
    this.runtime.remove(pod.metadata.uid ?? "");
    void this.#deleteObject(pod);
  }

  #dependencies(): WorkerDependencies {
    const { client, clock, log, sidecars, images, nodeName, nodeIP, nameserver, recorder, api } = this.#options;
    return {
      runtime: this.runtime,
      prober: createProber(this.runtime, clock),
      hooks: createHookRunner(this.runtime, clock),
      sidecars,
      policies: this.#options.policies ?? noPolicies,
      references: liveReferences(client),
      tokens: this.#tokens,
      recorder,
      dirs: this.#dirs,
      addresses: this.#addresses,
      images,
      clock,
      log,
      nodeName,
      hostIP: nodeIP,
      nameserver,
      nodeBinary: process.execPath,
      api: api ?? apiServiceDefault,
      allocatable: this.#allocatable,
      limitsRefusal: this.#cgroups.refusal,
      runScript: this.#effects.runScript,
      changed: (worker) => this.#report(worker),
      gone: (worker, pod) => this.#gone(worker, pod),
    };
  }

  #report(worker: PodWorker): void {
    const pod = this.#informer.get(worker.key);
    // Another pod may have the name by now.
    if (pod?.metadata.uid !== worker.uid || worker.isGone) return;
    this.#statuses.want(pod, (newest) => podStatus(newest, worker.view(), this.#options.clock.nowMs()));
  }

  #gone(worker: PodWorker, pod: Pod): void {
    this.#workers.delete(worker.uid);
    this.#statuses.forget(worker.uid);
    const present = this.#informer.get(worker.key);
    if (present === undefined || present.metadata.uid === worker.uid) return void this.#deleteObject(pod);
    // A pod of the same name was waiting for this.
    this.#observe(present);
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
