/**
 * Which resources and subresources are served under which verbs: one list from which every discovery document is made.
 *
 *   scheme, reviews ─▶ servedResources() ─▶ discovery.ts (legacy), discovery-aggregated.ts, openapi/
 */
import type { KindRef } from "#api/kind.ts";
import { hasStatus, type Kind } from "#api/schema/kind.ts";
import { kinds } from "#api/scheme.ts";
import { reviewKinds } from "./verbs/review-kinds.ts";
import { metricsKinds } from "./resource-metrics-kinds.ts";

/** The kind of object that a resource answers with. */
export interface ResponseKind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}

export interface ServedSubresource {
  readonly name: string;
  readonly responseKind: ResponseKind;
  readonly verbs: readonly string[];
}

export interface ServedResource extends KindRef {
  readonly verbs: readonly string[];
  readonly categories: readonly string[];
  readonly subresources: readonly ServedSubresource[];
}

const objectVerbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
const partVerbs = ["get", "patch", "update"];

/** All resources, in the order of the scheme. */
export const servedResources: readonly ServedResource[] = [
  ...kinds.map(fromKind),
  ...reviewKinds.map(fromReview),
  ...metricsKinds.map(fromMetrics),
];

/** The groups that there are, without the core group. */
export function servedGroups(): string[] {
  return [...new Set(servedResources.map(({ group }) => group))].filter((group) => group !== "");
}

/** The versions of a group, the preferred first. */
export function servedVersions(group: string): string[] {
  return [...new Set(servedResources.filter((resource) => resource.group === group).map(({ version }) => version))];
}

function fromKind(kind: Kind): ServedResource {
  return { ...kind, verbs: objectVerbs, categories: kind.categories ?? [], subresources: subresourcesOf(kind) };
}

function fromReview(kind: KindRef): ServedResource {
  return { ...kind, verbs: ["create"], categories: [], subresources: [] };
}

function fromMetrics(kind: KindRef): ServedResource {
  return { ...kind, verbs: ["get", "list"], categories: [], subresources: [] };
}

function subresourcesOf(kind: Kind): readonly ServedSubresource[] {
  const own: ResponseKind = { group: kind.group, version: kind.version, kind: kind.kind };
  const found: ServedSubresource[] = [];
  if (kind.group === "" && kind.kind === "Pod")
    found.push(
      { name: "binding", responseKind: { group: "", version: "v1", kind: "Binding" }, verbs: ["create"] },
      { name: "eviction", responseKind: { group: "policy", version: "v1", kind: "Eviction" }, verbs: ["create"] },
      { name: "log", responseKind: own, verbs: ["get"] },
    );
  if (kind.group === "" && kind.kind === "ServiceAccount")
    found.push({
      name: "token",
      responseKind: { group: "authentication.k8s.io", version: "v1", kind: "TokenRequest" },
      verbs: ["create"],
    });
  if (kind.group === "" && kind.kind === "Namespace")
    found.push({ name: "finalize", responseKind: own, verbs: ["update"] });
  if (kind.hasScale === true)
    found.push({
      name: "scale",
      responseKind: { group: "autoscaling", version: "v1", kind: "Scale" },
      verbs: partVerbs,
    });
  if (hasStatus(kind)) found.push({ name: "status", responseKind: own, verbs: partVerbs });
  return found;
}
