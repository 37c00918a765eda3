/**
 * What the admin pages of the first process want of those that serve beside it, over Node's channel between a process
 * and its child.
 *
 *   /stats of the first ─▶ askStats(child)… ─▶ "stats" ─▶ heedFirst() in the child ─▶ PlainStats ─▶ merge-stats.ts
 *   POST /drain_listeners… ─▶ tell(child, url)… ─▶ { change: url } ─▶ heedFirst() in the child ─▶ the same page there
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

/** What a POST changed in the first process changes in `child`, too. */
export function tell(child: ChildProcess, url: string): void {
  // One that is ending has nothing to change any more.
  if (child.connected) child.send({ change: url }, () => undefined);
}

/** In a process beside the first: does as that one says. */
export function heedFirst(own: { stats(): AllStats; change(url: string): void }): void {
  process.on("message", (message: typeof question | { readonly change: string }) => {
    if (message === question) process.send?.(toPlain(own.stats()));
    else own.change(message.change);
  });
}
