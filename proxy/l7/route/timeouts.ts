/**
 * How long a request may take: what its route says, and what its own headers may say instead. Pure.
 *
 * Source: Envoy's router: x-envoy-upstream-rq-timeout-ms, x-envoy-upstream-rq-per-try-timeout-ms, x-envoy-max-retries,
 * and grpc-timeout where the route takes it. These headers get here only from internal clients (policy.ts).
 */
import { headerValue } from "../http1/headers.ts";
import type { RequestHead } from "../http1/request.ts";
import { HeadEditor } from "./head-editor.ts";
import { isGRPC } from "./match.ts";
import type { CompiledRoute } from "./types.ts";

export interface RequestTimeouts {
  /** Whole request, in ms; 0 is none. */
  readonly timeoutMs: number;
  /** One try, in ms; 0 is none. */
  readonly perTryTimeoutMs: number;
  readonly retriesMax: number;
}

/** `isSteered`: the request's own x-envoy-… headers may be there. */
export function requestTimeouts(head: RequestHead, route: CompiledRoute, isSteered: boolean): RequestTimeouts {
  let timeoutMs = route.timeoutMs;
  if (route.grpcTimeout !== undefined && isGRPC(head)) timeoutMs = grpcTimeoutMs(head, route.grpcTimeout);
  const perTryTimeoutMs = route.retry?.perTryTimeoutMs ?? 0;
  const retriesMax = route.retry?.retriesMax ?? 0;
  if (!isSteered) return { timeoutMs, perTryTimeoutMs: bounded(perTryTimeoutMs, timeoutMs), retriesMax };
  timeoutMs = numberIn(head, "x-envoy-upstream-rq-timeout-ms") ?? timeoutMs;
  const perTryMs = numberIn(head, "x-envoy-upstream-rq-per-try-timeout-ms") ?? perTryTimeoutMs;
  return {
    timeoutMs,
    perTryTimeoutMs: bounded(perTryMs, timeoutMs),
    retriesMax: numberIn(head, "x-envoy-max-retries") ?? retriesMax,
  };
}

/** What an internal client says to the router and to nobody behind it; from the fourth on it is not read here. */
const consumed = [
  "x-envoy-upstream-rq-timeout-ms",
  "x-envoy-upstream-rq-per-try-timeout-ms",
  "x-envoy-max-retries",
  "x-envoy-retry-on",
  "x-envoy-retry-grpc-on",
  "x-envoy-retriable-status-codes",
  "x-envoy-retriable-header-names",
  "x-envoy-hedge-on-per-try-timeout",
  "x-envoy-expected-rq-timeout-ms",
  "x-envoy-upstream-rq-timeout-alt-response",
  "x-envoy-upstream-stream-duration-ms",
  "x-envoy-upstream-alt-stat-name",
] as const;

/** The head as it goes on, once `requestTimeouts` has read it. */
export function withoutSteering(head: RequestHead): RequestHead {
  if (!head.headers.keys.some((key) => key.startsWith("x-envoy-"))) return head;
  const editor = new HeadEditor(head);
  for (const key of consumed) editor.remove(key);
  return editor.finish();
}

/** A try that may take as long as the whole is not bounded by itself. */
function bounded(perTryMs: number, timeoutMs: number): number {
  return timeoutMs > 0 && perTryMs >= timeoutMs ? 0 : perTryMs;
}

function numberIn(head: RequestHead, key: string): number | undefined {
  const text = headerValue(head.headers, key);
  return text !== undefined && /^[0-9]{1,9}$/.test(text) ? Number(text) : undefined;
}

/** ms in one unit of grpc-timeout. */
const unitMs: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 0.001, n: 0.000_001 };

function grpcTimeoutMs(head: RequestHead, { maxMs, offsetMs }: { maxMs: number; offsetMs: number }): number {
  const found = /^([0-9]{1,8})([HMSmun])$/.exec(headerValue(head.headers, "grpc-timeout") ?? "");
  // Without the header the time is not bounded, unless the route bounds it.
  if (found === null) return maxMs;
  const wantedMs = Math.ceil(Number(found[1]) * unitMs[found[2]!]!);
  const boundedMs = maxMs > 0 && (wantedMs === 0 || wantedMs > maxMs) ? maxMs : wantedMs;
  return offsetMs > 0 && boundedMs > offsetMs ? boundedMs - offsetMs : boundedMs;
}
