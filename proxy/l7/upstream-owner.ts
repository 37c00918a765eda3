/**
 * What a connection to an endpoint is told by its pool: where it belongs, and that it is a tunnel.
 *
 *   pool.ts ─▶ ConnectionOwner ─▶ upstream.ts
 */
import type { DialFailure } from "./dial-failure.ts";
import { plainHop } from "./http1/framing.ts";
import type { ResponseHead } from "./http1/response.ts";
import type { UpstreamOptions } from "./options.ts";
import type { EngineDeps } from "./types.ts";
import type { UpstreamConnection } from "./upstream.ts";

/** What a connection needs of its pool. */
export interface ConnectionOwner {
  readonly deps: EngineDeps;
  readonly upstream: UpstreamOptions;
  /** Time before an idle connection is closed, in ms; Infinity is never. */
  readonly idleMs: number;
  /** Takes back a connection whose response is complete. */
  give(connection: UpstreamConnection): void;
  /** The one taken back may serve who waits. */
  serveWaiting(): void;
  removeIdle(connection: UpstreamConnection): void;
  /** It did not come about, and `requests` waited for it. */
  countFailure(failure: DialFailure, requests: number): void;
  /** The connection's socket is closed. */
  forget(connection: UpstreamConnection): void;
}

/** Instead of a request's method: the connection is a tunnel as soon as it is open, and no head is sent. */
export const tunnelMethod = "tunnel";

/** What its opening is told as. */
export const opened: ResponseHead = {
  status: 200,
  reason: "OK",
  protocol: "HTTP/1.1",
  hop: plainHop,
  headers: { names: [], keys: [], values: [] },
};
