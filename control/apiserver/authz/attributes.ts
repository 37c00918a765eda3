/**
 * What a request wants to do, in the words of authorization. Pure.
 *
 *   Exchange ─▶ attributesOf() ─▶ Attributes ─▶ authorizer.ts ─▶ Decision ─▶ forbiddenBy()
 *
 * Follows: k8s.io/apiserver pkg/endpoints/request/requestinfo.go, pkg/endpoints/handlers/responsewriters/errors.go.
 */
import { parseFieldSelector } from "#api/selector.ts";
import { StatusError } from "#api/status.ts";
import type { Exchange } from "../exchange.ts";
import { parseResourcePath } from "../path.ts";
import { isTrue } from "../query.ts";

export interface ResourceAttributes {
  readonly group: string;
  /** Plural: `pods`. */
  readonly resource: string;
  /** Empty for the object itself. */
  readonly subresource: string;
  /** Empty for all Namespaces and for cluster-scoped kinds. */
  readonly namespace: string;
  /** Empty for a collection. */
  readonly name: string;
  /** `spec.nodeName=node1`, as it was sent. */
  readonly fieldSelector: string;
}

export interface Attributes {
  /** `get`, `list`, `create`, …; of a path the method in lower case. */
  readonly verb: string;
  /** Undefined: it is about a path that is no resource. */
  readonly resource: ResourceAttributes | undefined;
  readonly path: string;
}

/** What the request wants. */
export function attributesOf(exchange: Exchange): Attributes {
  const path = `/${exchange.segments.join("/")}`;
  const found = parseResourcePath(exchange.segments);
  if (found === undefined) return { verb: exchange.method.toLowerCase(), resource: undefined, path };
  const { group, plural, subresource, namespace = "" } = found;
  const fieldSelector = exchange.query.get("fieldSelector") ?? "";
  const verb = verbOf(exchange, found.name);
  const isCollection = verb === "list" || verb === "watch" || verb === "deletecollection";
  const name = found.name === "" && isCollection ? nameIn(fieldSelector) : found.name;
  // A Namespace is in itself, as far as permissions go.
  const scope = group === "" && plural === "namespaces" && name !== "" ? name : namespace;
  return { verb, resource: { group, resource: plural, subresource, namespace: scope, name, fieldSelector }, path };
}

function verbOf({ method, query }: Exchange, name: string): string {
  switch (method) {
    case "POST":
      return "create";
    case "PUT":
      return "update";
    case "PATCH":
      return "patch";
    case "DELETE":
      return name === "" ? "deletecollection" : "delete";
    default:
      if (isTrue(query.get("watch"))) return "watch";
      return name === "" ? "list" : "get";
  }
}

/** The one name that a field selector asks for; empty when it asks for none or more. */
function nameIn(fieldSelector: string): string {
  try {
    return exactly(fieldSelector, "metadata.name") ?? "";
  } catch {
    return ""; // The verb that reads it will say what is wrong.
  }
}

/** The value that a field selector demands of a field; undefined when it demands none. Throws BadRequest. */
export function exactly(fieldSelector: string, field: string): string | undefined {
  return parseFieldSelector(fieldSelector).find((term) => term.field === field && term.equal)?.value;
}

/** 403 in kube-apiserver's words. */
export function forbiddenBy(userName: string, attributes: Attributes, reason: string): StatusError {
  const why = reason === "" ? "" : `: ${reason}`;
  const { verb, resource: asked, path } = attributes;
  const user = `User ${JSON.stringify(userName)} cannot ${verb}`;
  if (asked === undefined)
    return new StatusError("Forbidden", `forbidden: ${user} path ${JSON.stringify(path)}${why}`, {});
  const { group, resource, subresource, namespace, name } = asked;
  const subject = `${resource}${group === "" ? "" : `.${group}`}${name === "" ? "" : ` ${JSON.stringify(name)}`}`;
  const what = JSON.stringify(subresource === "" ? resource : `${resource}/${subresource}`);
  const where = namespace === "" ? "at the cluster scope" : `in the namespace ${JSON.stringify(namespace)}`;
  const message = `${subject} is forbidden: ${user} resource ${what} in API group ${JSON.stringify(group)} ${where}${why}`;
  return new StatusError("Forbidden", message, { ...(name === "" ? {} : { name }), group, kind: resource });
}
