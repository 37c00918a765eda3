/**
 * Aggregated discovery: all groups, versions and resources in two documents, so that kubectl needs two requests
 * instead of dozens.
 *
 *   GET /api, /apis with Accept …;as=APIGroupDiscoveryList ─▶ discoverAggregated() ─▶ document and its media type
 *
 * Pure. Follows: k8s.io/api apidiscovery/v2; v2beta1 differs by its name alone.
 */
import { type ServedResource, servedGroups, servedResources, servedVersions } from "./resources.ts";

export interface Aggregated {
  readonly document: unknown;
  /** Clients take the answer for a legacy one unless it says what it is. */
  readonly contentType: string;
}

/** The document at `/api` or `/apis`; undefined for another path. */
export function discoverAggregated(segments: readonly string[], version: "v2" | "v2beta1"): Aggregated | undefined {
  const [root, ...rest] = segments;
  if (rest.length > 0 || (root !== "api" && root !== "apis")) return undefined;
  const groups = root === "api" ? [""] : servedGroups();
  return {
    document: {
      kind: "APIGroupDiscoveryList",
      apiVersion: `apidiscovery.k8s.io/${version}`,
      metadata: {},
      items: groups.map(groupOf),
    },
    contentType: `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`,
  };
}

function groupOf(group: string): unknown {
  const versions = servedVersions(group).map((version) => ({
    version,
    resources: servedResources
      .filter((resource) => resource.group === group && resource.version === version)
      .map(resourceOf),
    freshness: "Current",
  }));
  return { metadata: group === "" ? {} : { name: group }, versions };
}

function resourceOf(resource: ServedResource): unknown {
  const { plural, group, version, kind, namespaced, singular, verbs, shortNames, categories, subresources } = resource;
  return {
    resource: plural,
    responseKind: { group, version, kind },
    scope: namespaced ? "Namespaced" : "Cluster",
    singularResource: singular,
    verbs,
    ...(shortNames.length === 0 ? {} : { shortNames }),
    ...(categories.length === 0 ? {} : { categories }),
    ...(subresources.length === 0
      ? {}
      : {
          subresources: subresources.map(({ name, responseKind, verbs }) => ({
            subresource: name,
            responseKind,
            verbs,
          })),
        }),
  };
}
