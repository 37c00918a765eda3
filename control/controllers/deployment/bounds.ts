/**
 * How many pods a rollout may have too many or too few. Pure.
 *
 * maxSurge rounds up, maxUnavailable down; both 0 counts as maxUnavailable 1, or nothing would ever move.
 * Follows: ResolveFenceposts in k8s.io/kubernetes pkg/controller/deployment/util.
 */
import type { Deployment } from "#api/apps/deployment.ts";
import type { IntOrString } from "#api/meta.ts";

export interface Bounds {
  readonly surge: number;
  readonly unavailable: number;
}

/** `25%` or a number, of `total`. */
export function resolveShare(value: IntOrString, total: number, round: "up" | "down"): number {
  if (typeof value === "number") return value;
  const share = (Number(value.replace("%", "")) * total) / 100;
  return round === "up" ? Math.ceil(share) : Math.floor(share);
}

/** The bounds of a Deployment. Recreate has neither: it is available only with all of its pods. */
export function bounds({ spec }: Deployment): Bounds {
  const replicas = spec.replicas ?? 1;
  if (spec.strategy?.type === "Recreate") return { surge: 0, unavailable: 0 };
  const { maxSurge = "25%", maxUnavailable = "25%" } = spec.strategy?.rollingUpdate ?? {};
  const surge = resolveShare(maxSurge, replicas, "up");
  const unavailable = Math.min(replicas, resolveShare(maxUnavailable, replicas, "down"));
  return surge === 0 && unavailable === 0 && replicas > 0 ? { surge, unavailable: 1 } : { surge, unavailable };
}
