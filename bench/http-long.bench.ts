/**
 * Does the HTTP engine lose a request, leak, or slow down when everything around it moves? For
 * WHERRY_BENCH_LONG_SECONDS (60); the long run is 1800.
 */
import { type Sample, runRestless } from "../test/long/restless.ts";
import type { Measured } from "./measured.ts";

const seconds = Number(process.env["WHERRY_BENCH_LONG_SECONDS"] ?? 60);

export async function run(): Promise<readonly Measured[]> {
  const { seen, samples } = await runRestless(seconds);
  const line = (of: (one: Sample) => number, digits: number): string =>
    samples.map((one) => of(one).toFixed(digits)).join(", ");
  return [
    {
      question: `${seconds} s under changes: requests that failed`,
      measured: `${seen.failed} of ${seen.answered + seen.failed} (${seen.aborted} given up by their downstream)`,
      budget: "0",
    },
    { question: "heap after a collection, over time", measured: `${line((one) => one.heapMB, 1)} MB`, budget: "flat" },
    { question: "open TCP handles, over time", measured: line((one) => one.handles, 0), budget: "flat" },
    { question: "p99, over time", measured: `${line((one) => one.p99Ms, 1)} ms`, budget: "no trend" },
  ];
}
