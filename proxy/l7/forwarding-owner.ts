/**
 * What the upstream side of a request tells its exchange: how it ended, once.
 *
 *   forwarding.ts ─▶ ForwardingOwner ─▶ exchange.ts
 */
import type { ExchangeFacts } from "./exchange-facts.ts";
import type { FailureAnswer } from "./failures.ts";
import type { ResponseFlag } from "./types.ts";

/** The exchange, as its upstream side needs it. */
export interface ForwardingOwner extends ExchangeFacts {
  /** Answers in the upstream's stead. */
  fail(answer: FailureAnswer): void;
  /** What was sent to the downstream is not whole. */
  abort(flag: ResponseFlag): void;
  /** The tunnel that the request asked for is open. */
  onTunnelOpen(): void;
  handBack(reason: "connect" | "reset"): void;
  /** The request is over. */
  end(): void;
  /** The response is whole. */
  endResponse(): void;
}
