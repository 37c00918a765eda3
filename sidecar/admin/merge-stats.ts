/**
 * Statistics of several parts as one: what counts apart in a process, and processes that serve side by side. Pure.
 *
 *   AllStats of each ─▶ mergeStats() ─▶ AllStats          toPlain() ─▶ message between processes ─▶ fromPlain()
 *
 * Numbers of the same name are added up, but for those that each part says of the whole: of these the largest counts.
 */
import { Histogram } from "../histogram.ts";
import type { Stat } from "./stats.ts";
import { type AllStats, type HostCounts, hostCountNames, noHostCounts } from "./stats-page.ts";

/** What every process says alike. What a listener refused is each one's own. */
const saidByEach =
  /^(?:server\.(?:live|state|uptime)|listener_manager\.(?!downstream_)|cluster_manager\.)|\.(?:membership_\w+|circuit_breakers\.\S+)$/;

export function mergeStats(parts: readonly AllStats[]): AllStats {
  const stats = new Map<string, Stat>();
  const histograms = new Map<string, Histogram>();
  const hosts: Record<string, HostCounts> = {};
  for (const part of parts) {
    for (const [key, counts] of Object.entries(part.hosts ?? {})) {
      const known = hosts[key] ?? noHostCounts;
      const sums = hostCountNames.map((name) => [name, known[name] + counts[name]] as const);
      hosts[key] = Object.fromEntries(sums) as HostCounts;
    }
    for (const stat of part.stats) {
      const known = stats.get(stat.name);
      stats.set(stat.name, known === undefined ? stat : { ...stat, value: joined(known, stat) });
    }
    for (const { name, histogram } of part.histograms) {
      let known = histograms.get(name);
      if (known === undefined) histograms.set(name, (known = new Histogram()));
      known.add(histogram);
    }
  }
  return {
    hosts,
    stats: [...stats.values()],
    histograms: [...histograms].map(([name, histogram]) => ({ name, histogram })),
  };
}

function joined(known: Stat, { name, value }: Stat): number {
  return saidByEach.test(name) ? Math.max(known.value, value) : known.value + value;
}

/** As it goes from process to process, in JSON. */
export interface PlainStats {
  readonly hosts?: AllStats["hosts"];
  readonly stats: readonly Stat[];
  readonly histograms: readonly {
    readonly name: string;
    readonly histogram: { readonly counts: readonly number[]; readonly sum: number };
  }[];
}

export function toPlain({ hosts = {}, stats, histograms }: AllStats): PlainStats {
  return {
    hosts,
    stats,
    histograms: histograms.map(({ name, histogram: { counts, sum } }) => ({
      name,
      histogram: { counts: [...counts], sum },
    })),
  };
}

export function fromPlain({ hosts = {}, stats, histograms }: PlainStats): AllStats {
  return {
    hosts,
    stats,
    histograms: histograms.map(({ name, histogram: plain }) => {
      const histogram = new Histogram();
      histogram.add(plain);
      return { name, histogram };
    }),
  };
}
