/**
 * Time as an argument. Components take a Clock; RealClock is the system's, ManualClock is for tests and simulation.
 *
 * Invariant: ManualClock runs timers in order of due time, then in order of creation, and never on its own.
 */

export interface Timer {
  /** Stops the timer; without effect once it ran. */
  cancel(): void;
}

export interface Clock {
  /** Wall-clock time, in ms since 1970. */
  nowMs(): number;
  /** Time that never goes back, in ms from an arbitrary start. For durations. */
  monotonicMs(): number;
  /** Runs `callback` once after `delayMs`. The timer alone does not keep the process alive. */
  after(delayMs: number, callback: () => void): Timer;
  /** Resolves after `delayMs`; rejects with the signal's reason when aborted. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
}

export const realClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs, callback) {
    return startTimer(delayMs, callback, false);
  },
  sleep(delayMs, signal) {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason as Error);
      const onAbort = (): void => {
        timer.cancel();
        reject(signal?.reason as Error);
      };
      const wake = (): void => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      };
      const timer = startTimer(delayMs, wake, true);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  },
};

/** Longest delay of one timer of Node.js, in ms; a longer one would fire at once. */
const timerMsMax = 2 ** 31 - 1;

/** A timer of any length, out of as many of Node's as it takes. */
function startTimer(delayMs: number, callback: () => void, keepsAlive: boolean): Timer {
  const dueMs = performance.now() + delayMs;
  let handle: NodeJS.Timeout;
  const arm = (leftMs: number): void => {
    handle = setTimeout(
      leftMs > timerMsMax ? () => arm(dueMs - performance.now()) : callback,
      Math.min(leftMs, timerMsMax),
    );
    if (!keepsAlive) handle.unref();
  };
  arm(delayMs);
  return { cancel: () => clearTimeout(handle) };
}

interface Due {
  readonly atMs: number;
  readonly sequence: number;
  readonly callback: () => void;
}

/** A clock that moves only by `advance`. Starts at 2026-01-01T00:00:00Z unless told otherwise. */
export class ManualClock implements Clock {
  #nowMs: number;
  #sequence = 0;
  #due: Due[] = [];

  constructor(startMs: number = Date.UTC(2026, 0, 1)) {
    this.#nowMs = startMs;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, callback: () => void): Timer {
    const due = { atMs: this.#nowMs + Math.max(0, delayMs), sequence: this.#sequence++, callback };
    this.#due.push(due);
    return { cancel: () => (this.#due = this.#due.filter((other) => other !== due)) };
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason as Error);
      const timer = this.after(delayMs, resolve);
      signal?.addEventListener("abort", () => (timer.cancel(), reject(signal.reason as Error)), { once: true });
    });
  }

  /** Moves time by `ms`, running what falls due on the way; lets pending promises settle after each timer. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve));
      const next = this.#due
        .filter((due) => due.atMs <= untilMs)
        .sort((a, b) => a.atMs - b.atMs || a.sequence - b.sequence)[0];
      if (next === undefined) break;
      this.#due = this.#due.filter((due) => due !== next);
      this.#nowMs = next.atMs;
      next.callback();
    }
    this.#nowMs = untilMs;
    await new Promise((resolve) => setImmediate(resolve));
  }
}
