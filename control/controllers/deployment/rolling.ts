/**
 * The two ways from one template to the next, as sizes of ReplicaSets. Pure.
 *
 *   Deployment × { current, old } ─▶ roll() | recreate() ─▶ [ReplicaSet, replicas]
 *
 * Invariant of roll(): pods never exceed replicas + surge, and available ones are never taken below
 * replicas - unavailable.
 * Follows: rolling.go and recreate.go in k8s.io/kubernetes pkg/controller/deployment.
 */
import type { Deployment } from "#api/apps/deployment.ts";
import type { ReplicaSet } from "#api/apps/replicaset.ts";
import { bounds } from "./bounds.ts";
import { availableOf, byAge, sum, wantedOf } from "./replica-sets.ts";

export type Size = readonly [replicaSet: ReplicaSet, replicas: number];

/** The first size of a ReplicaSet that is made while `old` ones have pods. */
export function firstReplicas(deployment: Deployment, old: readonly ReplicaSet[]): number {
  const replicas = deployment.spec.replicas ?? 1;
  if (deployment.spec.strategy?.type === "Recreate") return replicas;
  return Math.max(0, Math.min(replicas, replicas + bounds(deployment).surge - sum(old, wantedOf)));
}

/** Nothing new before everything old has gone: pods that still end count as there. */
export function recreate(
  deployment: Deployment,
  current: ReplicaSet | undefined,
  old: readonly ReplicaSet[],
): { readonly sizes: readonly Size[]; readonly isOldGone: boolean } {
  const down = old.filter((set) => wantedOf(set) > 0).map((set): Size => [set, 0]);
  if (down.length > 0) return { sizes: down, isOldGone: false };
  if (!old.every(isEmpty)) return { sizes: [], isOldGone: false };
  const replicas = deployment.spec.replicas ?? 1;
  const sizes = current === undefined || wantedOf(current) === replicas ? [] : [[current, replicas] as const];
  return { sizes, isOldGone: true };
}

export function roll(deployment: Deployment, current: ReplicaSet, old: readonly ReplicaSet[]): readonly Size[] {
  const replicas = deployment.spec.replicas ?? 1;
  const { surge, unavailable } = bounds(deployment);
  const oldWanted = sum(old, wantedOf);
  if (wantedOf(current) > replicas) return [[current, replicas]];
  const room = replicas + surge - oldWanted - wantedOf(current);
  const up = Math.min(replicas - wantedOf(current), Math.max(0, room));
  const grow: readonly Size[] = up > 0 ? [[current, wantedOf(current) + up]] : [];
  if (oldWanted === 0) return grow;
  return [...grow, ...shrink(current, old, replicas - unavailable)];
}

/** Whether a ReplicaSet that should have no pods has none: not even one that still ends, or that it has not counted. */
function isEmpty({ metadata, status }: ReplicaSet): boolean {
  const { replicas = 0, terminatingReplicas = 0, observedGeneration = 0 } = status ?? {};
  return replicas === 0 && terminatingReplicas === 0 && observedGeneration >= (metadata.generation ?? 0);
}

/**
 * Old ReplicaSets with fewer pods, so that at least `floor` stay available: pods that are not available first, of every
 * set, then available ones as far as the floor allows.
 */
function shrink(current: ReplicaSet, old: readonly ReplicaSet[], floor: number): readonly Size[] {
  const wanted = new Map(old.map((set) => [set, wantedOf(set)]));
  const idle = (set: ReplicaSet): number => Math.max(0, wantedOf(set) - availableOf(set));
  // Pods of the new template that are not available yet must not be paid for with old ones that are.
  let removable = sum(old, wantedOf) + Math.min(availableOf(current), wantedOf(current)) - floor;
  const take = (set: ReplicaSet, count: number): void => {
    const down = Math.max(0, Math.min(count, removable));
    wanted.set(set, (wanted.get(set) ?? 0) - down);
    removable -= down;
  };
  const oldestFirst = [...old].sort(byAge);
  for (const set of oldestFirst) take(set, idle(set));
  const available = sum(old, (set) => wantedOf(set) - idle(set)) + Math.min(availableOf(current), wantedOf(current));
  removable = Math.min(removable, available - floor);
  for (const set of oldestFirst) take(set, wanted.get(set) ?? 0);
  return oldestFirst.flatMap((set): Size[] => {
    const replicas = wanted.get(set) ?? 0;
    return replicas === wantedOf(set) ? [] : [[set, replicas]];
  });
}
