/**
 * Node lifecycle: notices nodes that have gone silent, says so, keeps new pods away from them and has theirs evicted.
 *
 *   Nodes, Leases ─▶ health.ts ─▶ conditions Unknown, pods not ready ─▶ taints.ts ─▶ taints ─▶ taint-eviction.ts
 *
 * One pass looks at all nodes: how many are lost decides whether any is emptied. A pass runs every `monitorMs`, and at
 * once when a node's conditions or taints change.
 * Follows: k8s.io/kubernetes pkg/controller/nodelifecycle (monitorNodeHealth, handleDisruption); the cluster is one
 * zone, and evictions are not spread over time.
 */
import { Informer } from "#api/client/informer.ts";
import type { EventRecorder } from "#api/client/events.ts";
import { type Lease, leases, nodeLeaseNamespace } from "#api/coordination/lease.ts";
import { type Node, nodes } from "#api/core/node.ts";
import { type Pod, pods } from "#api/core/pod.ts";
import { type Condition, formatTime, keyOf } from "#api/meta.ts";
import { isConflict, isNotFound } from "#api/status.ts";
import { messageOf } from "#lib/errors.ts";
import type { Context, Controller } from "../context.ts";
import {
  conditionOf,
  type Disruption,
  disruptionOf,
  type HealthConfig,
  isSilent,
  type NodeHealth,
  observe,
  unknownConditions,
} from "./health.ts";
import { plannedTaints } from "./taints.ts";

export interface NodeLifecycleOptions {
  /** Longest silence of a node, in ms. Default 50 000. */
  readonly nodeMonitorGraceMs?: number;
  /** Longest silence of a node that never was ready, in ms. Default 60 000. */
  readonly nodeStartupGraceMs?: number;
  /** Time between two looks at all nodes, in ms. Default 5000. */
  readonly nodeMonitorPeriodMs?: number;
}

/** How long to wait before a change that met another is tried again, in ms. */
const retryMs = 100;

export function createNodeLifecycleController(context: Context, options: NodeLifecycleOptions = {}): Controller {
  const lifecycle = new NodeLifecycle(context, options);
  const summary = ({ spec, status }: Node): string =>
    JSON.stringify([spec, status?.conditions?.map((condition) => [condition.type, condition.status])]);
  context.informers.nodes.addHandler({
    added: (node) => lifecycle.register(node),
    updated: (node, before) => (summary(node) === summary(before) ? undefined : lifecycle.wake()),
    deleted: (node) => lifecycle.forget(node),
  });
  return { name: "node-lifecycle", start: (signal) => lifecycle.start(signal) };
}

class NodeLifecycle {
  readonly #context: Context;
  readonly #config: HealthConfig;
  readonly #periodMs: number;
  readonly #recorder: EventRecorder;
  readonly #leases: Informer<Lease>;
  readonly #health = new Map<string, NodeHealth>();
  /** Nodes whose pods are still to be marked. */
  readonly #unmarked = new Set<string>();
  #disruption: Disruption = "none";
  #signal: AbortSignal | undefined;
  #pass: "idle" | "running" | "again" = "idle";

  constructor(context: Context, options: NodeLifecycleOptions) {
    this.#context = context;
    this.#config = {
      graceMs: options.nodeMonitorGraceMs ?? 50_000,
      startupGraceMs: options.nodeStartupGraceMs ?? 60_000,
    };
    this.#periodMs = options.nodeMonitorPeriodMs ?? 5000;
    this.#recorder = context.recorder("node-controller");
    this.#leases = new Informer(leases, { ...context, selector: { namespace: nodeLeaseNamespace } });
  }

  start(signal: AbortSignal): void {
    this.#signal = signal;
    void this.#leases.run(signal);
    void this.#leases.synced.then(() => this.#tick());
  }

  register(node: Node): void {
    const { name } = node.metadata;
    // Whoever found it silent may have ended before its pods were marked.
    if (conditionOf(node, "Ready") === "Unknown") this.#unmarked.add(name);
    this.#recorder.record(
      node,
      "Normal",
      "RegisteredNode",
      `Node ${name} event: Registered Node ${name} in Controller`,
    );
    this.wake();
  }

  forget(node: Node): void {
    const { name } = node.metadata;
    this.#health.delete(name);
    this.#unmarked.delete(name);
    this.#recorder.record(node, "Normal", "RemovingNode", `Node ${name} event: Removing Node ${name} from Controller`);
  }

  /** Has a pass run soon. */
  wake(): void {
    if (this.#signal === undefined || this.#signal.aborted) return;
    if (this.#pass === "idle") void this.#run();
    else this.#pass = "again";
  }

  #tick(): void {
    if (this.#signal?.aborted === true) return;
    this.wake();
    this.#context.clock.after(this.#periodMs, () => this.#tick());
  }

  async #run(): Promise<void> {
    do {
      this.#pass = "running";
      await this.#look();
    } while ((this.#pass as string) === "again");
    this.#pass = "idle";
  }

  async #look(): Promise<void> {
    const looked: Node[] = [];
    for (const node of this.#context.informers.nodes.list()) {
      const current = await this.#attempt(node.metadata.name, () => this.#checkHealth(node));
      looked.push(current ?? node);
    }
    this.#setDisruption(disruptionOf(looked.map((node) => conditionOf(node, "Ready"))));
    for (const node of looked) await this.#attempt(node.metadata.name, () => this.#applyTaints(node));
    for (const name of this.#unmarked) await this.#attempt(name, () => this.#markPods(name));
  }

  /** Runs `work`; what fails is done again in a later pass. */
  async #attempt<T>(node: string, work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      if (isNotFound(error)) return undefined;
      if (isConflict(error)) this.#context.clock.after(retryMs, () => this.wake());
      else this.#context.log.warn("Cannot look after a node", { node, error: messageOf(error) });
      return undefined;
    }
  }

  async #checkHealth(node: Node): Promise<Node> {
    const { client, clock } = this.#context;
    const { name } = node.metadata;
    const nowMs = clock.monotonicMs();
    const lease = this.#leases.get({ namespace: nodeLeaseNamespace, name });
    const health = observe(this.#health.get(name), node, lease, nowMs);
    this.#health.set(name, health);
    const conditions = isSilent(health, node, nowMs, this.#config)
      ? unknownConditions(node, formatTime(clock.nowMs()))
      : undefined;
    if (conditions === undefined) return node;
    const { resourceVersion } = node.metadata;
    const wasReady = conditionOf(node, "Ready") === "True";
    const next = await client.patchStatus(nodes, { name }, { metadata: { resourceVersion }, status: { conditions } });
    if (wasReady) {
      this.#recorder.record(node, "Normal", "NodeNotReady", `Node ${name} status is now: NodeNotReady`);
      this.#unmarked.add(name);
    }
    return next;
  }

  #setDisruption(next: Disruption): void {
    if (next === this.#disruption) return;
    this.#context.log.info("Disruption of the nodes has changed", { from: this.#disruption, to: next });
    // Whoever was silent while all were gets its full grace again: it was probably not the nodes' fault.
    if (this.#disruption === "full") {
      const probeMs = this.#context.clock.monotonicMs();
      for (const [name, health] of this.#health) this.#health.set(name, { ...health, probeMs });
    }
    this.#disruption = next;
  }

  async #applyTaints(node: Node): Promise<void> {
    const { client, clock } = this.#context;
    const taints = plannedTaints(node, this.#disruption, formatTime(clock.nowMs()));
    if (taints === undefined) return;
    const { name, resourceVersion } = node.metadata;
    const spec = { taints: taints.length === 0 ? null : taints };
    await client.patch(nodes, { name }, { metadata: { resourceVersion }, spec });
  }

  /** Pods on a silent node are not ready: nobody can say that they are, and traffic must go elsewhere. */
  async #markPods(nodeName: string): Promise<void> {
    for (const pod of this.#context.informers.pods.list())
      if (pod.spec.nodeName === nodeName) await this.#markPod(keyOf(pod));
    this.#unmarked.delete(nodeName);
  }

  async #markPod(key: { readonly namespace?: string; readonly name: string }): Promise<void> {
    const { client, clock } = this.#context;
    const pod: Pod | undefined = await client.get(pods, key).catch((error: unknown) => {
      if (isNotFound(error)) return undefined;
      throw error;
    });
    const before: readonly Condition[] = pod?.status?.conditions ?? [];
    if (pod === undefined || !before.some(({ type, status }) => type === "Ready" && status === "True")) return;
    const lastTransitionTime = formatTime(clock.nowMs());
    const conditions = before.map((condition) =>
      condition.type === "Ready" ? { ...condition, status: "False", lastTransitionTime } : condition,
    );
    const { resourceVersion } = pod.metadata;
    await client.patchStatus(pods, key, { metadata: { resourceVersion }, status: { conditions } });
    this.#recorder.record(pod, "Warning", "NodeNotReady", "Node is not ready");
  }
}
