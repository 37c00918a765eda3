/** The kinds of reviews: questions as objects that are created, answered and not kept. */
import type { KindRef } from "#api/kind.ts";

function reviewKind(group: string, kind: string, namespaced = false): KindRef {
  const singular = kind.toLowerCase();
  return { group, version: "v1", kind, plural: `${singular}s`, singular, shortNames: [], namespaced };
}

export const reviewKinds: readonly KindRef[] = [
  reviewKind("authentication.k8s.io", "SelfSubjectReview"),
  reviewKind("authentication.k8s.io", "TokenReview"),
  reviewKind("authorization.k8s.io", "LocalSubjectAccessReview", true),
  reviewKind("authorization.k8s.io", "SelfSubjectAccessReview"),
  reviewKind("authorization.k8s.io", "SelfSubjectRulesReview"),
  reviewKind("authorization.k8s.io", "SubjectAccessReview"),
];

/** The kind of review at a path; undefined when it is none. */
export function reviewKindOf(group: string, version: string, plural: string): KindRef | undefined {
  return reviewKinds.find((kind) => kind.group === group && kind.version === version && kind.plural === plural);
}
