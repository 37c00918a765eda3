/**
 * What a Deployment reads from its ReplicaSets, and keeps on them: counts, revisions, annotations. Pure.
 *
 *   Deployment × ReplicaSets ─▶ findCurrent(), revisions, annotations ─▶ plan.ts, rolling.ts, scaling.ts
 *
 * Follows: k8s.io/kubernetes pkg/controller/deployment/util/deployment_util.go.
 */
import { type Deployment, deployments } from "#api/apps/deployment.ts";
import { type ReplicaSet, replicaSets } from "#api/apps/replicaset.ts";
import type { PodTemplateSpec } from "#api/core/pod.ts";
import { apiVersionOf } from "#api/kind.ts";
import { canonical, templateHash } from "../workload/hash.ts";
import { controllerReference } from "../workload/template.ts";
import { bounds } from "./bounds.ts";

/** A write to one ReplicaSet. */
export interface Change {
  readonly replicaSet: ReplicaSet;
  readonly replicas: number;
  /** Annotations to set; the others stay. */
  readonly annotations: Readonly<Record<string, string>>;
  readonly minReadySeconds?: number;
}

/** Label of a ReplicaSet and its pods: the hash of their template. */
const hashLabel = "pod-template-hash";
export const revisionAnnotation = "deployment.kubernetes.io/revision";
const historyAnnotation = "deployment.kubernetes.io/revision-history";
const desiredAnnotation = "deployment.kubernetes.io/desired-replicas";
const maxAnnotation = "deployment.kubernetes.io/max-replicas";

/** Annotations of the Deployment that say nothing about its ReplicaSet. */
const privateAnnotations: readonly string[] = [
  "kubectl.kubernetes.io/last-applied-configuration",
  revisionAnnotation,
  historyAnnotation,
  desiredAnnotation,
  maxAnnotation,
  "deprecated.deployment.rollback.to",
];

/** Longest revision history, in characters; the oldest revisions are dropped beyond it. */
const historyLengthMax = 2000;

export const wantedOf = ({ spec }: ReplicaSet): number => spec.replicas ?? 1;
export const availableOf = ({ status }: ReplicaSet): number => status?.availableReplicas ?? 0;
export const existingOf = ({ status }: ReplicaSet): number => status?.replicas ?? 0;
export const revisionOf = ({ metadata }: ReplicaSet): number => Number(metadata.annotations?.[revisionAnnotation] ?? 0);
/** For how many replicas of the Deployment the ReplicaSet was last sized. */
export const desiredOf = (set: ReplicaSet): number | undefined => numberIn(set, desiredAnnotation);
/** How many pods the Deployment could have had then, surge included. */
export const maxOf = (set: ReplicaSet): number | undefined => numberIn(set, maxAnnotation);

export function sum(sets: readonly ReplicaSet[], of: (set: ReplicaSet) => number): number {
  return sets.reduce((total, set) => total + of(set), 0);
}

/** The oldest first. */
export function byAge(a: ReplicaSet, b: ReplicaSet): number {
  const [one, other] = [a.metadata.creationTimestamp ?? "", b.metadata.creationTimestamp ?? ""];
  if (one !== other) return one < other ? -1 : 1;
  return revisionOf(a) - revisionOf(b) || (a.metadata.name < b.metadata.name ? -1 : 1);
}

/** The ReplicaSet of the Deployment's present template; the oldest, should there be several. */
export function findCurrent({ spec }: Deployment, owned: readonly ReplicaSet[]): ReplicaSet | undefined {
  const wanted = withoutHash(spec.template);
  return [...owned]
    .sort(byAge)
    .find((set) => set.spec.template !== undefined && withoutHash(set.spec.template) === wanted);
}

/** The text of a template, less the label that only ReplicaSets have. */
export function withoutHash(template: PodTemplateSpec): string {
  const { [hashLabel]: _hash, ...labels } = template.metadata?.labels ?? {};
  return canonical({ ...template, metadata: { ...template.metadata, labels } });
}

/** The annotations that say for how many replicas a ReplicaSet is sized. */
export function sizeAnnotations(deployment: Deployment): Readonly<Record<string, string>> {
  const replicas = deployment.spec.replicas ?? 1;
  return { [desiredAnnotation]: String(replicas), [maxAnnotation]: String(replicas + bounds(deployment).surge) };
}

/** The annotations of the Deployment that its present ReplicaSet carries, too. */
export function sharedAnnotations({ metadata }: Deployment): Readonly<Record<string, string>> {
  const entries = Object.entries(metadata.annotations ?? {});
  return Object.fromEntries(entries.filter(([name]) => !privateAnnotations.includes(name)));
}

/** The annotations that a ReplicaSet lacks as the newest of all: a higher revision, and those it had before. */
export function revisionAnnotations(set: ReplicaSet, revision: number): Readonly<Record<string, string>> {
  const before = revisionOf(set);
  if (revision <= before) return {};
  const annotation = { [revisionAnnotation]: String(revision) };
  if (before === 0) return annotation;
  const known = set.metadata.annotations?.[historyAnnotation] ?? "";
  const history = [...known.split(",").filter((text) => text !== ""), String(before)];
  while (history.join(",").length > historyLengthMax) history.shift();
  return { ...annotation, [historyAnnotation]: history.join(",") };
}

/** A new ReplicaSet for the present template. */
export function replicaSetOf(deployment: Deployment, revision: number, replicas: number): ReplicaSet {
  const { name, namespace = "default" } = deployment.metadata;
  const { selector, template, minReadySeconds = 0 } = deployment.spec;
  const hash = templateHash(template, deployment.status?.collisionCount ?? 0);
  const labels = { ...template.metadata?.labels, [hashLabel]: hash };
  return {
    apiVersion: apiVersionOf(replicaSets),
    kind: replicaSets.kind,
    metadata: {
      name: `${name}-${hash}`,
      namespace,
      labels,
      annotations: {
        ...sharedAnnotations(deployment),
        [revisionAnnotation]: String(revision),
        ...sizeAnnotations(deployment),
      },
      ownerReferences: [controllerReference(deployments, deployment)],
    },
    spec: {
      replicas,
      selector: { ...selector, matchLabels: { ...selector.matchLabels, [hashLabel]: hash } },
      template: { ...template, metadata: { ...template.metadata, labels } },
      ...(minReadySeconds === 0 ? {} : { minReadySeconds }),
    },
  };
}

function numberIn({ metadata }: ReplicaSet, annotation: string): number | undefined {
  const text = metadata.annotations?.[annotation];
  return text !== undefined && /^\d{1,10}$/.test(text) ? Number(text) : undefined;
}
