/**
 * Continue tokens: where a list that was cut goes on, and at which revision. Opaque to clients.
 *
 *   verbs/list.ts ─▶ formatToken() ─▶ client ─▶ parseToken() ─▶ verbs/list.ts
 *
 * Invariant: all pages of a list show the state at one revision.
 */
import { StatusError } from "#api/status.ts";

export interface ContinueToken {
  readonly revision: number;
  /** The last object that was sent, as namespace and name. */
  readonly after: readonly [namespace: string, name: string];
}

const tokenLengthMax = 2048;

export function formatToken(token: ContinueToken): string {
  return Buffer.from(JSON.stringify({ v: "wherry/v1", rv: token.revision, after: token.after })).toString("base64url");
}

/** The inverse. Throws BadRequest for anything that this server did not give out. */
export function parseToken(text: string): ContinueToken {
  const refused = new StatusError("BadRequest", "continue key is not valid: it is none that this server gave");
  if (text.length > tokenLengthMax) throw refused;
  let sent: unknown;
  try {
    sent = JSON.parse(Buffer.from(text, "base64url").toString("utf8"));
  } catch {
    throw refused;
  }
  const { v, rv, after } = (sent ?? {}) as { readonly v?: unknown; readonly rv?: unknown; readonly after?: unknown };
  if (v !== "wherry/v1" || typeof rv !== "number" || !Number.isSafeInteger(rv) || rv < 0 || !Array.isArray(after))
    throw refused;
  const [namespace, name] = after as readonly unknown[];
  if (typeof namespace !== "string" || typeof name !== "string") throw refused;
  return { revision: rv, after: [namespace, name] };
}
