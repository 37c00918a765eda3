/**
 * The revisions of a DaemonSet's template, as `kubectl rollout history` and `undo` read them. Pure.
 *
 *   DaemonSet × ControllerRevisions ─▶ planHistory() ─▶ { current, create?, renumber?, remove } ─▶ controller.ts
 *
 * Going back to an old template gives its revision the highest number; nothing is written twice.
 * Follows: k8s.io/kubernetes pkg/controller/daemon/update.go (constructHistory, cleanupHistory).
 */
import { type ControllerRevision, controllerRevisions } from "#api/apps/controller-revision.ts";
import { type DaemonSet, daemonSets } from "#api/apps/daemonset.ts";
import type { Pod } from "#api/core/pod.ts";
import { apiVersionOf } from "#api/kind.ts";
import { canonical, templateHash } from "../workload/hash.ts";
import { controllerReference } from "../workload/template.ts";
import { revisionLabel } from "./placement.ts";

export interface HistoryPlan {
  /** The hash that pods of the present template carry. */
  readonly hash: string;
  readonly create: ControllerRevision | undefined;
  /** The revision that describes the present template, under an older number; with its new one. */
  readonly renumber: ControllerRevision | undefined;
  readonly remove: readonly ControllerRevision[];
}

export function planHistory(
  daemonSet: DaemonSet,
  revisions: readonly ControllerRevision[],
  pods: readonly Pod[],
): HistoryPlan {
  const data = patchOf(daemonSet);
  const text = canonical(data);
  const same = revisions.filter((one) => canonical(one.data) === text).sort(byRevision);
  const current = same.at(-1);
  const old = revisions.filter((one) => one !== current);
  const next = Math.max(0, ...old.map(({ revision }) => revision)) + 1;
  const hash = current?.metadata.labels?.[revisionLabel] ?? hashOf(daemonSet);
  return {
    hash,
    create: current === undefined ? revisionOf(daemonSet, { hash, data, revision: next }) : undefined,
    renumber: current !== undefined && current.revision < next ? { ...current, revision: next } : undefined,
    remove: superfluous(daemonSet, old, pods),
  };
}

/** What brings the present template back: a strategic merge patch of the DaemonSet. */
function patchOf({ spec }: DaemonSet): unknown {
  return { spec: { template: { ...spec.template, $patch: "replace" } } };
}

function hashOf({ spec, status }: DaemonSet): string {
  return templateHash(spec.template, status?.collisionCount ?? 0);
}

function revisionOf(
  daemonSet: DaemonSet,
  { hash, data, revision }: { readonly hash: string; readonly data: unknown; readonly revision: number },
): ControllerRevision {
  const { name, namespace = "default", annotations } = daemonSet.metadata;
  return {
    apiVersion: apiVersionOf(controllerRevisions),
    kind: controllerRevisions.kind,
    metadata: {
      name: `${name}-${hash}`,
      namespace,
      labels: { ...daemonSet.spec.template.metadata?.labels, [revisionLabel]: hash },
      ...(annotations === undefined ? {} : { annotations }),
      ownerReferences: [controllerReference(daemonSets, daemonSet)],
    },
    data,
    revision,
  };
}

/** Revisions beyond the limit, the oldest first, but none that a pod still has. */
function superfluous(
  { spec }: DaemonSet,
  old: readonly ControllerRevision[],
  pods: readonly Pod[],
): readonly ControllerRevision[] {
  const live = new Set(pods.map(({ metadata }) => metadata.labels?.[revisionLabel]));
  const idle = old.filter(({ metadata }) => !live.has(metadata.labels?.[revisionLabel]));
  const surplus = Math.max(0, idle.length - (spec.revisionHistoryLimit ?? 10));
  return [...idle].sort(byRevision).slice(0, surplus);
}

function byRevision(a: ControllerRevision, b: ControllerRevision): number {
  return a.revision - b.revision;
}
