/**
 * The rolling update of a DaemonSet. Pure.
 *
 *   nodes with old and new pods ─▶ rollDaemonSet() ─▶ nodes that get a new pod beside the old, pods that go
 *
 * maxSurge 0: old pods go, at most maxUnavailable nodes are without an available pod. maxSurge > 0: a new pod comes
 * first, beside the old one, on at most so many nodes.
 * Follows: rollingUpdate in k8s.io/kubernetes pkg/controller/daemon/update.go.
 */
import type { DaemonSet } from "#api/apps/daemonset.ts";
import { type Pod, isPodReady } from "#api/core/pod.ts";
import type { IntOrString } from "#api/meta.ts";
import { isPodAvailable } from "../workload/availability.ts";
import type { DaemonNode } from "./daemon-node.ts";
import { revisionLabel } from "./placement.ts";

export interface RollFacts {
  readonly hash: string;
  readonly nowMs: number;
  readonly minReadySeconds: number;
  readonly bounds: { readonly surge: number; readonly unavailable: number };
}

/** Percentages are of the nodes that should have a pod, rounded up. */
export function bounds({ spec }: DaemonSet, nodes: readonly DaemonNode[]): RollFacts["bounds"] {
  const wanted = nodes.filter(({ placement }) => placement.run).length;
  const { maxSurge = 0, maxUnavailable = 1 } = spec.updateStrategy?.rollingUpdate ?? {};
  const share = (value: IntOrString): number =>
    typeof value === "number" ? value : Math.ceil((Number(value.replace("%", "")) * wanted) / 100);
  if (spec.updateStrategy?.type === "OnDelete") return { surge: 0, unavailable: 0 };
  const [surge, unavailable] = [share(maxSurge), share(maxUnavailable)];
  return surge === 0 && unavailable === 0 ? { surge, unavailable: 1 } : { surge, unavailable };
}

export function rollDaemonSet(
  nodes: readonly DaemonNode[],
  facts: RollFacts,
): { readonly create: readonly string[]; readonly remove: readonly Pod[] } {
  const covered = nodes.filter(({ placement, pods }) => placement.stay && (placement.run || pods.length > 0));
  return facts.bounds.surge === 0 ? replace(covered, facts) : surge(covered, facts);
}

/** What is too much on one node: all but the oldest; while surging, one old pod may stay until the new is available. */
export function superseded(running: readonly Pod[], facts: RollFacts): readonly Pod[] {
  if (running.length <= 1) return [];
  if (facts.bounds.surge === 0) return running.slice(1);
  const [current, ...spare] = running.filter((pod) => isNew(pod, facts));
  const [old, ...older] = running.filter((pod) => !isNew(pod, facts));
  const isOver = current !== undefined && old !== undefined && (!isPodReady(old) || isUp(current, facts));
  return [...spare, ...older, ...(isOver ? [old] : [])];
}

function replace(nodes: readonly DaemonNode[], facts: RollFacts): { create: string[]; remove: Pod[] } {
  const [broken, candidates]: [Pod[], Pod[]] = [[], []];
  let unavailable = 0;
  for (const { pods } of nodes) {
    const [current, old] = pick(pods, facts);
    // A pod that goes, or comes, leaves its node without: that counts, too.
    if (current !== undefined || old === undefined)
      unavailable += current !== undefined && isUp(current, facts) ? 0 : 1;
    else if (isUp(old, facts)) candidates.push(old);
    else {
      unavailable += 1;
      if (old.metadata.deletionTimestamp === undefined) broken.push(old);
    }
  }
  const room = Math.max(0, facts.bounds.unavailable - unavailable);
  return { create: [], remove: [...broken, ...candidates.slice(0, room)] };
}

function surge(nodes: readonly DaemonNode[], facts: RollFacts): { create: string[]; remove: Pod[] } {
  const [urgent, candidates, remove]: [string[], string[], Pod[]] = [[], [], []];
  let surging = 0;
  for (const { name, pods } of nodes) {
    const [current, old] = pick(pods, facts);
    if (old === undefined) continue;
    if (current === undefined) (isUp(old, facts) ? candidates : urgent).push(name);
    else if (!isUp(current, facts)) surging += 1;
    else if (old.metadata.deletionTimestamp === undefined) remove.push(old);
  }
  const room = Math.max(0, facts.bounds.surge - surging - urgent.length);
  return { create: [...urgent, ...candidates.slice(0, room)], remove };
}

/** The new and the old pod of a node. */
function pick(pods: readonly Pod[], facts: RollFacts): readonly [current: Pod | undefined, old: Pod | undefined] {
  return [pods.find((pod) => isNew(pod, facts)), pods.find((pod) => !isNew(pod, facts))];
}

function isNew({ metadata }: Pod, { hash }: RollFacts): boolean {
  return metadata.labels?.[revisionLabel] === hash;
}

function isUp(pod: Pod, { minReadySeconds, nowMs }: RollFacts): boolean {
  return pod.metadata.deletionTimestamp === undefined && isPodAvailable(pod, minReadySeconds, nowMs);
}
