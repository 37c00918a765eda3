/**
 * Splices two sockets: bytes both ways, with half-close and back-pressure, until both directions have ended.
 *
 *   downstream ⇄ splice ⇄ upstream        used for TCP chains and behind a 101
 *
 * Invariants: at most one read (64 KiB) and the socket's own write buffer are held for each direction; an end on one
 * side is passed on as an end (half-close), an error as a reset, so that a cut transfer never looks complete. Both
 * sockets must allow half-open: `prepareSocket` sees to that.
 */
import type { Socket } from "node:net";
import { Deadline, type TimerWheel } from "./timer-wheel.ts";

export interface SpliceOptions {
  readonly wheel: TimerWheel;
  /** Monotonic time, in ms. */
  readonly nowMs: () => number;
  /** Time without bytes in either direction before both are closed, in ms; 0 is none. */
  readonly idleMs: number;
  /** Bytes that were read from the downstream before the splice. */
  readonly downstreamBytes?: Buffer | undefined;
  /** Bytes that were read from the upstream before the splice. */
  readonly upstreamBytes?: Buffer | undefined;
  /** Added to as bytes pass, the bytes read before included. */
  readonly counts: SpliceCounts;
  /** Called once, when both sockets are done. */
  readonly onEnd: () => void;
}

export interface SpliceCounts {
  /** Bytes from the downstream to the upstream. */
  receivedBytes: number;
  /** Bytes from the upstream to the downstream. */
  sentBytes: number;
}

/** What each socket of the engine needs: half-open, and no delay for small writes. */
export function prepareSocket(socket: Socket): void {
  socket.allowHalfOpen = true;
  socket.setNoDelay(true);
}

/** Closes a socket so that its peer sees a reset: what was sent so far is not complete. */
export function resetSocket(socket: Socket, isWriting = false): void {
  // The system refuses a reset while the socket's end is on its way, and Node.js then never closes it (26.10).
  if (socket.writableEnded && !socket.writableFinished && !socket.destroyed) {
    if (isWriting || socket.writableLength > 0) socket.destroy();
    else socket.once("finish", () => resetSocket(socket));
    return;
  }
  try {
    socket.resetAndDestroy();
  } catch {
    // Not a TCP socket (a published connection may come over a Unix one): it has no reset.
    socket.destroy();
  }
}

/** Starts the splice; both sockets must have no other listeners. */
export function splice(downstream: Socket, upstream: Socket, options: SpliceOptions): void {
  let lastMs = options.nowMs();
  let open = 2;
  const { counts } = options;
  const idle = new Deadline((nowMs) => {
    const dueMs = lastMs + options.idleMs;
    if (nowMs < dueMs) return options.wheel.arm(idle, dueMs);
    downstream.destroy();
    upstream.destroy();
  });
  if (options.idleMs > 0) options.wheel.arm(idle, lastMs + options.idleMs);
  const pass = (chunk: Buffer, from: Socket, to: Socket): void => {
    lastMs = options.nowMs();
    if (from === downstream) counts.receivedBytes += chunk.length;
    else counts.sentBytes += chunk.length;
    if (!to.destroyed && !to.write(chunk)) from.pause();
  };
  const onClose = (hadError: boolean, other: Socket): void => {
    if (hadError) resetSocket(other);
    // Destroyed without both ends seen: no more bytes come, but those written before must still go out.
    else if (!other.destroyed) other.destroySoon();
    if (--open > 0) return;
    options.wheel.cancel(idle);
    options.onEnd();
  };
  for (const [from, to] of [
    [downstream, upstream],
    [upstream, downstream],
  ] as const) {
    from.on("data", (chunk: Buffer) => pass(chunk, from, to));
    from.on("drain", () => to.resume());
    from.on("end", () => void to.end());
    // "close" follows with hadError set, and acts on it.
    from.on("error", () => from.destroy());
    from.on("close", (hadError) => onClose(hadError, to));
  }
  if (options.downstreamBytes !== undefined && options.downstreamBytes.length > 0)
    pass(options.downstreamBytes, downstream, upstream);
  if (options.upstreamBytes !== undefined && options.upstreamBytes.length > 0)
    pass(options.upstreamBytes, upstream, downstream);
  downstream.resume();
  upstream.resume();
  // An end or a close that came before these listeners fires no more events.
  if (downstream.readableEnded) upstream.end();
  if (upstream.readableEnded) downstream.end();
  if (downstream.destroyed) upstream.destroy();
  if (upstream.destroyed) downstream.destroy();
}
