/**
 * The nodes of a cluster as a DaemonSet sees them: what each should have, and has. Pure.
 *
 *   DaemonSet × nodes × pods ─▶ daemonNodes() ─▶ plan.ts, rolling.ts, status.ts
 */
import type { DaemonSet } from "#api/apps/daemonset.ts";
import type { Node } from "#api/core/node.ts";
import type { Pod } from "#api/core/pod.ts";
import { type Placement, nodeNameOf, placementOf, revisionLabel } from "./placement.ts";

/** A node, what it should have, and what it has, the oldest pod first. */
export interface DaemonNode {
  readonly name: string;
  readonly placement: Placement;
  readonly pods: readonly Pod[];
}

/** Every node, and those names that only pods know; the latter should have none. */
export function daemonNodes(
  daemonSet: DaemonSet,
  { nodes, pods }: { readonly nodes: readonly Node[]; readonly pods: readonly Pod[] },
): readonly DaemonNode[] {
  const byNode = new Map<string, Pod[]>();
  for (const pod of [...pods].sort(byAge)) {
    const name = nodeNameOf(pod);
    if (name === undefined) continue;
    byNode.set(name, [...(byNode.get(name) ?? []), pod]);
  }
  const known = nodes.map((node): DaemonNode => {
    const { name } = node.metadata;
    const found = byNode.get(name) ?? [];
    byNode.delete(name);
    return { name, placement: placementOf(daemonSet, node), pods: found };
  });
  // The pods of a node that is gone are the pod garbage collector's; those that wait for one wait in vain.
  const lost = [...byNode].map(([name, found]): DaemonNode => ({
    name,
    placement: { run: false, stay: false },
    pods: found.filter(({ spec }) => spec.nodeName === undefined),
  }));
  return [...known, ...lost].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Bound pods before those that wait, then by age. */
function byAge(a: Pod, b: Pod): number {
  const bound = Number(a.spec.nodeName === undefined) - Number(b.spec.nodeName === undefined);
  if (bound !== 0) return bound;
  const [one, other] = [a.metadata.creationTimestamp ?? "", b.metadata.creationTimestamp ?? ""];
  return one === other ? (a.metadata.name < b.metadata.name ? -1 : 1) : one < other ? -1 : 1;
}

/** Whether the pod is of the present template. */
export function isUpdated({ metadata }: Pod, hash: string): boolean {
  return metadata.labels?.[revisionLabel] === hash;
}
