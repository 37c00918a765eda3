/**
 * Coarse timers for a whole process: thousands of deadlines behind one system timer, armed and moved in O(1).
 *
 *   connections (arm) ─▶ slots of 100 ms ─▶ one Clock timer while anything is armed ─▶ onDeadline()
 *
 * Invariants: a deadline never fires early, and fires at most two ticks late; an idle wheel holds no timer.
 * A hashed wheel: deadlines beyond one turn stay in their slot and are looked at once a turn.
 * Source: Varghese & Lauck, "Hashed and hierarchical timing wheels" (1987), scheme 6.
 */
import type { Clock } from "#lib/clock.ts";

/** Length of a tick, in ms. */
export const tickMs = 100;
const slotCount = 512;

/** One deadline at a time; the owner embeds it, so arming allocates nothing. */
export class Deadline {
  /** When it fires, in ms of the clock's monotonic time; Infinity while not armed. */
  dueMs: number = Infinity;
  slot = -1;
  readonly onDeadline: (nowMs: number) => void;

  constructor(onDeadline: (nowMs: number) => void) {
    this.onDeadline = onDeadline;
  }
}

export class TimerWheel {
  readonly #clock: Clock;
  readonly #slots: Set<Deadline>[] = Array.from({ length: slotCount }, () => new Set<Deadline>());
  #armed = 0;
  #tick = 0;
  #ticking = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Deadlines that are armed. */
  get size(): number {
    return this.#armed;
  }

  /** Fires `deadline` at `dueMs` (monotonic); replaces what was armed before. */
  arm(deadline: Deadline, dueMs: number): void {
    // Later than before: left where it is, and moved when its slot comes up. This makes "push the idle deadline out"
    // free.
    if (deadline.slot >= 0 && dueMs >= deadline.dueMs) {
      deadline.dueMs = dueMs;
      return;
    }
    this.cancel(deadline);
    deadline.dueMs = dueMs;
    this.#place(deadline);
    this.#armed++;
    this.#ensureTicking();
  }

  cancel(deadline: Deadline): void {
    if (deadline.slot < 0) return;
    this.#slots[deadline.slot]!.delete(deadline);
    deadline.slot = -1;
    deadline.dueMs = Infinity;
    this.#armed--;
  }

  #place(deadline: Deadline): void {
    const tick = Math.max(Math.ceil(deadline.dueMs / tickMs), this.#tickNow() + 1);
    deadline.slot = tick % slotCount;
    this.#slots[deadline.slot]!.add(deadline);
  }

  #tickNow(): number {
    return this.#ticking ? this.#tick : Math.floor(this.#clock.monotonicMs() / tickMs);
  }

  #ensureTicking(): void {
    if (this.#ticking) return;
    this.#tick = Math.floor(this.#clock.monotonicMs() / tickMs);
    this.#ticking = true;
    this.#schedule();
  }

  #schedule(): void {
    this.#clock.after(tickMs, () => this.#advance());
  }

  #advance(): void {
    const nowMs = this.#clock.monotonicMs();
    const nowTick = Math.floor(nowMs / tickMs);
    // After a long stall one turn visits every slot; more would visit them again for nothing.
    const from = Math.max(this.#tick + 1, nowTick - slotCount + 1);
    for (let tick = from; tick <= nowTick; tick++) {
      this.#tick = tick;
      this.#visit(this.#slots[tick % slotCount]!, nowMs);
    }
    this.#ticking = this.#armed > 0;
    if (this.#ticking) this.#schedule();
  }

  #visit(slot: Set<Deadline>, nowMs: number): void {
    if (slot.size === 0) return;
    // A copy: what is placed into the same slot again is for the next turn.
    const members = Array.from(slot);
    for (const deadline of members) {
      if (deadline.slot < 0 || !slot.has(deadline)) continue;
      if (deadline.dueMs <= nowMs) {
        this.cancel(deadline);
        deadline.onDeadline(nowMs);
      } else {
        slot.delete(deadline);
        this.#place(deadline);
      }
    }
  }
}
