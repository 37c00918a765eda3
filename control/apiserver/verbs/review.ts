/**
 * Reviews: who is this, and may they? Asked as objects that are created, answered and not kept.
 *
 *   kubectl auth whoami, can-i ─▶ POST selfsubjectreviews, … ─▶ review() ─▶ the same object with a status
 *
 * Answers come from the same rules that decide about requests (authz/authorizer.ts). Nothing is stored.
 * Follows: k8s.io/kubernetes pkg/registry/authentication, pkg/registry/authorization.
 */
import { apiVersionOf, type KindRef } from "#api/kind.ts";
import { StatusError } from "#api/status.ts";
import type { TokenSigner } from "../../identity/tokens.ts";
import type { Attributes } from "../authz/attributes.ts";
import { authorize, rulesOf } from "../authz/authorizer.ts";
import { withAuthenticated } from "../authn.ts";
import type { Registry, User } from "../registry.ts";
import { readToken, tokenIssuer } from "../service-account-tokens.ts";

export interface ReviewContext {
  readonly registry: Registry;
  /** Undefined: there are no tokens, and none is authentic. */
  readonly tokens: TokenSigner | undefined;
  /** Who asks. */
  readonly user: User;
  /** Of the path; "" when the kind has none. */
  readonly namespace: string;
}

type Fields = Readonly<Record<string, unknown>>;

/** The review with its answer. Throws BadRequest, Invalid. */
export function review(context: ReviewContext, kind: KindRef, body: unknown): unknown {
  const sent = fieldsOf(body);
  if (sent["kind"] !== kind.kind || sent["apiVersion"] !== apiVersionOf(kind))
    throw new StatusError(
      "BadRequest",
      `Cannot read ${kind.kind}: wanted apiVersion ${apiVersionOf(kind)} and kind ${kind.kind}`,
    );
  const spec = fieldsOf(sent["spec"]);
  return { ...sent, metadata: sent["metadata"] ?? {}, status: answerTo(context, kind.kind, spec) };
}

function answerTo(context: ReviewContext, kind: string, spec: Fields): unknown {
  const { registry, user } = context;
  switch (kind) {
    case "SelfSubjectReview":
      return { userInfo: userInfo(user) };
    case "TokenReview":
      return reviewToken(context, spec);
    case "SelfSubjectAccessReview":
      return decide(registry, user, spec);
    case "SelfSubjectRulesReview": {
      const rules = rulesOf(user);
      return {
        resourceRules: rules
          .filter(({ resources }) => resources !== undefined)
          .map(({ verbs, apiGroups, resources }) => ({ verbs, apiGroups, resources })),
        nonResourceRules: rules
          .filter(({ nonResourceURLs }) => nonResourceURLs !== undefined)
          .map(({ verbs, nonResourceURLs }) => ({ verbs, nonResourceURLs })),
        // What a node may do depends on the pods that are on it, which no list of rules says.
        incomplete: user.groups.includes("system:nodes"),
      };
    }
    default:
      return decide(registry, subjectOf(spec), inNamespace(kind, context.namespace, spec));
  }
}

function userInfo({ name, uid, groups, extra }: User): Fields {
  return {
    username: name,
    ...(uid === undefined ? {} : { uid }),
    groups,
    ...(extra === undefined ? {} : { extra }),
  };
}

function reviewToken({ registry, tokens }: ReviewContext, spec: Fields): unknown {
  const token = textOf(spec, "token");
  if (token === "") throw new StatusError("BadRequest", "token is required for TokenReview in authentication");
  const audiences = textsOf(spec, "audiences");
  const wanted = audiences.length === 0 ? [tokenIssuer] : audiences;
  const found = tokens === undefined ? undefined : readToken(registry, tokens, token, wanted);
  if (found === undefined) return { user: {}, error: "invalid bearer token" };
  return { authenticated: true, user: userInfo(withAuthenticated(found.user)), audiences: found.audiences };
}

function decide(registry: Registry, user: User, spec: Fields): unknown {
  const { allowed, reason } = authorize(registry, user, readAttributes(spec));
  return { allowed, ...(reason === "" ? {} : { reason }) };
}

function subjectOf(spec: Fields): User {
  const user = { name: textOf(spec, "user"), groups: textsOf(spec, "groups") };
  if (user.name === "" && user.groups.length === 0)
    throw new StatusError(
      "BadRequest",
      'spec.user: Invalid value: "": at least one of user or group must be specified',
    );
  return user;
}

function inNamespace(kind: string, namespace: string, spec: Fields): Fields {
  const asked = fieldsOf(spec["resourceAttributes"]);
  if (kind === "LocalSubjectAccessReview" && textOf(asked, "namespace") !== namespace)
    throw new StatusError("BadRequest", `spec.resourceAttributes.namespace must match namespace: ${namespace}`);
  return spec;
}

function readAttributes(spec: Fields): Attributes {
  const { resourceAttributes, nonResourceAttributes } = spec;
  if ((resourceAttributes === undefined) === (nonResourceAttributes === undefined))
    throw new StatusError(
      "BadRequest",
      "spec.resourceAttributes: Invalid value: exactly one of nonResourceAttributes or resourceAttributes must be specified",
    );
  if (nonResourceAttributes !== undefined) {
    const asked = fieldsOf(nonResourceAttributes);
    return { verb: textOf(asked, "verb"), resource: undefined, path: textOf(asked, "path") };
  }
  const asked = fieldsOf(resourceAttributes);
  const resource = {
    group: textOf(asked, "group"),
    resource: textOf(asked, "resource"),
    subresource: textOf(asked, "subresource"),
    namespace: textOf(asked, "namespace"),
    name: textOf(asked, "name"),
    fieldSelector: textOf(fieldsOf(asked["fieldSelector"]), "rawSelector"),
  };
  return { verb: textOf(asked, "verb"), resource, path: "" };
}

function fieldsOf(value: unknown): Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

function textOf(fields: Fields, name: string): string {
  const value = fields[name];
  return typeof value === "string" ? value : "";
}

function textsOf(fields: Fields, name: string): string[] {
  const value = fields[name];
  return Array.isArray(value) ? value.filter((item) => typeof item === "string") : [];
}
