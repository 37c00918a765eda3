/**
 * From a resource path and a method to a verb: reads the query, makes the request, calls verbs/*.ts.
 *
 *   chain.ts ─▶ dispatch() ─▶ { verb, resource, run } ─▶ Answer
 */
import { bindings } from "#api/core/binding.ts";
import type { KubeList, KubeObject } from "#api/meta.ts";
import type { KindRef } from "#api/kind.ts";
import { type Kind, wholeSchema } from "#api/schema/kind.ts";
import { StatusError } from "#api/status.ts";
import { chooseForm } from "./accept.ts";
import { type Answer, type Exchange, json } from "./exchange.ts";
import type { TokenSigner } from "../identity/tokens.ts";
import type { RequestLabels } from "./metrics.ts";
import { type ResourcePath, resolvePath } from "./path.ts";
import { parsePatch } from "./patch/patch.ts";
import { parseIncludeObject, presentEvent, presentObject, type Presentation } from "./printers/table.ts";
import { deleteOptions, isTrue, requestOptions, watchQuery, wholeNumber } from "./query.ts";
import type { ObjectRequest, Registry } from "./registry.ts";
import { dispatchMetrics } from "./resource-metrics.ts";
import { dispatchBindings, notAllowed, subresource } from "./subresource.ts";
import { create } from "./verbs/create.ts";
import { remove, removeCollection } from "./verbs/delete.ts";
import { get } from "./verbs/get.ts";
import { list } from "./verbs/list.ts";
import type { ReadStats } from "./kubelet-client.ts";
import type { OpenLog } from "./verbs/log.ts";
import { patch } from "./verbs/patch.ts";
import { review } from "./verbs/review.ts";
import { reviewKindOf } from "./verbs/review-kinds.ts";
import { update } from "./verbs/update.ts";
import { watch, type WatchQuery } from "./verbs/watch.ts";

export interface DispatchContext {
  readonly registry: Registry;
  readonly openLog: OpenLog | undefined;
  readonly readStats: ReadStats | undefined;
  /** Signs and checks the tokens of ServiceAccounts; undefined: there are none. */
  readonly tokens: TokenSigner | undefined;
}

export interface Dispatched {
  readonly labels: RequestLabels;
  readonly run: () => Promise<Answer>;
}

/** Shortest time that a watch lasts when the client names none, in ms; the longest is twice that. kube-apiserver's. */
const watchMsMin = 1_800_000;

/** What to do for a request. Throws NotFound for a resource that there is not, MethodNotAllowed for a verb that it has not. */
export function dispatch(context: DispatchContext, exchange: Exchange, path: ResourcePath): Dispatched {
  if (path.group === "" && path.version === "v1" && path.plural === bindings.plural && path.name === "")
    return dispatchBindings(context, exchange, path);
  const asked = reviewKindOf(path.group, path.version, path.plural);
  const metrics = dispatchMetrics(context, exchange, path);
  if (metrics !== undefined) return metrics;
  if (asked !== undefined && path.name === "") return dispatchReview(context, exchange, asked, path);
  const resolved = resolvePath(path);
  if (resolved === undefined) throw new StatusError("NotFound", "the server could not find the requested resource");
  const request: ObjectRequest = { ...resolved, ...requestOptions(exchange) };
  const { kind } = request;
  const label = (verb: string): RequestLabels => ({
    verb,
    resource: kind.plural + (path.subresource && `/${path.subresource}`),
  });
  if (path.subresource !== "") {
    const run = subresource(context, exchange, request, path.subresource);
    return { labels: label(exchange.method === "POST" ? "CREATE" : exchange.method), run };
  }
  const found =
    path.name === "" ? collection(context, exchange, request, label) : single(context, exchange, request, label);
  return { ...found, run: async () => present(context.registry, exchange, kind, await found.run()) };
}

/** The answer in the form that the client accepts: whole, as a table, or bare metadata. */
function present(registry: Registry, exchange: Exchange, kind: Kind, answer: Answer): Answer {
  const form = chooseForm(exchange.accept) ?? "plain";
  if (form === "plain") return answer;
  const includeObject = parseIncludeObject(exchange.query.get("includeObject"));
  const presentation = (): Presentation => ({ form, kind, includeObject, nowMs: registry.clock.nowMs() });
  if (answer.type === "object")
    return { ...answer, body: presentObject(presentation(), answer.body as KubeObject | KubeList) };
  return answer.type === "watch" ? { ...answer, present: (event) => presentEvent(presentation(), event) } : answer;
}

/** POST of a review: answered at once, stored nowhere. */
function dispatchReview(context: DispatchContext, exchange: Exchange, kind: KindRef, path: ResourcePath): Dispatched {
  if (exchange.method !== "POST") throw notAllowed();
  if (kind.namespaced !== (path.namespace !== undefined))
    throw new StatusError("NotFound", "the server could not find the requested resource");
  const { user } = requestOptions(exchange);
  const asking = { ...context, user, namespace: path.namespace ?? "" };
  const run = async (): Promise<Answer> => json(review(asking, kind, await exchange.readBody()), 201);
  return { labels: { verb: "CREATE", resource: kind.plural }, run };
}

type Label = (verb: string) => RequestLabels;

function collection(
  { registry }: DispatchContext,
  exchange: Exchange,
  request: ObjectRequest,
  label: Label,
): Dispatched {
  const { kind, key } = request;
  const query = watchQuery(exchange, key.namespace);
  switch (exchange.method) {
    case "GET":
      if (isTrue(exchange.query.get("watch")))
        return { labels: label("WATCH"), run: () => Promise.resolve(startWatch(registry, exchange, kind, query)) };
      return { labels: label("LIST"), run: async () => json(await list(registry, kind, query)) };
    case "POST":
      if (kind.namespaced && key.namespace === undefined)
        throw new StatusError("BadRequest", "an empty namespace may not be set during creation");
      return {
        labels: label("CREATE"),
        run: async () => json(await create(registry, request, await exchange.readBody()), 201),
      };
    case "DELETE":
      return {
        labels: label("DELETECOLLECTION"),
        run: async () => {
          const { options, isDryRun } = await deleteOptions(exchange);
          return json(await removeCollection(registry, { ...request, isDryRun }, query, options));
        },
      };
    default:
      throw notAllowed();
  }
}

function single({ registry }: DispatchContext, exchange: Exchange, request: ObjectRequest, label: Label): Dispatched {
  const { kind, key } = request;
  switch (exchange.method) {
    case "GET": {
      if (!isTrue(exchange.query.get("watch")))
        return { labels: label("GET"), run: async () => json(get(registry, kind, key)) };
      // A watch of one object is a watch of its collection by name.
      const query = { ...watchQuery(exchange, key.namespace), fieldSelector: `metadata.name=${key.name}` };
      return { labels: label("WATCH"), run: () => Promise.resolve(startWatch(registry, exchange, kind, query)) };
    }
    case "PUT":
      return {
        labels: label("UPDATE"),
        run: async () => json(await update(registry, request, await exchange.readBody(), "object")),
      };
    case "PATCH":
      return {
        labels: label("PATCH"),
        run: async () => {
          const apply = parsePatch(exchange.contentType, await exchange.readBody(), wholeSchema(kind));
          return json(await patch(registry, request, apply, "object"));
        },
      };
    case "DELETE":
      return {
        labels: label("DELETE"),
        run: async () => {
          const { options, isDryRun } = await deleteOptions(exchange);
          return json(await remove(registry, { ...request, isDryRun }, options));
        },
      };
    default:
      throw notAllowed();
  }
}

function startWatch(registry: Registry, exchange: Exchange, kind: Kind, query: WatchQuery): Answer {
  const seconds = wholeNumber("timeoutSeconds", exchange.query.get("timeoutSeconds"));
  const timeoutMs =
    seconds === undefined || seconds === 0
      ? watchMsMin * (1 + registry.random.next())
      : Math.min(seconds * 1000, 86_400_000);
  return { type: "watch", watcher: watch(registry, kind, query), kind, timeoutMs };
}
