/**
 * What the admin pages of the first process want of those that serve beside it, over Node's channel between a process
 * and its child.
 *
 *   /stats of the first ─▶ SiblingChannels.stats() ─▶ { ask: 7 } ─▶ heedFirst() in the child ─▶ { answer: 7, stats }
 *                                                  ─▶ merge-stats.ts
 *   POST /logging… ─▶ SiblingChannels.change() ─▶ { change: url } ─▶ heedFirst() ─▶ the same page there
 *
 * Invariants:
 * - A child that does not answer in time counts with the counters that it told last, and so does one that has ended,
 *   for good: sums fall by a reset alone. The page does not wait any longer.
 * - An answer that comes late answers nothing: questions bear numbers, since Node keeps what nobody listened for and
 *   hands it to the next who does, so that every answer behind a late one would be the one before.
 */
import type { Clock } from "#lib/clock.ts";
import type { Logger } from "#lib/log.ts";
import { EndedStats, countersOf } from "../sidecar/admin/ended-stats.ts";
import { type PlainStats, fromPlain, toPlain } from "../sidecar/admin/merge-stats.ts";
import { resetsCounters } from "../sidecar/admin/pages.ts";
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
  readonly pid?: number | undefined;
  send(message: FromFirst, done: (error: Error | null) => void): unknown;
  on(event: "message", listener: (message: unknown) => void): unknown;
}

export interface ChannelDeps {
  readonly clock: Clock;
  readonly log: Logger;
}

/** The first process's ends of the channels to all of its children, and what those that ended had counted. */
export class SiblingChannels {
  readonly #deps: ChannelDeps;
  readonly #channels = new Set<SiblingChannel>();
  readonly #ended = new EndedStats();

  constructor(deps: ChannelDeps) {
    this.#deps = deps;
  }

  open(child: Child): SiblingChannel {
    const channel = new SiblingChannel(child, this.#deps);
    this.#channels.add(channel);
    return channel;
  }

  /** Its child is gone. */
  close(channel: SiblingChannel): void {
    if (!this.#channels.delete(channel)) return;
    channel.close();
    this.#ended.add(channel.told);
  }

  /** What each child has counted, and what those had that ended. */
  async stats(): Promise<readonly AllStats[]> {
    const asked = [...this.#channels].map(async (channel) => ({ channel, stats: await channel.stats() }));
    const all = await Promise.all(asked);
    // One that has ended meanwhile is among those that ended.
    const own = all.flatMap(({ channel, stats }) =>
      stats !== undefined && this.#channels.has(channel) ? [stats] : [],
    );
    return [...own, this.#ended.stats];
  }

  /** What a POST changed in the first process changes in all of them, too. */
  change(url: string): void {
    if (resetsCounters(url)) this.#ended.forget();
    for (const channel of this.#channels) channel.change(url);
  }
}

/** The first process's end of the channel to one child. */
export class SiblingChannel {
  readonly #child: Child;
  readonly #deps: ChannelDeps;
  readonly #waiting = new Map<number, (stats: AllStats | undefined) => void>();
  #asked = 0;
  /** Answers up to this one were asked for before a reset. */
  #forgotten = 0;
  #told: AllStats | undefined;

  constructor(child: Child, deps: ChannelDeps) {
    this.#child = child;
    this.#deps = deps;
    child.on("message", (message) => {
      const { answer, stats: plain } = message as ToFirst;
      const stats = plain === undefined ? undefined : fromPlain(plain);
      if (stats !== undefined && answer > this.#forgotten) this.#told = countersOf(stats);
      this.#waiting.get(answer)?.(stats);
    });
  }

  /** The counters and histograms that the child told last, late or in time; undefined: none since they were reset. */
  get told(): AllStats | undefined {
    return this.#told;
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

  /** What the child has counted, or where it does not say what it told last. */
  async stats(): Promise<AllStats | undefined> {
    if (!this.#child.connected) return this.#told;
    const ask = ++this.#asked;
    const { promise, resolve } = Promise.withResolvers<AllStats | undefined>();
    this.#waiting.set(ask, resolve);
    const { clock, log } = this.#deps;
    const timer = clock.after(answerMs, () => {
      log.warn("Another process does not answer: its counters are those that it told last", { pid: this.#child.pid });
      resolve(undefined);
    });
    this.#child.send({ ask }, (error) => {
      if (error !== null) resolve(undefined);
    });
    try {
      return (await promise) ?? this.#told;
    } finally {
      this.#waiting.delete(ask);
      timer.cancel();
    }
  }

  /** What a POST changed in the first process changes in the child, too. */
  change(url: string): void {
    if (resetsCounters(url)) {
      this.#forgotten = this.#asked;
      this.#told = undefined;
    }
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
