/**
 * What a node may do: what its kubelet needs for itself and the pods that are on it, and no more.
 *
 *   User `system:node:NAME` in `system:nodes`, Attributes ─▶ mayNode() ─▶ Decision
 *
 * Which pods are on the node, and what they name, is read from the cache at each question.
 * Follows: k8s.io/kubernetes plugin/pkg/auth/authorizer/node, and the admission plugin NodeRestriction.
 */
import { nodeLeaseNamespace } from "#api/coordination/lease.ts";
import { type Pod, pods } from "#api/core/pod.ts";
import type { Registry, User } from "../registry.ts";
import { exactly, type ResourceAttributes } from "./attributes.ts";

const group = "system:nodes";
const prefix = "system:node:";
const reads: readonly string[] = ["get", "list", "watch"];
const writes: readonly string[] = ["create", "update", "patch"];

/** What every node may read: `group/resource`. */
const readable: readonly string[] = [
  "/nodes",
  "/services",
  "/namespaces",
  "discovery.k8s.io/endpointslices",
  // The node proxy enforces them.
  "networking.k8s.io/networkpolicies",
];

/** The name of the node that a user is; undefined when it is none. */
export function nodeNameOf({ name, groups }: User): string | undefined {
  return groups.includes(group) && name.startsWith(prefix) ? name.slice(prefix.length) : undefined;
}

/** Why not, in kube-apiserver's words; "" when it is not a matter of this object; undefined: it may. */
export function refusalForNode(
  registry: Registry,
  nodeName: string,
  verb: string,
  asked: ResourceAttributes,
): string | undefined {
  const { name, namespace, subresource } = asked;
  const resource = `${asked.group}/${asked.resource}${subresource === "" ? "" : `/${subresource}`}`;
  const when = (isAllowed: boolean, why = ""): string | undefined => (isAllowed ? undefined : why);
  const related = (isRelated: boolean): string | undefined =>
    when(isRelated, `no relationship found between node '${nodeName}' and this object`);
  if (readable.includes(resource) && reads.includes(verb)) return undefined;
  switch (resource) {
    case "/nodes":
      // The name in a new Node is checked where the Node is read: admission/node-restriction.ts.
      return when(verb === "create" || (writes.includes(verb) && name === nodeName));
    case "/nodes/status":
      return when(writes.includes(verb) && name === nodeName);
    case "coordination.k8s.io/leases":
      if (namespace !== nodeLeaseNamespace) return 'can only access leases in the "kube-node-lease" system namespace';
      return when(verb === "create" || ([...writes, "get", "delete"].includes(verb) && name === nodeName));
    case "/events":
      return when(writes.includes(verb));
    case "/pods":
      if (verb === "list" || verb === "watch")
        return when(
          exactly(asked.fieldSelector, "spec.nodeName") === nodeName ||
            (name !== "" && isOwn(registry, nodeName, asked)),
          "can only list/watch pods with spec.nodeName field selector",
        );
      return verb === "get" || verb === "delete" ? related(isOwn(registry, nodeName, asked)) : "";
    case "/pods/status":
      return writes.includes(verb) && verb !== "create" ? related(isOwn(registry, nodeName, asked)) : "";
    case "/pods/eviction":
      return verb === "create" ? related(isOwn(registry, nodeName, asked)) : "";
    case "/secrets":
    case "/configmaps":
      if (!reads.includes(verb)) return "";
      return name === "" ? "can only read resources of this type by name" : related(isNamed(registry, nodeName, asked));
    case "/serviceaccounts":
      return verb === "get" ? related(isNamed(registry, nodeName, asked)) : "";
    case "/serviceaccounts/token":
      return verb === "create" ? related(isNamed(registry, nodeName, asked)) : "";
    case "authentication.k8s.io/tokenreviews":
    case "authorization.k8s.io/subjectaccessreviews":
      return when(verb === "create");
    default:
      return "";
  }
}

function isOwn(registry: Registry, nodeName: string, { namespace, name }: ResourceAttributes): boolean {
  const pod = registry.cache.get<Pod>(pods, { namespace, name });
  return pod?.spec.nodeName === nodeName;
}

/** Whether a pod on the node names the ConfigMap, Secret or ServiceAccount. */
function isNamed(registry: Registry, nodeName: string, { resource, namespace, name }: ResourceAttributes): boolean {
  const own = registry.cache.list<Pod>(pods, namespace).filter(({ spec }) => spec.nodeName === nodeName);
  if (resource === "serviceaccounts") return own.some(({ spec }) => (spec.serviceAccountName ?? "default") === name);
  return own.some((pod) => namesIn(pod, resource === "secrets" ? "secret" : "configMap").has(name));
}

/** The ConfigMaps or Secrets that a pod's containers and volumes name. */
function namesIn({ spec }: Pod, kind: "secret" | "configMap"): ReadonlySet<string> {
  const names: (string | undefined)[] = [];
  for (const { env = [], envFrom = [] } of [...spec.containers, ...(spec.initContainers ?? [])]) {
    for (const { valueFrom } of env) names.push(valueFrom?.[`${kind}KeyRef`]?.name);
    for (const source of envFrom) names.push(source[`${kind}Ref`]?.name);
  }
  for (const volume of spec.volumes ?? []) {
    names.push(kind === "secret" ? volume.secret?.secretName : volume.configMap?.name);
    for (const source of volume.projected?.sources ?? []) names.push(source[kind]?.name);
  }
  if (kind === "secret") {
    const { imagePullSecrets = [] } = spec as { readonly imagePullSecrets?: readonly { readonly name?: string }[] };
    names.push(...imagePullSecrets.map(({ name }) => name));
  }
  return new Set(names.filter((name) => name !== undefined));
}
