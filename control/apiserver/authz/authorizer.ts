/**
 * Authorization by fixed rules, until there is RBAC: who may do what. docs/design says why these.
 *
 *   User, Attributes ─▶ authorize() ─▶ Decision ─▶ chain.ts (403), verbs/review.ts (access reviews)
 *
 *   system:masters            everything
 *   system:node:NAME          what its kubelet needs (node-rules.ts)
 *   system:serviceaccounts    reads everything but Secrets; writes nothing
 *   whoever is authenticated  discovery, and questions about itself
 */
import type { Registry, User } from "../registry.ts";
import { servedResources } from "../resources.ts";
import type { Attributes, ResourceAttributes } from "./attributes.ts";
import { nodeNameOf, refusalForNode } from "./node-rules.ts";

export interface Decision {
  readonly allowed: boolean;
  /** What there is to say beyond the decision; may be empty. */
  readonly reason: string;
}

/** A rule as RBAC writes it. */
export interface Rule {
  readonly verbs: readonly string[];
  readonly apiGroups?: readonly string[];
  /** `pods`, `pods/log`; `*`: all. */
  readonly resources?: readonly string[];
  /** A last `*` stands for any rest. */
  readonly nonResourceURLs?: readonly string[];
}

const everything: readonly Rule[] = [
  { verbs: ["*"], apiGroups: ["*"], resources: ["*"] },
  { verbs: ["*"], nonResourceURLs: ["*"] },
];

/** The ClusterRoles system:discovery, system:basic-user and system:service-account-issuer-discovery. */
const basic: readonly Rule[] = [
  {
    verbs: ["create"],
    apiGroups: ["authorization.k8s.io"],
    resources: ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
  },
  { verbs: ["create"], apiGroups: ["authentication.k8s.io"], resources: ["selfsubjectreviews"] },
  {
    verbs: ["get"],
    nonResourceURLs: [
      "/.well-known/openid-configuration",
      "/api",
      "/api/*",
      "/apis",
      "/apis/*",
      "/healthz",
      "/livez",
      "/openapi",
      "/openapi/*",
      "/openid/v1/jwks",
      "/readyz",
      "/version",
      "/version/",
    ],
  },
];

const reads = ["get", "list", "watch"];

/** Subresources that are views of the object; the others act on it, or on what runs. */
const readSubresources = ["log", "scale", "status"];

/** Like the ClusterRole view, in all Namespaces and of cluster-scoped kinds, too: service discovery and dashboards work. */
const serviceAccount: readonly Rule[] = [...groupsRead(), { verbs: ["get"], nonResourceURLs: ["/metrics"] }];

function groupsRead(): Rule[] {
  const byGroup = new Map<string, string[]>();
  for (const { group, plural, verbs, subresources } of servedResources) {
    if (!verbs.includes("list") || (group === "" && plural === "secrets")) continue;
    const views = subresources.filter(({ name }) => readSubresources.includes(name));
    const names = [plural, ...views.map(({ name }) => `${plural}/${name}`)];
    byGroup.set(group, [...(byGroup.get(group) ?? []), ...names]);
  }
  return [...byGroup].map(([group, resources]) => ({ verbs: reads, apiGroups: [group], resources }));
}

/** The rules of a user. A node has more than rules: `authorize` knows. */
export function rulesOf({ groups }: User): readonly Rule[] {
  if (groups.includes("system:masters")) return everything;
  const own = groups.includes("system:serviceaccounts") ? serviceAccount : [];
  return groups.includes("system:authenticated") ? [...basic, ...own] : own;
}

/** Whether the user may. */
export function authorize(registry: Registry, user: User, attributes: Attributes): Decision {
  if (rulesOf(user).some((rule) => isCovered(rule, attributes))) return { allowed: true, reason: "" };
  const nodeName = nodeNameOf(user);
  if (nodeName === undefined || attributes.resource === undefined) return { allowed: false, reason: "" };
  const refusal = refusalForNode(registry, nodeName, attributes.verb, attributes.resource);
  return { allowed: refusal === undefined, reason: refusal ?? "" };
}

function isCovered(rule: Rule, { verb, resource, path }: Attributes): boolean {
  if (!rule.verbs.includes("*") && !rule.verbs.includes(verb)) return false;
  if (resource !== undefined) return coversResource(rule, resource);
  return (rule.nonResourceURLs ?? []).some((url) =>
    url.endsWith("*") ? path.startsWith(url.slice(0, -1)) : path === url,
  );
}

function coversResource({ apiGroups = [], resources = [] }: Rule, asked: ResourceAttributes): boolean {
  const { group, resource, subresource } = asked;
  const name = subresource === "" ? resource : `${resource}/${subresource}`;
  const isGroup = apiGroups.includes("*") || apiGroups.includes(group);
  return isGroup && (resources.includes("*") || resources.includes(name));
}
