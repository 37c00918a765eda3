/**
 * The end of one run of a container: its pre-stop hook, TERM, then KILL when its time is up.
 *
 *   begin() ─▶ hook (at most all of the time) ─▶ TERM ─▶ KILL at the deadline; cancel() when it has ended
 *
 * Invariant: TERM is sent once and nothing is sent after cancel(). A hook that uses up all of the time leaves two
 * seconds to the program, as with the reference kubelet; a deadline that is brought forward is awaited by nothing.
 */
import type { Timer } from "#lib/clock.ts";
import type { RunningContainer } from "./runtime.ts";
import type { WorkerDependencies } from "./worker-dependencies.ts";

/** Time that is left to a program whose pre-stop hook used all of it, in ms. */
const graceAfterHookMs = 2000;

export class ContainerEnding {
  readonly #deps: Pick<WorkerDependencies, "clock" | "runtime">;
  readonly #running: RunningContainer;
  /** By the monotonic clock. */
  #deadlineMs: number;
  #timer: Timer | undefined;
  #isTermSent = false;
  #isOver = false;

  constructor(
    deps: Pick<WorkerDependencies, "clock" | "runtime">,
    { running, deadlineMs }: { running: RunningContainer; deadlineMs: number },
  ) {
    this.#deps = deps;
    this.#running = running;
    this.#deadlineMs = deadlineMs;
  }

  /** `hook` is given its time and never rejects. Without any time it is passed over. */
  begin(hook: ((timeoutMs: number) => Promise<void>) | undefined): void {
    if (hook === undefined || this.#leftMs() <= 0) this.#terminate();
    else void this.#runHook(hook);
  }

  /** Brings the deadline forward. */
  hasten(deadlineMs: number): void {
    if (deadlineMs >= this.#deadlineMs) return;
    this.#deadlineMs = deadlineMs;
    this.#killAtDeadline();
  }

  /** The run has ended. */
  cancel(): void {
    this.#isOver = true;
    this.#timer?.cancel();
  }

  async #runHook(hook: (timeoutMs: number) => Promise<void>): Promise<void> {
    const { clock } = this.#deps;
    const leftMs = this.#leftMs();
    await Promise.race([hook(leftMs), new Promise<void>((resolve) => (this.#timer = clock.after(leftMs, resolve)))]);
    this.#timer?.cancel();
    this.#deadlineMs = Math.max(this.#deadlineMs, clock.monotonicMs() + graceAfterHookMs);
    this.#terminate();
  }

  #terminate(): void {
    if (this.#isOver || this.#isTermSent) return;
    this.#isTermSent = true;
    this.#deps.runtime.signal(this.#running, "SIGTERM");
    this.#killAtDeadline();
  }

  #killAtDeadline(): void {
    const kill = (): void => {
      if (!this.#isOver) this.#deps.runtime.signal(this.#running, "SIGKILL");
    };
    this.#timer?.cancel();
    if (this.#leftMs() <= 0) kill();
    else this.#timer = this.#deps.clock.after(this.#leftMs(), kill);
  }

  #leftMs(): number {
    return this.#deadlineMs - this.#deps.clock.monotonicMs();
  }
}
