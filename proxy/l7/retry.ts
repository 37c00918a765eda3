/**
 * May a failed try be made again? Pure, and on the safe side: never what the upstream may have acted on.
 *
 *   UpstreamFailure + RetryRule + what was sent ─▶ shouldRetry() ─▶ exchange.ts
 *
 * Source: Envoy's retry_on connect-failure and reset; reset is narrowed to safe methods (RFC 9110 §9.2.1), because a
 * retried POST can be a double payment.
 */
import type { RetryRule } from "./route/table.ts";
import type { UpstreamFailure } from "./upstream.ts";

/** Largest request body kept for another try, in bytes (linkerd2-proxy's). */
export const replayBytesMax: number = 64 * 1024;

export interface TriedRequest {
  readonly method: string;
  /** Retries made so far. */
  readonly retries: number;
  /** The whole body so far is still held, so that it can be sent again. */
  readonly isReplayable: boolean;
}

export function shouldRetry(
  rule: RetryRule | undefined,
  failure: UpstreamFailure,
  request: TriedRequest,
): rule is RetryRule {
  if (rule === undefined || request.retries >= rule.retriesMax || !request.isReplayable) return false;
  switch (failure.kind) {
    case "connect":
      return rule.onConnectFailure;
    case "reset":
      return rule.onReset && !failure.sawBytes && isSafe(request.method);
    case "malformed":
      return false;
  }
}

function isSafe(method: string): boolean {
  return method === "GET" || method === "HEAD" || method === "OPTIONS";
}
