/** One line of a bench's result. */
export interface Measured {
  readonly question: string;
  /** With its unit. */
  readonly measured: string;
  /** As the design sets it; empty where it sets none. */
  readonly budget: string;
}

/** The middle of sorted values. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
