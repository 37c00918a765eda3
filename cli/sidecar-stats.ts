/**
 * The statistics of processes that serve side by side: the first one asks, each other one answers, over Node's channel
 * between a process and its child.
 *
 *   /stats of the first ─▶ askStats(child)… ─▶ "stats" ─▶ answerStats() in the child ─▶ PlainStats ─▶ merge-stats.ts
 *
 * Invariant: a child that does not answer in time is left out; the page does not wait for it any longer.
 */
import type { ChildProcess } from "node:child_process";
import type { Clock } from "#lib/clock.ts";
import { type PlainStats, fromPlain, toPlain } from "../sidecar/admin/merge-stats.ts";
import type { AllStats } from "../sidecar/admin/stats-page.ts";

/** Time for one process to answer, in ms. */
const answerMs = 1000;
const question = "stats";

/** What `child` has counted; undefined when it does not say. */
export async function askStats(child: ChildProcess, clock: Clock): Promise<AllStats | undefined> {
  if (!child.connected) return undefined;
  const { promise, resolve } = Promise.withResolvers<AllStats | undefined>();
  const onMessage = (message: unknown): void => resolve(fromPlain(message as PlainStats));
  const timer = clock.after(answerMs, () => resolve(undefined));
  child.once("message", onMessage);
  child.send(question, (error) => {
    if (error !== null) resolve(undefined);
  });
  try {
    return await promise;
  } finally {
    child.off("message", onMessage);
    timer.cancel();
  }
}

/** In a process beside the first: answers whenever that one asks. */
export function answerStats(own: () => AllStats): void {
  process.on("message", (message) => {
    if (message === question) process.send?.(toPlain(own()));
  });
}
