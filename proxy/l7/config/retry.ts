/**
 * Envoy's RetryPolicy → RetryPolicy. Pure.
 *
 * Source: envoy.config.route.v3.RetryPolicy; conditions and defaults of the router filter's documentation.
 */
import { type RateLimitedBackoff, type RetryCondition, type RetryPolicy, retryOn } from "../route/types.ts";
import { readHeaderMatcher, readResponseHeaderMatcher } from "./match.ts";
import type { Reader } from "./reader.ts";

const backoffMsDefault = 25;
/** The longest back-off is this times the base. */
const backoffFactor = 10;
const rateLimitedMsMaxDefault = 300_000;

const previousHosts = "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate";
const omitCanaries = "type.googleapis.com/envoy.extensions.retry.host.omit_canary_hosts.v3.OmitCanaryHostsPredicate";

export function readRetryPolicy(reader: Reader): RetryPolicy {
  const on = readConditions(reader);
  const predicates = readHostPredicates(reader);
  for (const name of ["retry_priority", "retry_options_predicates"])
    if (reader.has(name)) throw reader.unsupported(name, "the field is not supported");
  const policy: RetryPolicy = {
    on,
    onConnectFailure: (on & (retryOn["connect-failure"] | retryOn["5xx"] | retryOn["gateway-error"])) !== 0,
    onReset: (on & (retryOn.reset | retryOn["reset-before-request"] | retryOn["5xx"])) !== 0,
    retriesMax: reader.integer("num_retries", 0) ?? 1,
    perTryTimeoutMs: reader.durationMs("per_try_timeout") ?? 0,
    perTryIdleMs: reader.durationMs("per_try_idle_timeout") ?? 0,
    backoff: readBackoff(reader),
    rateLimited: readRateLimited(reader),
    statuses: reader.integers("retriable_status_codes", 100, 599),
    responseHeaders: reader.list("retriable_headers").map(readResponseHeaderMatcher),
    requestHeaders: reader.list("retriable_request_headers").map(readHeaderMatcher),
    retriesOtherHosts: predicates.has(previousHosts),
    hostSelectionMax: reader.integer("host_selection_retry_max_attempts", 0) ?? 1,
  };
  reader.done();
  return policy;
}

function readConditions(reader: Reader): number {
  let on = 0;
  for (const part of (reader.text("retry_on") ?? "").split(",")) {
    const condition = part.trim();
    if (condition === "") continue;
    if (!Object.hasOwn(retryOn, condition))
      throw reader.unsupported(
        "retry_on",
        `${JSON.stringify(condition)}, wanted ${Object.keys(retryOn).slice(0, 5).join(", ")}, …`,
      );
    on |= retryOn[condition as RetryCondition];
  }
  return on;
}

function readHostPredicates(reader: Reader): ReadonlySet<string> {
  const types = new Set<string>();
  for (const predicate of reader.list("retry_host_predicate")) {
    const config = predicate.ignore("name").object("typed_config");
    const type = config?.oneOf("@type", [previousHosts, omitCanaries]) ?? previousHosts;
    config?.done();
    predicate.done();
    types.add(type);
  }
  return types;
}

function readBackoff(reader: Reader): RetryPolicy["backoff"] {
  const backoff = reader.object("retry_back_off");
  if (backoff === undefined) return { baseMs: backoffMsDefault, maxMs: backoffMsDefault * backoffFactor };
  const baseMs = backoff.durationMs("base_interval") ?? 0;
  if (baseMs <= 0) throw backoff.bad("base_interval", "it is not more than zero");
  const maxMs = backoff.durationMs("max_interval") ?? baseMs * backoffFactor;
  if (maxMs < baseMs) throw backoff.bad("max_interval", "it is less than base_interval");
  backoff.done();
  return { baseMs, maxMs };
}

function readRateLimited(reader: Reader): RateLimitedBackoff | undefined {
  const backoff = reader.object("rate_limited_retry_back_off");
  if (backoff === undefined) return undefined;
  const headers = backoff.list("reset_headers").map((header) => {
    const key = header.wantText("name").toLowerCase();
    const format = header.oneOf("format", ["SECONDS", "UNIX_TIMESTAMP"]) ?? "SECONDS";
    header.done();
    return { key, format: format === "SECONDS" ? "seconds" : "unixTimestamp" } as const;
  });
  if (headers.length === 0) throw backoff.bad("reset_headers", "it is empty, wanted at least one");
  const maxMs = backoff.durationMs("max_interval") ?? rateLimitedMsMaxDefault;
  backoff.done();
  return { headers, maxMs };
}

/** HedgePolicy: whether a try whose time passed goes on beside the next one. */
export function readHedge(reader: Reader): boolean {
  const hedges = reader.flag("hedge_on_per_try_timeout") ?? false;
  const initial = reader.integer("initial_requests", 1) ?? 1;
  if (initial > 1) throw reader.unsupported("initial_requests", "more than one is not supported, in Envoy neither");
  reader.done();
  return hedges;
}
