/**
 * A change of `spec.replicas` while there may be several ReplicaSets with pods: each gets its share. Pure.
 *
 *   Deployment × { current, old } ─▶ isScaling(), scale() ─▶ [ReplicaSet, replicas]
 *
 * Half way through a rollout the surplus is spread in proportion to the sizes, so that a bad new template does not get
 * more than its share; what rounding leaves goes to the largest.
 * Follows: scale() in k8s.io/kubernetes pkg/controller/deployment/sync.go and GetReplicaSetProportion.
 */
import type { Deployment } from "#api/apps/deployment.ts";
import type { ReplicaSet } from "#api/apps/replicaset.ts";
import { bounds } from "./bounds.ts";
import { availableOf, byAge, desiredOf, maxOf, sum, wantedOf } from "./replica-sets.ts";
import type { Size } from "./rolling.ts";

interface Sets {
  readonly current: ReplicaSet | undefined;
  readonly old: readonly ReplicaSet[];
}

/** Whether a ReplicaSet with pods was sized for another number of replicas than the Deployment now has. */
export function isScaling({ spec }: Deployment, owned: readonly ReplicaSet[]): boolean {
  const replicas = spec.replicas ?? 1;
  return owned.some((set) => wantedOf(set) > 0 && (desiredOf(set) ?? replicas) !== replicas);
}

/** The sizes of all ReplicaSets that are to be written, also those that only get to know the new number. */
export function scale(deployment: Deployment, { current, old }: Sets): readonly Size[] {
  const replicas = deployment.spec.replicas ?? 1;
  const only = activeOrLatest({ current, old });
  if (only !== undefined) return [[only, replicas]];
  if (isSaturated(deployment, current)) return old.filter((set) => wantedOf(set) > 0).map((set) => [set, 0]);
  if (deployment.spec.strategy?.type === "Recreate") return [];
  return inProportion(deployment, active({ current, old }));
}

const active = ({ current, old }: Sets): readonly ReplicaSet[] =>
  [...old, ...(current === undefined ? [] : [current])].filter((set) => wantedOf(set) > 0);

/** The one ReplicaSet that takes it all; undefined when several have pods. */
function activeOrLatest(sets: Sets): ReplicaSet | undefined {
  const withPods = active(sets);
  if (withPods.length > 1) return undefined;
  return withPods[0] ?? sets.current ?? [...sets.old].sort(byAge).at(-1);
}

function isSaturated({ spec }: Deployment, current: ReplicaSet | undefined): boolean {
  const replicas = spec.replicas ?? 1;
  if (current === undefined || desiredOf(current) !== replicas) return false;
  return wantedOf(current) === replicas && availableOf(current) === replicas;
}

function inProportion(deployment: Deployment, sets: readonly ReplicaSet[]): readonly Size[] {
  const replicas = deployment.spec.replicas ?? 1;
  const allowed = replicas > 0 ? replicas + bounds(deployment).surge : 0;
  const toAdd = allowed - sum(sets, wantedOf);
  // Of two of one size the newer grows and the older shrinks first.
  const ordered = [...sets].sort((a, b) => wantedOf(b) - wantedOf(a) || (toAdd > 0 ? byAge(b, a) : byAge(a, b)));
  let added = 0;
  const sizes = ordered.map((set): Size => {
    const rest = toAdd - added;
    const share = fraction(deployment, set);
    const proportion = rest === 0 ? 0 : toAdd > 0 ? Math.min(share, rest) : Math.max(share, rest);
    added += proportion;
    return [set, Math.max(0, wantedOf(set) + proportion)];
  });
  const leftover = toAdd - added;
  return sizes.map(([set, size], at) => [set, at === 0 ? Math.max(0, size + leftover) : size]);
}

/** By how many pods the ReplicaSet would grow, or shrink, were the sizes exact. */
function fraction(deployment: Deployment, set: ReplicaSet): number {
  const replicas = deployment.spec.replicas ?? 1;
  if (replicas === 0) return -wantedOf(set);
  const before = maxOf(set) || (deployment.status?.replicas ?? 0);
  if (before === 0) return 0;
  return Math.round((wantedOf(set) * (replicas + bounds(deployment).surge)) / before) - wantedOf(set);
}
