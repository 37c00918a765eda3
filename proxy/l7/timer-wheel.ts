/**
 * Coarse timers for a whole process: thousands of deadlines behind one system timer, armed and moved in O(1).
 *
 *   connections (arm) ─▶ slots of 100 ms ─▶ one Clock timer, for the next slot that holds any ─▶ onDeadline()
 *
 * Invariants: a deadline never fires early, and fires at most two ticks late; an idle wheel holds no timer, and one
 * whose deadlines are far wakes nobody before.
 * A hashed wheel: deadlines beyond one turn stay in their slot and are looked at once a turn. A slot is a ring through
 * its deadlines, not a Set: the tables that a Set has outgrown name those that it had until an old generation is
 * collected, and with them whole requests.
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
  /** When its slot comes up, in ms; Infinity while not armed. Later than that it may be due without being moved. */
  visitMs: number = Infinity;
  /** Neighbours in the ring of its slot; itself while not armed. */
  next: Deadline = this;
  previous: Deadline = this;
  readonly onDeadline: (nowMs: number) => void;

  constructor(onDeadline: (nowMs: number) => void) {
    this.onDeadline = onDeadline;
  }
}

export class TimerWheel {
  readonly #clock: Clock;
  /** One that never fires for each slot: its ring begins and ends there. */
  readonly #slots: Deadline[] = Array.from({ length: slotCount }, () => new Deadline(() => undefined));
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
    // Not before its slot comes up: left where it is, and moved then. This makes "push the deadline out" free, and
    // "back again", too.
    if (dueMs >= deadline.visitMs) {
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
    unlink(deadline);
    deadline.slot = -1;
    deadline.dueMs = Infinity;
    deadline.visitMs = Infinity;
    this.#armed--;
  }

  #place(deadline: Deadline): void {
    const next = this.#tickNow() + 1;
    const tick = Math.max(Math.ceil(deadline.dueMs / tickMs), next);
    deadline.slot = tick % slotCount;
    linkBefore(this.#slots[deadline.slot]!, deadline);
    // Beyond one turn its slot comes up sooner.
    const visitTick = next + ((tick - next) % slotCount);
    deadline.visitMs = visitTick * tickMs;
    this.#wakeAt(visitTick);
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
      this.#visit(tick % slotCount, nowMs);
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
      if (!isAlone(this.#slots[tick % slotCount]!)) return this.#wakeAt(tick);
  }

  #visit(slot: number, nowMs: number): void {
    const ring = this.#slots[slot]!;
    if (isAlone(ring)) return;
    // A copy: what is placed into the same slot again is for the next turn.
    const members: Deadline[] = [];
    for (let deadline = ring.next; deadline !== ring; deadline = deadline.next) members.push(deadline);
    for (const deadline of members) {
      if (deadline.slot !== slot) continue;
      if (deadline.dueMs <= nowMs) {
        this.cancel(deadline);
        deadline.onDeadline(nowMs);
      } else {
        unlink(deadline);
        this.#place(deadline);
      }
    }
  }
}

function isAlone(deadline: Deadline): boolean {
  return deadline.next === deadline;
}

function linkBefore(next: Deadline, deadline: Deadline): void {
  const { previous } = next;
  deadline.previous = previous;
  deadline.next = next;
  previous.next = deadline;
  next.previous = deadline;
}

function unlink(deadline: Deadline): void {
  const { previous, next } = deadline;
  previous.next = next;
  next.previous = previous;
  deadline.next = deadline;
  deadline.previous = deadline;
}
