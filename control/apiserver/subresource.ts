/**
 * Subresources: status, finalize, scale, binding, eviction, log, token.
 *
 *   dispatch.ts ─▶ subresource(), dispatchBindings() ─▶ verbs/*.ts ─▶ Answer
 */
import { bindings } from "#api/core/binding.ts";
import { pods } from "#api/core/pod.ts";
import { formatResource } from "#api/schema/field-error.ts";
import { hasStatus, type Kind, wholeSchema } from "#api/schema/kind.ts";
import { free } from "#api/schema/schema.ts";
import { StatusError } from "#api/status.ts";
import type { Dispatched, DispatchContext } from "./dispatch.ts";
import { type Answer, type Exchange, json, text } from "./exchange.ts";
import { type Patch, parsePatch } from "./patch/patch.ts";
import type { ResourcePath } from "./path.ts";
import { requestOptions } from "./query.ts";
import type { ObjectRequest, Part, Registry } from "./registry.ts";
import { bind } from "./verbs/bind.ts";
import { evict } from "./verbs/evict.ts";
import { get } from "./verbs/get.ts";
import { logTarget } from "./verbs/log.ts";
import { patch } from "./verbs/patch.ts";
import { changeScale, getScale } from "./verbs/scale.ts";
import { createToken } from "./verbs/token.ts";
import { update } from "./verbs/update.ts";

/** What to do for a subresource of an object. Throws NotFound, MethodNotAllowed. */
export function subresource(
  { registry, openLog, tokens }: DispatchContext,
  exchange: Exchange,
  request: ObjectRequest,
  name: string,
): () => Promise<Answer> {
  const { kind } = request;
  const part = partOf(kind, name);
  const action = `${exchange.method} ${kind.plural}/${name}`;
  if (part === "status" && exchange.method === "GET") return async () => json(get(registry, kind, request.key));
  if (part !== undefined && exchange.method === "PUT")
    return async () => json(await update(registry, request, await exchange.readBody(), part));
  if (part === "status" && exchange.method === "PATCH")
    return async () => json(await patch(registry, request, await readPatch(exchange, kind), part));
  if (name === "scale" && kind.hasScale === true) return scale(registry, exchange, request);
  if (action === "POST pods/binding")
    return async () => {
      await bind(registry, request, await exchange.readBody());
      return json(success, 201);
    };
  if (action === "POST pods/eviction")
    return async () => {
      await evict(registry, request, await exchange.readBody());
      return json(success, 201);
    };
  if (action === "POST serviceaccounts/token")
    return async () => {
      if (tokens === undefined)
        throw new StatusError("ServiceUnavailable", "Cannot make a token: this server has no key for tokens");
      return json(createToken(registry, tokens, request, await exchange.readBody()), 201);
    };
  if (action === "GET pods/log")
    return async () => {
      if (openLog === undefined)
        throw new StatusError("ServiceUnavailable", "Cannot get logs: this server reaches no kubelets");
      const target = logTarget(registry, request.key, exchange.query);
      // A pod that is on no node has no log yet, which is no mistake.
      if (target === undefined) return text(204, "");
      return { type: "bytes", bytes: await openLog(target, exchange.signal) };
    };
  if (
    part !== undefined ||
    ["pods/binding", "pods/eviction", "pods/log", "serviceaccounts/token"].includes(`${kind.plural}/${name}`)
  )
    throw notAllowed();
  throw new StatusError(
    "NotFound",
    `the server could not find the requested resource: ${formatResource(kind)} has no subresource ${name} here`,
  );
}

function scale(registry: Registry, exchange: Exchange, request: ObjectRequest): () => Promise<Answer> {
  switch (exchange.method) {
    case "GET":
      return async () => json(getScale(registry, request));
    case "PUT":
      return async () => {
        const body = await exchange.readBody();
        return json(await changeScale(registry, request, () => body));
      };
    case "PATCH":
      return async () => {
        const apply = parsePatch(exchange.contentType, await exchange.readBody(), free());
        return json(await changeScale(registry, request, apply));
      };
    default:
      throw notAllowed();
  }
}

async function readPatch(exchange: Exchange, kind: Kind): Promise<Patch> {
  return parsePatch(exchange.contentType, await exchange.readBody(), wholeSchema(kind));
}

/** POST bindings: the Binding's own name is the pod's. */
export function dispatchBindings({ registry }: DispatchContext, exchange: Exchange, path: ResourcePath): Dispatched {
  if (exchange.method !== "POST") throw notAllowed();
  const run = async (): Promise<Answer> => {
    const body = (await exchange.readBody()) as { readonly metadata?: { readonly name?: string } } | null | undefined;
    const key = { namespace: path.namespace ?? "", name: body?.metadata?.name ?? "" };
    await bind(registry, { kind: pods, key, ...requestOptions(exchange) }, body);
    return json(success, 201);
  };
  return { labels: { verb: "CREATE", resource: bindings.plural }, run };
}

const success = { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", code: 201 };

function partOf(kind: Kind, name: string): Part | undefined {
  if (name === "status" && hasStatus(kind)) return "status";
  return name === "finalize" && kind.kind === "Namespace" ? "finalize" : undefined;
}

/** The resource is there, and this method is none of its verbs. */
export function notAllowed(): StatusError {
  return new StatusError("MethodNotAllowed", "the server does not allow this method on the requested resource");
}
