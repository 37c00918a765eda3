/**
 * Discovery: which groups, versions, resources and verbs there are, in the legacy form, made from what is served. Pure.
 *
 *   GET /api, /api/v1, /apis, /apis/<group>, /apis/<group>/<version>, /version ─▶ documents
 */
import { bindings } from "#api/core/binding.ts";
import { type ServedResource, servedGroups, servedResources, servedVersions } from "./resources.ts";

/** The Kubernetes version whose API this is. */
const kubernetesMinor = 35;

/** GET /version. */
export const version: Readonly<Record<string, string>> = {
  major: "1",
  minor: String(kubernetesMinor),
  gitVersion: `v1.${kubernetesMinor}.0+wherry`,
  gitCommit: "",
  gitTreeState: "clean",
  buildDate: "1970-01-01T00:00:00Z",
  goVersion: `node ${process.version}`,
  compiler: "node",
  platform: `${process.platform}/${process.arch}`,
};

/** The document at a discovery path; undefined when it is none. */
export function discover(segments: readonly string[]): unknown {
  const [root, group, groupVersion, ...rest] = segments;
  if (root === "api" && group === undefined)
    return { kind: "APIVersions", versions: ["v1"], serverAddressByClientCIDRs: [] };
  if (root === "api" && groupVersion === undefined) return resourceList("", group ?? "");
  if (root !== "apis" || rest.length > 0) return undefined;
  if (group === undefined) return { kind: "APIGroupList", apiVersion: "v1", groups: servedGroups().map(groupOf) };
  if (groupVersion === undefined)
    return servedGroups().includes(group) ? { kind: "APIGroup", apiVersion: "v1", ...groupOf(group) } : undefined;
  return resourceList(group, groupVersion);
}

function groupOf(name: string): Readonly<Record<string, unknown>> {
  const forms = servedVersions(name).map((version) => ({ groupVersion: `${name}/${version}`, version }));
  return { name, versions: forms, preferredVersion: forms[0] };
}

function resourceList(group: string, version: string): unknown {
  const served = servedResources.filter((resource) => resource.group === group && resource.version === version);
  if (served.length === 0) return undefined;
  const groupVersion = group === "" ? version : `${group}/${version}`;
  const extra = group === "" ? [bindingResource] : [];
  return {
    kind: "APIResourceList",
    apiVersion: "v1",
    groupVersion,
    resources: [...served.flatMap(resources), ...extra],
  };
}

function resources(served: ServedResource): readonly unknown[] {
  const { plural: name, singular: singularName, namespaced, kind, shortNames, categories, verbs } = served;
  const resource = {
    name,
    singularName,
    namespaced,
    kind,
    verbs,
    ...(shortNames.length === 0 ? {} : { shortNames }),
    ...(categories.length === 0 ? {} : { categories }),
  };
  const subresources = served.subresources.map((subresource) => {
    const { group, version, kind } = subresource.responseKind;
    const foreign = group === served.group ? {} : { group, version };
    return {
      name: `${name}/${subresource.name}`,
      singularName: "",
      namespaced,
      ...foreign,
      kind,
      verbs: subresource.verbs,
    };
  });
  return [resource, ...subresources];
}

const bindingResource = {
  name: bindings.plural,
  singularName: bindings.singular,
  namespaced: true,
  kind: bindings.kind,
  verbs: ["create"],
};
