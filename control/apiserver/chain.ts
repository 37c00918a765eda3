/**
 * What happens to every request, in order. The first stage that gives an Answer ends the chain.
 *
 * The law: health and version answer anyone, also while the state is not loaded; nothing else is said to a client
 * before it is known who it is and that it may; bodies are read only by verbs, after the resource is known to exist.
 */
import { StatusError } from "#api/status.ts";
import { chooseDiscovery, chooseForm } from "./accept.ts";
import type { Authenticator } from "./authn.ts";
import { authenticate, impersonate } from "./authn.ts";
import { attributesOf, forbiddenBy } from "./authz/attributes.ts";
import { authorize } from "./authz/authorizer.ts";
import { discover, version } from "./discovery.ts";
import { discoverAggregated } from "./discovery-aggregated.ts";
import { type Dispatched, dispatch, type DispatchContext } from "./dispatch.ts";
import { type Answer, type Exchange, json, text } from "./exchange.ts";
import type { ApiMetrics } from "./metrics.ts";
import { openAPIAt } from "./openapi/documents.ts";
import { openAPIV2, openAPIV2Accept, openAPIV2Type } from "./openapi/v2.ts";
import { openIDAt } from "./openid.ts";
import { parseResourcePath } from "./path.ts";

export interface ChainContext extends DispatchContext {
  readonly authenticators: readonly Authenticator[];
  readonly metrics: ApiMetrics;
  /** Pages under /debug, for those who may do everything: name → what it shows now. */
  readonly debug?: DebugPages | undefined;
}

export type DebugPages = Readonly<Record<string, () => unknown>>;

/** What a stage makes of a request: an answer, the verb to run, or the request as the next stage sees it. */
export type StageResult =
  | { readonly kind: "answer"; readonly answer: Answer }
  | { readonly kind: "verb"; readonly dispatched: Dispatched }
  | { readonly kind: "next"; readonly exchange: Exchange };

type Stage = (context: ChainContext, exchange: Exchange) => StageResult;

const pass = (exchange: Exchange): StageResult => ({ kind: "next", exchange });
const answer = (answer: Answer): StageResult => ({ kind: "answer", answer });

/** /healthz, /livez: the process runs. /readyz: the state is loaded and followed. /version. */
const answerHealth: Stage = ({ registry }, exchange) => {
  const [name] = exchange.segments;
  if (exchange.method !== "GET" && exchange.method !== "HEAD") return pass(exchange);
  if (name === "version" && exchange.segments.length === 1) return answer(json(version));
  if (name === "livez" || name === "healthz") return answer(text(200, "ok"));
  if (name !== "readyz") return pass(exchange);
  const { failure } = registry.cache;
  return answer(failure === undefined ? text(200, "ok") : text(503, `[-]watch cache: ${failure}`));
};

const authenticateUser: Stage = ({ authenticators }, exchange) =>
  pass({
    ...exchange,
    user: impersonate(authenticate(authenticators, exchange.credentials), exchange.credentials.impersonation),
  });

const authorizeUser: Stage = ({ registry }, exchange) => {
  const user = exchange.user ?? { name: "system:anonymous", groups: [] };
  const attributes = attributesOf(exchange);
  const { allowed, reason } = authorize(registry, user, attributes);
  if (!allowed) throw forbiddenBy(user.name, attributes, reason);
  return pass(exchange);
};

const answerMetrics: Stage = ({ metrics, registry }, exchange) => {
  if (exchange.segments.length !== 1 || exchange.segments[0] !== "metrics" || exchange.method !== "GET")
    return pass(exchange);
  return answer(text(200, metrics.collect(registry.cache), "text/plain; version=0.0.4; charset=utf-8"));
};

/** /debug/NAME: the inside of the process. No rule but system:masters' covers these paths. */
const answerDebug: Stage = ({ debug = {} }, exchange) => {
  const [folder, name = ""] = exchange.segments;
  const isAsked = folder === "debug" && exchange.segments.length === 2 && exchange.method === "GET";
  const page = isAsked && Object.hasOwn(debug, name) ? debug[name] : undefined;
  return page === undefined ? pass(exchange) : answer(json(page()));
};

/** OpenAPI v2 is the one document that is not JSON; it comes before the negotiation that would refuse its media type. */
const answerOpenAPIV2: Stage = (_context, exchange) => {
  const isAsked = exchange.method === "GET" && exchange.segments.join("/") === "openapi/v2";
  if (!isAsked || !exchange.accept.includes(openAPIV2Accept)) return pass(exchange);
  return answer({ type: "binary", body: openAPIV2(), contentType: openAPIV2Type });
};

const negotiate: Stage = (_context, exchange) => {
  // Logs are text, and clients ask for them as such; discovery has forms of its own.
  const isServed = chooseForm(exchange.accept) !== undefined || chooseDiscovery(exchange.accept) !== undefined;
  if (isServed || exchange.segments.at(-1) === "log") return pass(exchange);
  throw new StatusError(
    "NotAcceptable",
    `only application/json is served here, got Accept: ${exchange.accept.slice(0, 200)}`,
  );
};

const answerDiscovery: Stage = ({ tokens }, exchange) => {
  const version = exchange.method === "GET" ? chooseDiscovery(exchange.accept) : undefined;
  const aggregated = version === undefined ? undefined : discoverAggregated(exchange.segments, version);
  if (aggregated !== undefined)
    return answer({ type: "object", code: 200, body: aggregated.document, contentType: aggregated.contentType });
  const document =
    exchange.method === "GET" ? (discover(exchange.segments) ?? openAPIAt(exchange.segments)) : undefined;
  if (document !== undefined) return answer(json(document));
  const openID = exchange.method === "GET" && tokens !== undefined ? openIDAt(exchange.segments, tokens) : undefined;
  return openID === undefined ? pass(exchange) : answer(openID);
};

const runVerb: Stage = (context, exchange) => {
  const path = parseResourcePath(exchange.segments);
  if (path === undefined) throw new StatusError("NotFound", "the server could not find the requested resource");
  return { kind: "verb", dispatched: dispatch(context, exchange, path) };
};

/** The stages, in order. Admission is a chain of its own (admission/chain.ts), run inside the writing verbs. */
export const chain: readonly Stage[] = [
  answerHealth,
  authenticateUser,
  authorizeUser,
  answerMetrics,
  answerDebug,
  answerOpenAPIV2,
  negotiate,
  answerDiscovery,
  runVerb,
];

/** Runs the stages up to an answer or a verb. Throws StatusError. */
export function runChain(context: ChainContext, exchange: Exchange): StageResult {
  let current = exchange;
  for (const stage of chain) {
    const result = stage(context, current);
    if (result.kind !== "next") return result;
    current = result.exchange;
  }
  throw new StatusError("NotFound", "the server could not find the requested resource");
}
