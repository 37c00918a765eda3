/**
 * Which node a pod goes to. Pure.
 *
 *   filters (must hold) ─▶ scores (0–100 each) ─▶ the best node, or why each was refused
 *
 * Filters: NodeUnschedulable, TaintToleration, NodeAffinity (nodeSelector), NodeResourcesFit, node Ready.
 * Scores: NodeResourcesFit LeastAllocated (weight 1), PodTopologySpread over nodes for pods of the same owner
 * (weight 2).
 */
import type { Node, Taint } from "#api/core/node.ts";
import type { Pod } from "#api/core/pod.ts";
import { parseMilli } from "#api/quantity.ts";

/** Amounts in thousandths: cpu in millicores, memory in milli-bytes, pods in milli-pods. */
export interface Resources {
  readonly cpu: number;
  readonly memory: number;
  readonly pods: number;
}

/** A node with what its pods ask for already. */
export interface NodeState {
  readonly node: Node;
  readonly requested: Resources;
  /** Pods on it by the uid of their controller. */
  readonly byOwner: ReadonlyMap<string, number>;
}

export type Decision =
  | { readonly kind: "node"; readonly name: string }
  /** Kubernetes' own sentence. */
  | { readonly kind: "unschedulable"; readonly message: string };

const spreadWeight = 2;

/** What a pod asks for: the sum of its containers' requests, and itself. */
export function requestsOf(pod: Pod): Resources {
  let cpu = 0;
  let memory = 0;
  for (const { resources } of pod.spec.containers) {
    cpu += parseMilli(resources?.requests?.["cpu"] ?? "0") ?? 0;
    memory += parseMilli(resources?.requests?.["memory"] ?? "0") ?? 0;
  }
  return { cpu, memory, pods: 1000 };
}

function allocatableOf({ status }: Node): Resources {
  const of = (name: string): number => parseMilli(status?.allocatable?.[name] ?? "0") ?? 0;
  return { cpu: of("cpu"), memory: of("memory"), pods: of("pods") };
}

export function addResources(a: Resources, b: Resources, sign: 1 | -1): Resources {
  return { cpu: a.cpu + sign * b.cpu, memory: a.memory + sign * b.memory, pods: a.pods + sign * b.pods };
}

/** `turn` breaks ties: equal nodes are taken in rotation. */
export function schedule(pod: Pod, nodes: readonly NodeState[], owner: string, turn: number): Decision {
  const wanted = requestsOf(pod);
  const reasons = new Map<string, number>();
  let best: { state: NodeState; score: number } | undefined;
  let fewest = Infinity;
  let most = 0;
  const fitting: NodeState[] = [];
  for (const state of nodes) {
    const reason = refusal(pod, state, wanted);
    if (reason !== undefined) {
      reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
      continue;
    }
    const count = state.byOwner.get(owner) ?? 0;
    fewest = Math.min(fewest, count);
    most = Math.max(most, count);
    fitting.push(state);
  }
  for (let at = 0; at < fitting.length; at += 1) {
    const state = fitting[(at + turn) % fitting.length];
    if (state === undefined) continue;
    const score = leastAllocated(state, wanted) + spreadWeight * spread(state, owner, { fewest, most });
    if (best === undefined || score > best.score) best = { state, score };
  }
  if (best !== undefined) return { kind: "node", name: best.state.node.metadata.name };
  return { kind: "unschedulable", message: explain(nodes.length, reasons) };
}

function explain(total: number, reasons: ReadonlyMap<string, number>): string {
  if (total === 0) return "no nodes available to schedule pods";
  const parts = [...reasons].map(([reason, count]) => `${count} ${reason}`).sort();
  return `0/${total} nodes are available: ${parts.join(", ")}.`;
}

function refusal(pod: Pod, { node, requested }: NodeState, wanted: Resources): string | undefined {
  if (node.spec?.unschedulable === true) return "node(s) were unschedulable";
  if (node.status?.conditions?.find(({ type }) => type === "Ready")?.status !== "True") return "node(s) were not ready";
  const taint = node.spec?.taints?.find(
    (candidate) => candidate.effect !== "PreferNoSchedule" && !tolerates(pod, candidate),
  );
  if (taint !== undefined) return `node(s) had untolerated taint {${taint.key}: ${taint.value ?? ""}}`;
  const labels = node.metadata.labels ?? {};
  const selects = Object.entries(pod.spec.nodeSelector ?? {}).every(([key, value]) => labels[key] === value);
  if (!selects) return "node(s) didn't match Pod's node affinity/selector";
  const allocatable = allocatableOf(node);
  if (requested.pods + wanted.pods > allocatable.pods) return "Too many pods";
  if (requested.cpu + wanted.cpu > allocatable.cpu && wanted.cpu > 0) return "Insufficient cpu";
  if (requested.memory + wanted.memory > allocatable.memory && wanted.memory > 0) return "Insufficient memory";
  return undefined;
}

function tolerates(pod: Pod, taint: Taint): boolean {
  return (pod.spec.tolerations ?? []).some(({ key, operator = "Equal", value, effect }) => {
    if (effect !== undefined && effect !== "" && effect !== taint.effect) return false;
    if (key === undefined || key === "") return operator === "Exists";
    return key === taint.key && (operator === "Exists" || (value ?? "") === (taint.value ?? ""));
  });
}

/** 100 for an empty node, 0 for a full one. */
function leastAllocated({ node, requested }: NodeState, wanted: Resources): number {
  const { cpu, memory } = allocatableOf(node);
  const free = (used: number, total: number): number => (total === 0 ? 0 : Math.max(0, ((total - used) * 100) / total));
  return (free(requested.cpu + wanted.cpu, cpu) + free(requested.memory + wanted.memory, memory)) / 2;
}

/** 100 for the node with the fewest pods of the same owner, 0 for the one with the most. */
function spread({ byOwner }: NodeState, owner: string, { fewest, most }: { fewest: number; most: number }): number {
  if (owner === "" || most === fewest) return 100;
  return ((most - (byOwner.get(owner) ?? 0)) * 100) / (most - fewest);
}
