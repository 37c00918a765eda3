/**
 * How far one ADS client is, type by type: what was pushed last, what it acknowledged, what it rejected. For people.
 *
 *   server.ts ─ pushed(), answered() ─▶ Progress ─▶ status() ─▶ GET /debug/sync ─▶ wherry status, wherry check
 *
 * The session (session.ts) decides; this only remembers. One entry for each type that the client asked for.
 */
import type { RequestOutcome } from "./session.ts";

/** How far a client is with one type. Versions are revisions of the snapshot; times are ages in ms; absent: never. */
export interface TypeProgress {
  readonly pushedVersion?: number;
  readonly pushedAgoMs?: number;
  readonly ackedVersion?: number;
  readonly ackedAgoMs?: number;
  readonly nackedVersion?: number;
  readonly nackedAgoMs?: number;
}

interface Mark {
  readonly version: number;
  readonly atMs: number;
}

interface Marks {
  pushed: Mark | undefined;
  acked: Mark | undefined;
  nacked: Mark | undefined;
}

export class Progress {
  readonly #types = new Map<string, Marks>();

  /** A response of `version` was written. At most one of a type is outstanding, so the answer is to the last one. */
  pushed(typeUrl: string, version: number, nowMs: number): void {
    this.#of(typeUrl).pushed = { version, atMs: nowMs };
  }

  /** What the client said. An acknowledgement ends a rejection. */
  answered({ kind, typeUrl }: RequestOutcome, nowMs: number): void {
    const marks = this.#types.get(typeUrl);
    if (kind === "none" || marks?.pushed === undefined) return;
    const mark = { version: marks.pushed.version, atMs: nowMs };
    if (kind === "ack") marks.acked = mark;
    marks.nacked = kind === "nack" ? mark : undefined;
  }

  status(typeUrl: string, nowMs: number): TypeProgress {
    const { pushed, acked, nacked } = this.#types.get(typeUrl) ?? none;
    return {
      ...(pushed && { pushedVersion: pushed.version, pushedAgoMs: nowMs - pushed.atMs }),
      ...(acked && { ackedVersion: acked.version, ackedAgoMs: nowMs - acked.atMs }),
      ...(nacked && { nackedVersion: nacked.version, nackedAgoMs: nowMs - nacked.atMs }),
    };
  }

  #of(typeUrl: string): Marks {
    const known = this.#types.get(typeUrl);
    if (known !== undefined) return known;
    const marks: Marks = { pushed: undefined, acked: undefined, nacked: undefined };
    this.#types.set(typeUrl, marks);
    return marks;
  }
}

const none: Marks = { pushed: undefined, acked: undefined, nacked: undefined };
