/**
 * Which node a pod goes to. Pure.
 *
 *   filters (must hold) ─▶ scores (0–100 each) ─▶ the best node, or why each was refused
 *
 * Filters: NodeUnschedulable, TaintToleration, NodeAffinity (node-fit.ts), NodeResourcesFit (resources.ts).
 * Scores, with kube-scheduler's weights: NodeResourcesFit LeastAllocated (1), PodTopologySpread over nodes for pods of
 * the same owner (2), NodeAffinity preferences (2), TaintToleration of PreferNoSchedule (3).
 */
import type { Node } from "#api/core/node.ts";
import type { Pod } from "#api/core/pod.ts";
import { nodeRefusal, preferenceOf, softTaints } from "./node-fit.ts";
import { type Resources, allocatableOf, requestsOf, shortages } from "./resources.ts";

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
const preferenceWeight = 2;
const taintWeight = 3;

interface Fitting {
  readonly state: NodeState;
  /** Pods of the same owner on it. */
  readonly count: number;
  readonly preference: number;
  readonly soft: number;
}

/** `turn` breaks ties: equal nodes are taken in rotation. */
export function schedule(pod: Pod, nodes: readonly NodeState[], owner: string, turn: number): Decision {
  const wanted = requestsOf(pod);
  const reasons = new Map<string, number>();
  const fitting: Fitting[] = [];
  for (const state of nodes) {
    const refused = refusals(pod, state, wanted);
    for (const reason of refused) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
    if (refused.length > 0) continue;
    const count = state.byOwner.get(owner) ?? 0;
    fitting.push({
      state,
      count,
      preference: preferenceOf(pod.spec, state.node),
      soft: softTaints(pod.spec, state.node),
    });
  }
  const best = pickBest(fitting, { wanted, owner, turn });
  if (best !== undefined) return { kind: "node", name: best.node.metadata.name };
  return { kind: "unschedulable", message: explain(nodes.length, reasons) };
}

function pickBest(
  fitting: readonly Fitting[],
  { wanted, owner, turn }: { readonly wanted: Resources; readonly owner: string; readonly turn: number },
): NodeState | undefined {
  let [fewest, most, preference, soft] = [Infinity, 0, 0, 0];
  for (const one of fitting) {
    fewest = Math.min(fewest, one.count);
    most = Math.max(most, one.count);
    preference = Math.max(preference, one.preference);
    soft = Math.max(soft, one.soft);
  }
  let best: { readonly state: NodeState; readonly score: number } | undefined;
  for (let at = 0; at < fitting.length; at += 1) {
    const one = fitting[(at + turn) % fitting.length];
    if (one === undefined) continue;
    const score =
      leastAllocated(one.state, wanted) +
      spreadWeight * spread(one.count, owner, { fewest, most }) +
      preferenceWeight * share(one.preference, preference) +
      taintWeight * share(soft - one.soft, soft);
    if (best === undefined || score > best.score) best = { state: one.state, score };
  }
  return best?.state;
}

function explain(total: number, reasons: ReadonlyMap<string, number>): string {
  if (total === 0) return "no nodes available to schedule pods";
  const parts = [...reasons].map(([reason, count]) => `${count} ${reason}`).sort();
  return `0/${total} nodes are available: ${parts.join(", ")}.`;
}

/** Why the node is refused; several reasons when several resources are short. */
function refusals(pod: Pod, { node, requested }: NodeState, wanted: Resources): readonly string[] {
  const reason = nodeRefusal(pod.spec, node);
  return reason === undefined ? shortages(wanted, requested, allocatableOf(node)) : [reason];
}

/** 100 for the most, 0 for none; every node has 100 while none is wanted more than another. */
function share(value: number, most: number): number {
  return most === 0 ? 100 : (value * 100) / most;
}

/** 100 for an empty node, 0 for a full one. */
function leastAllocated({ node, requested }: NodeState, wanted: Resources): number {
  const { cpu, memory } = allocatableOf(node);
  const free = (used: number, total: number): number => (total === 0 ? 0 : Math.max(0, ((total - used) * 100) / total));
  return (free(requested.cpu + wanted.cpu, cpu) + free(requested.memory + wanted.memory, memory)) / 2;
}

/** 100 for the node with the fewest pods of the same owner, 0 for the one with the most. */
function spread(count: number, owner: string, { fewest, most }: { fewest: number; most: number }): number {
  if (owner === "" || most === fewest) return 100;
  return ((most - count) * 100) / (most - fewest);
}
