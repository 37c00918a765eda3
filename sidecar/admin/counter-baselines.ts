/**
 * What counters that nothing can clear stood at when they were last reset.
 *
 *   POST /reset_counters ─▶ reset()          counters as they are kept ─▶ since() ─▶ /stats
 *
 * The engine counts on, so that requests pay nothing for a reset. Invariant: baselines are of the object that counts:
 * one that was made anew since, such as a cluster that was replaced, counts from zero.
 */
import type { Stat } from "./stats.ts";

/** Statistics, and the object that keeps them: its counters never fall. */
export interface KeptStats {
  readonly keeper: object;
  readonly stats: readonly Stat[];
}

export class CounterBaselines {
  #baselines = new WeakMap<object, ReadonlyMap<string, number>>();

  /** All counters count from here on. */
  reset(kept: readonly KeptStats[]): void {
    this.#baselines = new WeakMap(
      kept.map(({ keeper, stats }) => {
        const counters = stats.filter(({ kind }) => kind === "counter");
        return [keeper, new Map(counters.map(({ name, value }) => [name, value] as const))] as const;
      }),
    );
  }

  /** All statistics, the counters among them without what they had at the last reset. */
  since(kept: readonly KeptStats[]): readonly Stat[] {
    return kept.flatMap(({ keeper, stats }) => {
      const baselines = this.#baselines.get(keeper);
      if (baselines === undefined) return stats;
      return stats.map((stat) => {
        const baseline = stat.kind === "counter" ? baselines.get(stat.name) : undefined;
        return baseline === undefined ? stat : { ...stat, value: stat.value - baseline };
      });
    });
  }
}
