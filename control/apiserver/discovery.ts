/**
 * Discovery: which groups, versions, resources and verbs there are, in the legacy form, made from the scheme. Pure.
 *
 *   GET /api, /api/v1, /apis, /apis/<group>, /apis/<group>/<version>, /version ─▶ documents
 */
import type { Kind } from "#api/schema/kind.ts";
import { hasStatus } from "#api/schema/kind.ts";
import { kinds } from "#api/scheme.ts";

const verbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

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
  if (group === undefined) return { kind: "APIGroupList", apiVersion: "v1", groups: groups().map(groupOf) };
  if (groupVersion === undefined)
    return groups().includes(group) ? { kind: "APIGroup", apiVersion: "v1", ...groupOf(group) } : undefined;
  return resourceList(group, groupVersion);
}

function groups(): string[] {
  return [...new Set(kinds.map(({ group }) => group))].filter((group) => group !== "");
}

function groupOf(name: string): Readonly<Record<string, unknown>> {
  const versions = [...new Set(kinds.filter(({ group }) => group === name).map((kind) => kind.version))];
  const forms = versions.map((version) => ({ groupVersion: `${name}/${version}`, version }));
  return { name, versions: forms, preferredVersion: forms[0] };
}

function resourceList(group: string, version: string): unknown {
  const served = kinds.filter((kind) => kind.group === group && kind.version === version);
  if (served.length === 0) return undefined;
  const groupVersion = group === "" ? version : `${group}/${version}`;
  const extra = group === "" ? coreSubresources : [];
  return {
    kind: "APIResourceList",
    apiVersion: "v1",
    groupVersion,
    resources: [...served.flatMap(resources), ...extra],
  };
}

function resources(kind: Kind): readonly unknown[] {
  const { plural: name, singular: singularName, namespaced, kind: objectKind, shortNames, categories } = kind;
  const resource = {
    name,
    singularName,
    namespaced,
    kind: objectKind,
    verbs,
    ...(shortNames.length === 0 ? {} : { shortNames }),
    ...(categories === undefined ? {} : { categories }),
  };
  if (!hasStatus(kind)) return [resource];
  return [resource, { ...subresource(`${name}/status`, objectKind, ["get", "patch", "update"]), namespaced }];
}

const coreSubresources: readonly unknown[] = [
  subresource("bindings", "Binding", ["create"]),
  subresource("pods/binding", "Binding", ["create"]),
  subresource("pods/log", "Pod", ["get"]),
  { ...subresource("namespaces/finalize", "Namespace", ["update"]), namespaced: false },
];

function subresource(name: string, kind: string, allowed: readonly string[]): Readonly<Record<string, unknown>> {
  return { name, singularName: "", namespaced: true, kind, verbs: allowed };
}
