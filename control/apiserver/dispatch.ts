/**
 * From a resource path and a method to a verb: reads the query, makes the request, calls verbs/*.ts.
 *
 *   chain.ts ─▶ dispatch() ─▶ { verb, resource, run } ─▶ Answer
 */
import type { DeleteOptions } from "#api/client/client.ts";
import { bindings } from "#api/core/binding.ts";
import { pods } from "#api/core/pod.ts";
import { formatResource } from "#api/schema/field-error.ts";
import { hasStatus, type Kind } from "#api/schema/kind.ts";
import { StatusError } from "#api/status.ts";
import { type Answer, type Exchange, json } from "./exchange.ts";
import type { RequestLabels } from "./metrics.ts";
import { type ResourcePath, resolvePath } from "./path.ts";
import type { ObjectRequest, Part, Registry } from "./registry.ts";
import { bind } from "./verbs/bind.ts";
import { create } from "./verbs/create.ts";
import { remove, removeCollection } from "./verbs/delete.ts";
import { get } from "./verbs/get.ts";
import { list } from "./verbs/list.ts";
import { logTarget, type OpenLog } from "./verbs/log.ts";
import { patch } from "./verbs/patch.ts";
import { update } from "./verbs/update.ts";
import { watch, type WatchQuery } from "./verbs/watch.ts";

export interface DispatchContext {
  readonly registry: Registry;
  readonly openLog: OpenLog | undefined;
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
  const resolved = resolvePath(path);
  if (resolved === undefined) throw new StatusError("NotFound", "the server could not find the requested resource");
  const request: ObjectRequest = { ...resolved, ...options(exchange) };
  const { kind } = request;
  const label = (verb: string): RequestLabels => ({
    verb,
    resource: kind.plural + (path.subresource && `/${path.subresource}`),
  });
  if (path.subresource !== "") {
    const run = subresource(context, exchange, request, path.subresource);
    return { labels: label(exchange.method === "POST" ? "CREATE" : exchange.method), run };
  }
  return path.name === "" ? collection(context, exchange, request, label) : single(context, exchange, request, label);
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
      return { labels: label("LIST"), run: async () => json(list(registry, kind, query)) };
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
        run: async () => json(await removeCollection(registry, request, query, await deleteOptions(exchange))),
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
        run: async () => json(await patch(registry, request, await exchange.readBody(), "object")),
      };
    case "DELETE":
      return {
        labels: label("DELETE"),
        run: async () => json(await remove(registry, request, await deleteOptions(exchange))),
      };
    default:
      throw notAllowed();
  }
}

function subresource(
  { registry, openLog }: DispatchContext,
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
    return async () => json(await patch(registry, request, await exchange.readBody(), part));
  if (action === "POST pods/binding")
    return async () => {
      await bind(registry, request, await exchange.readBody());
      return json(success, 201);
    };
  if (action === "GET pods/log")
    return async () => {
      if (openLog === undefined)
        throw new StatusError("ServiceUnavailable", "Cannot get logs: this server reaches no kubelets");
      return { type: "bytes", bytes: await openLog(logTarget(registry, request.key, exchange.query), exchange.signal) };
    };
  if (part !== undefined || [`pods/binding`, `pods/log`].includes(`${kind.plural}/${name}`)) throw notAllowed();
  throw new StatusError(
    "NotFound",
    `the server could not find the requested resource: ${formatResource(kind)} has no subresource ${name} here`,
  );
}

/** POST bindings: the Binding's own name is the pod's. */
function dispatchBindings({ registry }: DispatchContext, exchange: Exchange, path: ResourcePath): Dispatched {
  if (exchange.method !== "POST") throw notAllowed();
  const run = async (): Promise<Answer> => {
    const body = (await exchange.readBody()) as { readonly metadata?: { readonly name?: string } } | null | undefined;
    const key = { namespace: path.namespace ?? "", name: body?.metadata?.name ?? "" };
    await bind(registry, { kind: pods, key, ...options(exchange) }, body);
    return json(success, 201);
  };
  return { labels: { verb: "CREATE", resource: bindings.plural }, run };
}

const success = { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", code: 201 };

function partOf(kind: Kind, name: string): Part | undefined {
  if (name === "status" && hasStatus(kind)) return "status";
  return name === "finalize" && kind.kind === "Namespace" ? "finalize" : undefined;
}

function notAllowed(): StatusError {
  return new StatusError("MethodNotAllowed", "the server does not allow this method on the requested resource");
}

function options(exchange: Exchange): Omit<ObjectRequest, "kind" | "key"> {
  const { query, user, warnings } = exchange;
  const fieldValidation = query.get("fieldValidation") ?? "Warn";
  if (fieldValidation !== "Strict" && fieldValidation !== "Warn" && fieldValidation !== "Ignore")
    throw new StatusError(
      "BadRequest",
      `fieldValidation: got ${JSON.stringify(fieldValidation)}, wanted Strict, Warn or Ignore`,
    );
  const dryRun = query.get("dryRun");
  if (dryRun !== null && dryRun !== "" && dryRun !== "All")
    throw new StatusError("BadRequest", `dryRun: got ${JSON.stringify(dryRun)}, wanted All`);
  return {
    user: user ?? { name: "system:anonymous", groups: [] },
    isDryRun: dryRun === "All",
    fieldValidation,
    warn: (sentence) => void warnings.push(sentence),
  };
}

function watchQuery({ query }: Exchange, namespace: string | undefined): WatchQuery {
  const read = (name: string): string | undefined => query.get(name) ?? undefined;
  return {
    namespace,
    labelSelector: read("labelSelector"),
    fieldSelector: read("fieldSelector"),
    resourceVersion: read("resourceVersion"),
    resourceVersionMatch: read("resourceVersionMatch"),
    continue: read("continue"),
    allowWatchBookmarks: isTrue(query.get("allowWatchBookmarks")),
    sendInitialEvents: read("sendInitialEvents"),
  };
}

function startWatch(registry: Registry, exchange: Exchange, kind: Kind, query: WatchQuery): Answer {
  const seconds = wholeNumber("timeoutSeconds", exchange.query.get("timeoutSeconds"));
  const timeoutMs =
    seconds === undefined || seconds === 0
      ? watchMsMin * (1 + registry.random.next())
      : Math.min(seconds * 1000, 86_400_000);
  return { type: "watch", watcher: watch(registry, kind, query), kind, timeoutMs };
}

/** DeleteOptions from the body, or else the query. */
async function deleteOptions(exchange: Exchange): Promise<DeleteOptions> {
  const body = (await exchange.readBody()) ?? {};
  if (typeof body !== "object" || Array.isArray(body))
    throw new StatusError("BadRequest", "Cannot read DeleteOptions: wanted a JSON object");
  const sent = body as DeleteOptions;
  const seconds = wholeNumber(
    "gracePeriodSeconds",
    String(sent.gracePeriodSeconds ?? exchange.query.get("gracePeriodSeconds") ?? ""),
  );
  const policy = sent.propagationPolicy ?? exchange.query.get("propagationPolicy") ?? "Background";
  if (policy !== "Background" && policy !== "Foreground" && policy !== "Orphan")
    throw new StatusError(
      "BadRequest",
      `propagationPolicy: got ${JSON.stringify(policy)}, wanted Background, Foreground or Orphan`,
    );
  const { preconditions } = sent;
  if (preconditions !== undefined && (typeof preconditions !== "object" || preconditions === null))
    throw new StatusError("BadRequest", "preconditions: wanted an object");
  return {
    ...(seconds === undefined ? {} : { gracePeriodSeconds: seconds }),
    propagationPolicy: policy,
    ...(preconditions === undefined ? {} : { preconditions }),
  };
}

function wholeNumber(name: string, text: string | null): number | undefined {
  if (text === null || text === "") return undefined;
  if (!/^[0-9]{1,9}$/.test(text))
    throw new StatusError("BadRequest", `${name}: got ${JSON.stringify(text)}, wanted a whole number`);
  return Number(text);
}

/** Go's strconv.ParseBool, as far as clients use it. */
function isTrue(text: string | null): boolean {
  return text === "true" || text === "1" || text === "True";
}
