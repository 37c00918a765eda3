/**
 * What the admin pages of the first process want of those that serve beside it, over Node's channel between a process
 * and its child.
 *
 *   /stats of the first ─▶ SiblingChannel.stats()… ─▶ { ask: 7 } ─▶ heedFirst() in the child ─▶ { answer: 7, stats }
 *                                                  ─▶ merge-stats.ts
 *   POST /logging… ─▶ SiblingChannel.change()… ─▶ { change: url } ─▶ heedFirst() ─▶ the same page there
 *
 * Invariants:
 * - A child that does not answer in time is left out; the page does not wait for it any longer.
 * - An answer that comes late is dropped: questions bear numbers, since Node keeps what nobody listened for and hands
 *   it to the next who does, so that every answer behind a late one would be the one before.
 */
import type { Clock } from "#lib/clock.ts";
import { type PlainStats, fromPlain, toPlain } from "../sidecar/admin/merge-stats.ts";
import type { AllStats } from "../sidecar/admin/stats-page.ts";

/** Time for one process to answer, in ms. */
const answerMs = 5000;

type FromFirst =
  | { readonly ask: number }
  | { readonly change: string }
  /** Once, before it starts: what was changed so far. */
  | { readonly standing: readonly string[] };
interface ToFirst {
  readonly answer: number;
  /** Undefined while it does not serve. */
  readonly stats?: PlainStats;
}

/** As much of a ChildProcess as is used. */
export interface Child {
  readonly connected: boolean;
  send(message: FromFirst, done: (error: Error | null) => void): unknown;
  on(event: "message", listener: (message: unknown) => void): unknown;
}

/** The first process's end of the channel to one child. */
export class SiblingChannel {
  readonly #child: Child;
  readonly #clock: Clock;
  readonly #waiting = new Map<number, (stats: AllStats | undefined) => void>();
  #asked = 0;

  constructor(child: Child, clock: Clock) {
    this.#child = child;
    this.#clock = clock;
    child.on("message", (message) => {
      const { answer, stats } = message as ToFirst;
      this.#waiting.get(answer)?.(stats === undefined ? undefined : fromPlain(stats));
    });
  }

  /** The child may start: `standing` is what POSTs have changed so far. */
  begin(standing: readonly string[]): void {
    // One that could not be started has no channel.
    if (this.#child.connected) this.#child.send({ standing }, () => undefined);
  }

  /** The child is gone: nobody waits for it any longer. */
  close(): void {
    for (const resolve of this.#waiting.values()) resolve(undefined);
  }

  /** What the child has counted; undefined when it does not say. */
  async stats(): Promise<AllStats | undefined> {
    if (!this.#child.connected) return undefined;
    const ask = ++this.#asked;
    const { promise, resolve } = Promise.withResolvers<AllStats | undefined>();
    this.#waiting.set(ask, resolve);
    const timer = this.#clock.after(answerMs, () => resolve(undefined));
    this.#child.send({ ask }, (error) => {
      if (error !== null) resolve(undefined);
    });
    try {
      return await promise;
    } finally {
      this.#waiting.delete(ask);
      timer.cancel();
    }
  }

  /** What a POST changed in the first process changes in the child, too. */
  change(url: string): void {
    // One that is ending has nothing to change any more.
    if (this.#child.connected) this.#child.send({ change: url }, () => undefined);
  }
}

/**
 * In a process beside the first: does as that one says. Resolves when it knows what was changed before it came; `stats`
 * gives undefined while it does not serve.
 */
export async function heedFirst(own: { stats(): AllStats | undefined; change(url: string): void }): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  process.on("message", (message: FromFirst) => {
    if ("ask" in message) {
      const stats = own.stats();
      const answer: ToFirst = { answer: message.ask, ...(stats === undefined ? {} : { stats: toPlain(stats) }) };
      process.send?.(answer);
    } else if ("change" in message) own.change(message.change);
    else {
      for (const url of message.standing) own.change(url);
      resolve();
    }
  });
  await promise;
}
