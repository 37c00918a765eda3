/**
 * Coarse timers for a whole process: thousands of deadlines behind one system timer, armed and moved in O(1).
 *
 *   connections (arm) ─▶ slots of 100 ms ─▶ one Clock timer, for the next slot that holds any ─▶ onDeadline()
 *
 * Invariants: a deadline never fires early, and fires at most two ticks late; an idle wheel holds no timer, and one
 * whose deadlines are far wakes nobody before.
 * A hashed wheel: deadlines beyond one turn stay in their slot and are looked at once a turn.
 * Source: Varghese & Lauck, "Hashed and hierarchical timing wheels" (1987), scheme 6.
 */
import type { Clock, Timer } from "#lib/clock.ts";

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
  /** The last tick whose slot was looked at. */
  #tick = 0;
  #timer: Timer | undefined;
  /** The tick that the timer is for; Infinity without one. */
  #wakeTick = Infinity;

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
  }

  cancel(deadline: Deadline): void {
    if (deadline.slot < 0) return;
    this.#slots[deadline.slot]!.delete(deadline);
    deadline.slot = -1;
    deadline.dueMs = Infinity;
    this.#armed--;
  }

  #place(deadline: Deadline): void {
    const next = this.#tickNow() + 1;
    const tick = Math.max(Math.ceil(deadline.dueMs / tickMs), next);
    deadline.slot = tick % slotCount;
    this.#slots[deadline.slot]!.add(deadline);
    // Beyond one turn its slot comes up sooner.
    this.#wakeAt(next + ((tick - next) % slotCount));
  }

  #tickNow(): number {
    const tick = Math.floor(this.#clock.monotonicMs() / tickMs);
    if (this.#timer === undefined) this.#tick = tick;
    return Math.max(tick, this.#tick);
  }

  #wakeAt(tick: number): void {
    if (tick >= this.#wakeTick) return;
    this.#timer?.cancel();
    this.#wakeTick = tick;
    this.#timer = this.#clock.after(Math.max(0, tick * tickMs - this.#clock.monotonicMs()), () => this.#advance());
  }

  #advance(): void {
    this.#wakeTick = Infinity;
    const nowMs = this.#clock.monotonicMs();
    const nowTick = Math.floor(nowMs / tickMs);
    // After a long sleep one turn visits every slot; more would visit them again for nothing.
    const from = Math.max(this.#tick + 1, nowTick - slotCount + 1);
    for (let tick = from; tick <= nowTick; tick++) {
      this.#tick = tick;
      this.#visit(this.#slots[tick % slotCount]!, nowMs);
    }
    this.#scheduleNext(nowTick);
  }

  /** For the next slot that holds any. */
  #scheduleNext(nowTick: number): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#wakeTick = Infinity;
    if (this.#armed === 0) return;
    for (let tick = nowTick + 1; tick <= nowTick + slotCount; tick++)
      if (this.#slots[tick % slotCount]!.size > 0) return this.#wakeAt(tick);
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
