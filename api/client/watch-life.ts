/**
 * How long one watch lives, so that one whose server is gone without a word does not live forever.
 *
 *   beginWatch ─▶ timeoutSeconds ─▶ the query; signal ─▶ the request; the server ends it, or silence does
 *
 * Two bounds. A peer that no longer answers ends its connection in about 40 s (`probed`). A peer that answers for
 * somebody who is gone (a proxy, a load balancer) does not: so the server is told to end each watch after 5 to 10
 * minutes, by chance, lest all watches end together; when it has not half a minute later, the connection is given up.
 * Follows: client-go tools/cache/reflector.go (minWatchTimeout, 5 to 10 minutes); its HTTP/2 connections are probed
 * after 30 s and closed after 15 s more, as by TCP here.
 */
import type { Clock } from "#lib/clock.ts";
import type { Random } from "#lib/random.ts";

const secondsMin = 300;
/** For a server that is slow to end it, in ms. */
const graceMs = 30_000;

/**
 * Of undici's connections: TCP probes after so many ms without a byte. Node.js has nine more follow, one a second, and
 * then ends the connection (ETIMEDOUT).
 */
export const probed = { keepAlive: true, keepAliveInitialDelay: 30_000 } as const;

export interface WatchLife {
  /** For the query. 300 to 599. */
  readonly timeoutSeconds: number;
  /** For the request: aborted with the signal that was given, or by silence. */
  readonly signal: AbortSignal;
  /** Whether the server was to end the watch, and did not. Another watch may go on from where this one was. */
  isSilent(): boolean;
  /** To be called when the watch is over, however it ended. */
  end(): void;
}

/** Begins the life of a watch, which `signal` ends sooner. */
export function beginWatch(clock: Clock, random: Random, signal: AbortSignal): WatchLife {
  const timeoutSeconds = secondsMin + Math.floor(random.next() * secondsMin);
  const silence = new AbortController();
  const timer = clock.after(timeoutSeconds * 1000 + graceMs, () => silence.abort());
  return {
    timeoutSeconds,
    signal: AbortSignal.any([signal, silence.signal]),
    isSilent: () => silence.signal.aborted && !signal.aborted,
    end: () => timer.cancel(),
  };
}
