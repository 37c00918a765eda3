/**
 * May a try be made again, and when? Pure.
 *
 *   how a try ended + RetryPolicy + what was sent ─▶ shouldRetry(), retryDelayMs() ─▶ exchange.ts
 *
 * On the safe side where Envoy is not: a reset behind bytes that were sent is retried for safe methods only (RFC 9110
 * §9.2.1), because a retried POST can be a double payment. What a user names by status is retried for every method.
 * Source: Envoy's router filter (x-envoy-retry-on, x-envoy-retry-grpc-on), its RetryStateImpl.
 */
import type { Random } from "#lib/random.ts";
import { headerValue } from "./http1/headers.ts";
import type { RequestHead } from "./http1/request.ts";
import type { ResponseHead } from "./http1/response.ts";
import { type RetryPolicy, type RouteInfo, retryOn } from "./route/types.ts";
import type { UpstreamFailure } from "./stream.ts";

/** How a try ended. */
export type TryEnd =
  | UpstreamFailure
  | { readonly kind: "head"; readonly head: ResponseHead }
  /** The time of one try passed. */
  | { readonly kind: "timeout" };

export interface TriedRequest {
  readonly head: RequestHead;
  /** The whole body so far is still held, so that it can be sent again. */
  readonly isReplayable: boolean;
  readonly info: RouteInfo;
}

/** What became of the tries of a cluster's requests, so far. Envoy's statistics of the same names. */
export interface TryCounts {
  /** Those whose time passed, but for hedged ones (`upstream_rq_per_try_timeout`). */
  timeouts: number;
  /** Retries whose answer the policy wants no other for (`upstream_rq_retry_success`). */
  retrySuccesses: number;
  /** Tries that there was no other for, because there had been as many as there may be. */
  retryLimitsExceeded: number;
}

/** The policy wants another try after `end`; how many there may be is the caller's to count. */
export function shouldRetry(policy: RetryPolicy | undefined, end: TryEnd, request: TriedRequest): boolean {
  if (policy === undefined || !request.isReplayable) return false;
  if (!isWanted(policy, end, request.head)) return false;
  const { requestHeaders } = policy;
  return requestHeaders.length === 0 || requestHeaders.some((matches) => matches(request.head, request.info));
}

function isWanted({ on, ...policy }: RetryPolicy, end: TryEnd, { method }: RequestHead): boolean {
  const asks = (bits: number): boolean => (on & bits) !== 0;
  const { reset, "5xx": any5xx, "gateway-error": gateway } = retryOn;
  switch (end.kind) {
    case "connect":
      return asks(retryOn["connect-failure"] | retryOn["reset-before-request"] | reset | any5xx | gateway);
    // The upstream says that it did not look at it: safe for any method.
    case "refused":
      return asks(retryOn["refused-stream"] | retryOn["reset-before-request"] | reset | any5xx | gateway);
    case "reset":
      return !end.sawBytes && isSafe(method) && asks(reset | any5xx | gateway);
    case "timeout":
      return isSafe(method) ? asks(reset | any5xx | gateway) : asks(any5xx | gateway);
    case "malformed":
      return false;
    case "head":
      return isRetriableHead({ on, ...policy }, end.head);
  }
}

/** grpc-status → condition (gRPC status codes). */
const grpcConditions: Readonly<Record<string, number>> = {
  "1": retryOn.cancelled,
  "4": retryOn["deadline-exceeded"],
  "8": retryOn["resource-exhausted"],
  "13": retryOn.internal,
  "14": retryOn.unavailable,
};

function isRetriableHead({ on, statuses, responseHeaders }: RetryPolicy, { status, headers }: ResponseHead): boolean {
  const asks = (bits: number): boolean => (on & bits) !== 0;
  // A proxy that is overloaded is not helped by more.
  if (headerValue(headers, "x-envoy-overloaded") !== undefined) return false;
  if (headerValue(headers, "x-envoy-ratelimited") !== undefined) return asks(retryOn["envoy-ratelimited"]);
  if (status >= 500 && asks(retryOn["5xx"])) return true;
  if (status >= 502 && status <= 504 && asks(retryOn["gateway-error"])) return true;
  if (status === 409 && asks(retryOn["retriable-4xx"])) return true;
  if (asks(retryOn["retriable-status-codes"]) && statuses.includes(status)) return true;
  if (asks(retryOn["retriable-headers"]) && responseHeaders.some((matches) => matches(headers))) return true;
  const grpc = headerValue(headers, "grpc-status");
  return grpc !== undefined && asks(grpcConditions[grpc] ?? 0);
}

/** Time before retry number `retry` (from 1), in ms: what the response asks for, else full jitter. */
export function retryDelayMs(
  policy: RetryPolicy,
  end: TryEnd,
  { retry, random, wallMs }: { readonly retry: number; readonly random: Pick<Random, "next">; readonly wallMs: number },
): number {
  const asked = end.kind === "head" ? askedDelayMs(policy, end.head, wallMs) : undefined;
  if (asked !== undefined) return asked;
  const { baseMs, maxMs } = policy.backoff;
  return Math.min(random.next() * (2 ** Math.min(retry, 30) - 1) * baseMs, maxMs);
}

/** What the response's own header asks for; undefined when it asks for nothing, or for too long. */
function askedDelayMs({ rateLimited }: RetryPolicy, { headers }: ResponseHead, wallMs: number): number | undefined {
  for (const { key, format } of rateLimited?.headers ?? []) {
    const text = headerValue(headers, key);
    if (text === undefined || !/^[0-9]{1,12}$/.test(text)) continue;
    const delayMs = format === "seconds" ? Number(text) * 1000 : Number(text) * 1000 - wallMs;
    if (delayMs >= 0 && delayMs <= (rateLimited?.maxMs ?? 0)) return delayMs;
  }
  return undefined;
}

function isSafe(method: string): boolean {
  return method === "GET" || method === "HEAD" || method === "OPTIONS";
}
