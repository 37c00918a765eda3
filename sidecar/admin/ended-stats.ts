/**
 * What processes that ended had counted, so that sums do not fall when one is lost. Pure.
 *
 *   what a process told last ─▶ add() ─▶ stats ─▶ merge-stats.ts
 *
 * Its gauges and hosts ended with it. What it counted since it was last asked is lost; what it counted of a cluster
 * that has left since stays.
 */
import { mergeStats } from "./merge-stats.ts";
import type { AllStats } from "./stats-page.ts";

const nothing: AllStats = { stats: [], histograms: [] };

export class EndedStats {
  #stats: AllStats = nothing;

  /** Counters and histograms of all of them, since the last forget(). */
  get stats(): AllStats {
    return this.#stats;
  }

  /** One that told `told` last has ended; undefined: it never told anything. */
  add(told: AllStats | undefined): void {
    if (told !== undefined) this.#stats = mergeStats([this.#stats, countersOf(told)]);
  }

  /** Counters are reset. */
  forget(): void {
    this.#stats = nothing;
  }
}

/** What goes on adding up: counters and histograms. */
export function countersOf({ stats, histograms }: AllStats): AllStats {
  return { stats: stats.filter(({ kind }) => kind === "counter"), histograms };
}
