/**
 * One HTTP request on its way through the chain, and what it is answered with: plain values, free of sockets.
 *
 *   server.ts (reads) ─▶ Exchange ─▶ chain.ts ─▶ Answer ─▶ respond.ts (writes)
 */
import type { WatchEvent } from "#api/client/client.ts";
import type { KindRef } from "#api/kind.ts";
import type { Status } from "#api/status.ts";
import type { Watcher } from "../watch/watcher.ts";
import type { Impersonation } from "./authn.ts";
import type { User } from "./registry.ts";

/** What a client shows to be someone. */
export interface Credentials {
  /** Subject of a client certificate that the configured authority signed. */
  readonly certificate: { readonly commonName: string; readonly organizations: readonly string[] } | undefined;
  /** The Authorization header. */
  readonly authorization: string | undefined;
  /** Whom it wants to be taken for. */
  readonly impersonation?: Impersonation | undefined;
}

export interface Exchange {
  readonly method: string;
  /** The path's segments, decoded: ["api", "v1", "pods"]. */
  readonly segments: readonly string[];
  readonly query: URLSearchParams;
  readonly accept: string;
  readonly contentType: string;
  readonly credentials: Credentials;
  /** Undefined until authenticated. */
  readonly user: User | undefined;
  /** Reads the body as JSON; undefined when there is none. Throws StatusError. */
  readonly readBody: () => Promise<unknown>;
  /** Sentences for Warning headers. */
  readonly warnings: string[];
  /** Aborts when the client has gone. */
  readonly signal: AbortSignal;
}

export type Answer =
  | {
      readonly type: "object";
      readonly code: number;
      readonly body: unknown;
      /** Default: application/json. */
      readonly contentType?: string;
    }
  | { readonly type: "binary"; readonly body: Buffer; readonly contentType: string }
  | { readonly type: "text"; readonly code: number; readonly text: string; readonly contentType: string }
  | { readonly type: "bytes"; readonly bytes: AsyncIterable<Uint8Array> }
  | {
      readonly type: "watch";
      readonly watcher: Watcher;
      readonly kind: KindRef;
      readonly timeoutMs: number;
      /** What is sent of an event's object. Default: the object itself. */
      readonly present?: (event: WatchEvent) => unknown;
    };

/** An answer of plain text. */
export function text(code: number, body: string, contentType = "text/plain; charset=utf-8"): Answer {
  return { type: "text", code, text: body, contentType };
}

/** An answer with an API object. */
export function json(body: unknown, code = 200): Answer {
  return { type: "object", code, body };
}

/** An answer that says what failed. */
export function failure(status: Status): Answer {
  return { type: "object", code: status.code, body: status };
}
