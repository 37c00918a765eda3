/**
 * What counters that nothing can clear stood at when they were last reset.
 *
 *   POST /reset_counters ─▶ reset()          counters as they are kept ─▶ since() ─▶ /stats
 *
 * The engine counts on, so that requests pay nothing for a reset. Invariant: no counter is negative; one whose source
 * was made anew, so that it has less than at the reset, counts from zero.
 */
import type { Stat } from "./stats.ts";

export class CounterBaselines {
  readonly #baselines = new Map<string, number>();

  /** The counters of `stats` count from here on. */
  reset(stats: Iterable<Stat>): void {
    this.#baselines.clear();
    for (const { name, kind, value } of stats) if (kind === "counter" && value > 0) this.#baselines.set(name, value);
  }

  /** `stats`, the counters among them without what they had at the last reset. */
  since(stats: Iterable<Stat>): readonly Stat[] {
    return [...stats].map((stat) => {
      const baseline = this.#baselines.get(stat.name);
      if (baseline === undefined || stat.kind !== "counter") return stat;
      if (stat.value >= baseline) return { ...stat, value: stat.value - baseline };
      this.#baselines.delete(stat.name);
      return stat;
    });
  }
}
