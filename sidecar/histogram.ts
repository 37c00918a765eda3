/**
 * A histogram with Envoy's default bounds, as an array of numbers.
 *
 *   metrics.ts ─▶ observe() ─▶ renderHistogram() ─▶ text exposition
 *
 * Source: Envoy's default bucket bounds, which Istio's metrics have for times and sizes alike.
 */

/** Upper bounds, ascending; one more bucket is for what is above. */
const bounds: readonly number[] = [
  0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000, 600_000, 1_800_000,
  3_600_000,
];

export class Histogram {
  /** Observations in each bucket, not added up. */
  readonly counts: Float64Array = new Float64Array(bounds.length + 1);
  sum = 0;

  /** As if nothing had been observed. */
  clear(): void {
    this.counts.fill(0);
    this.sum = 0;
  }

  /** Takes over what another one observed. */
  add({ counts, sum }: { readonly counts: ArrayLike<number>; readonly sum: number }): void {
    for (let at = 0; at < this.counts.length; at++) this.counts[at]! += counts[at] ?? 0;
    this.sum += sum;
  }

  /** The upper bound of a bucket, as text exposition has it. */
  boundAt(at: number): string {
    return String(bounds[at] ?? "+Inf");
  }

  observe(value: number): void {
    let at = 0;
    while (at < bounds.length && value > bounds[at]!) at++;
    this.counts[at]!++;
    this.sum += value;
  }
}

export function renderHistogram<Series extends { readonly labels: string }>(
  name: string,
  series: readonly Series[],
  histogramOf: (series: Series) => Histogram,
): readonly string[] {
  if (series.length === 0) return [];
  const lines = [`# TYPE ${name} histogram`];
  for (const one of series) {
    const { counts, sum } = histogramOf(one);
    let total = 0;
    for (let at = 0; at < counts.length; at++) {
      total += counts[at]!;
      lines.push(`${name}_bucket{${one.labels},le="${bounds[at] ?? "+Inf"}"} ${total}`);
    }
    lines.push(`${name}_sum{${one.labels}} ${sum}`, `${name}_count{${one.labels}} ${total}`);
  }
  return lines;
}
