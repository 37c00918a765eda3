/**
 * Reviews: questions that a client asks about itself, as objects that are created and not kept.
 *
 *   kubectl auth whoami ─▶ POST selfsubjectreviews ─▶ review() ─▶ the same object with a status
 *
 * Who is authenticated may do everything: there is no authorization here, so access reviews say so. Nothing is stored.
 */
import { apiVersionOf, type KindRef } from "#api/kind.ts";
import { StatusError } from "#api/status.ts";
import type { User } from "../registry.ts";

function reviewKind(group: string, kind: string): KindRef {
  const singular = kind.toLowerCase();
  return { group, version: "v1", kind, plural: `${singular}s`, singular, shortNames: [], namespaced: false };
}

export const reviewKinds: readonly KindRef[] = [
  reviewKind("authentication.k8s.io", "SelfSubjectReview"),
  reviewKind("authorization.k8s.io", "SelfSubjectAccessReview"),
  reviewKind("authorization.k8s.io", "SelfSubjectRulesReview"),
];

/** The kind of review at a path; undefined when it is none. */
export function reviewKindOf(group: string, version: string, plural: string): KindRef | undefined {
  return reviewKinds.find((kind) => kind.group === group && kind.version === version && kind.plural === plural);
}

/** The review with its answer. Throws BadRequest when the body is another kind of object. */
export function review(kind: KindRef, user: User, body: unknown): unknown {
  const sent = (typeof body === "object" && body !== null ? body : {}) as Readonly<Record<string, unknown>>;
  if (sent["kind"] !== kind.kind || sent["apiVersion"] !== apiVersionOf(kind))
    throw new StatusError(
      "BadRequest",
      `Cannot read ${kind.kind}: wanted apiVersion ${apiVersionOf(kind)} and kind ${kind.kind}`,
    );
  return { ...sent, metadata: sent["metadata"] ?? {}, status: answerTo(kind.kind, user) };
}

function answerTo(kind: string, user: User): unknown {
  if (kind === "SelfSubjectReview") return { userInfo: { username: user.name, groups: user.groups } };
  if (kind === "SelfSubjectAccessReview")
    return { allowed: true, reason: "this cluster allows everything to everyone it knows" };
  return {
    resourceRules: [{ verbs: ["*"], apiGroups: ["*"], resources: ["*"] }],
    nonResourceRules: [{ verbs: ["*"], nonResourceURLs: ["*"] }],
    incomplete: false,
  };
}
