/** A quantile out of a histogram's buckets, interpolated within one. Pure. */
import type { Histogram } from "../histogram.ts";

/** The value below which the share `q` of what was observed lies, in the unit of the observations; 0 for nothing. */
export function quantileOf(histogram: Histogram, q: number): number {
  const { counts } = histogram;
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0) return 0;
  let seen = 0;
  for (const [at, count] of counts.entries()) {
    if (count === 0 || seen + count < q * total) {
      seen += count;
      continue;
    }
    const from = at === 0 ? 0 : Number(histogram.boundAt(at - 1));
    const to = at === counts.length - 1 ? from : Number(histogram.boundAt(at));
    return Math.round((from + (to - from) * ((q * total - seen) / count)) * 1000) / 1000;
  }
  return 0;
}
