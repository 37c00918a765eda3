/**
 * When an HTTP/1 downstream has to be looked at: the one deadline of its connection, and what it stands for.
 *
 *   downstream.ts ─▶ touch(), arm(), armStream() ─▶ timer-wheel.ts ─▶ onDeadline() ─▶ streamVerdict()
 *
 * All times in ms of the monotonic clock. Invariant: one deadline a connection, whatever it waits for.
 */
import { Deadline } from "./timer-wheel.ts";
import type { EngineDeps } from "./types.ts";

/** Time for one more request on a connection that has grown old, in ms: Envoy's drain_timeout. */
export const drainMs = 5000;

export class DownstreamTimer {
  /** When something moved last. */
  lastMs = 0;
  /** When the request must be done. */
  requestDueMs: number = Infinity;
  /** When the request must have come. */
  wholeDueMs: number = Infinity;
  /** Of the request in hand; 0 is none. */
  streamIdleMs = 0;
  readonly #deps: EngineDeps;
  readonly #deadline: Deadline;
  readonly #startMs: number;

  constructor(deps: EngineDeps, onDeadline: (nowMs: number) => void) {
    this.#deps = deps;
    this.#deadline = new Deadline(onDeadline);
    this.#startMs = deps.nowMs();
  }

  /** Of the connection. */
  get ageMs(): number {
    return this.lastMs - this.#startMs;
  }

  touch(): void {
    this.lastMs = this.#deps.nowMs();
  }

  /** A request begins: whole within `requestMs` of now, 0 is none. */
  beginStream(streamIdleMs: number, requestMs: number): void {
    this.requestDueMs = Infinity;
    this.streamIdleMs = streamIdleMs;
    this.wholeDueMs = requestMs > 0 ? this.lastMs + requestMs : Infinity;
  }

  /** Infinity is never. */
  arm(dueMs: number): void {
    if (dueMs === Infinity) this.#deps.wheel.cancel(this.#deadline);
    else this.#deps.wheel.arm(this.#deadline, dueMs);
  }

  /** Between requests: for the end of the idle time, or of the connection's age and the drain behind it; 0 is none. */
  armIdle(idleMs: number, ageMsMax: number): void {
    const idleDueMs = idleMs === 0 ? Infinity : this.lastMs + idleMs;
    const oldDueMs = ageMsMax === 0 ? Infinity : this.#startMs + ageMsMax + drainMs;
    this.arm(Math.min(idleDueMs, oldDueMs));
  }

  /** For what comes first in an exchange or a tunnel. */
  armStream(): void {
    const idleMs = this.streamIdleMs;
    const idleDueMs = idleMs === 0 ? Infinity : this.lastMs + idleMs;
    this.arm(Math.min(idleDueMs, this.requestDueMs, this.wholeDueMs));
  }

  /** What has passed at `nowMs`: the time to send the request, to have it answered, or without a byte. */
  streamVerdict(nowMs: number): "whole" | "route" | "idle" | "nothing" {
    const idleMs = this.streamIdleMs;
    if (nowMs >= this.wholeDueMs) return "whole";
    if (nowMs >= this.requestDueMs) return "route";
    return idleMs > 0 && nowMs >= this.lastMs + idleMs ? "idle" : "nothing";
  }

  cancel(): void {
    this.#deps.wheel.cancel(this.#deadline);
  }
}
