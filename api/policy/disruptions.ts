/**
 * How many pods of a budget may be down on purpose now.
 *
 *   PodDisruptionBudget, its pods, how many there ought to be ─▶ budgetStatus() ─▶ status ─▶ evictions
 *
 * Pure. The disruption controller writes it, the eviction subresource decides by it.
 * Follows: k8s.io/kubernetes pkg/controller/disruption, KEP-3017 (unhealthyPodEvictionPolicy).
 */
import { isPodFinished, isPodReady, type Pod } from "../core/pod.ts";
import type { Condition, IntOrString } from "../meta.ts";
import type { PodDisruptionBudget } from "./poddisruptionbudget.ts";

/** How long an eviction that was allowed, and whose pod is still there, counts, in ms. */
export const disruptedMs: number = 120_000;

export interface BudgetInput {
  readonly budget: PodDisruptionBudget;
  /** Those that its selector selects. */
  readonly pods: readonly Pod[];
  /** How many pods the owners of these want, together. */
  readonly wanted: number;
  readonly nowMs: number;
}

type BudgetStatus = NonNullable<PodDisruptionBudget["status"]>;

/** The status of a budget; `now`: RFC 3339. */
export function budgetStatus({ budget, pods, wanted, nowMs }: BudgetInput, now: string): BudgetStatus {
  const { minAvailable, maxUnavailable } = budget.spec ?? {};
  const disruptedPods = stillDisrupted(budget, pods, nowMs);
  const healthy = pods.filter(
    (pod) =>
      pod.metadata.deletionTimestamp === undefined && disruptedPods[pod.metadata.name] === undefined && isPodReady(pod),
  ).length;
  const isCount = maxUnavailable === undefined && typeof minAvailable === "number";
  const expected = isCount ? pods.filter((pod) => !isPodFinished(pod)).length : wanted;
  const desired =
    maxUnavailable !== undefined
      ? Math.max(0, expected - scaled(maxUnavailable, expected))
      : scaled(minAvailable ?? 0, expected);
  const disruptionsAllowed = expected <= 0 ? 0 : Math.max(0, healthy - desired);
  return {
    observedGeneration: budget.metadata.generation ?? 0,
    ...(Object.keys(disruptedPods).length === 0 ? {} : { disruptedPods }),
    disruptionsAllowed,
    currentHealthy: healthy,
    desiredHealthy: desired,
    expectedPods: expected,
    conditions: [allowedCondition(budget, disruptionsAllowed, now)],
  };
}

/** A number, or a percentage of `total`, rounded up. */
function scaled(value: IntOrString, total: number): number {
  return typeof value === "number" ? value : Math.ceil((Number.parseInt(value, 10) * total) / 100);
}

/** Evictions that were allowed and whose pods are not yet being deleted. */
function stillDisrupted({ status }: PodDisruptionBudget, pods: readonly Pod[], nowMs: number): Record<string, string> {
  const known = new Map(pods.map((pod) => [pod.metadata.name, pod]));
  const kept = Object.entries(status?.disruptedPods ?? {}).filter(([name, time]) => {
    const pod = known.get(name);
    return pod !== undefined && pod.metadata.deletionTimestamp === undefined && nowMs < Date.parse(time) + disruptedMs;
  });
  return Object.fromEntries(kept);
}

function allowedCondition({ metadata, status }: PodDisruptionBudget, allowed: number, now: string): Condition {
  const type = "DisruptionAllowed";
  const next = allowed > 0 ? "True" : "False";
  const old = status?.conditions?.find((condition) => condition.type === type);
  return {
    type,
    status: next,
    reason: allowed > 0 ? "SufficientPods" : "InsufficientPods",
    message: "",
    observedGeneration: metadata.generation ?? 0,
    lastTransitionTime: old?.status === next ? (old.lastTransitionTime ?? now) : now,
  };
}
