/**
 * Events expire: one that was not written for an hour is removed, so that what is told does not fill the store.
 *
 *   every minute: cached Events ─▶ isExpired() ─▶ DELETE
 *
 * Follows: kube-apiserver's --event-ttl, whose lease begins anew with each write of an event.
 */
import { type Event, events } from "#api/core/event.ts";
import { keyOf } from "#api/meta.ts";
import { isConflict, isNotFound } from "#api/status.ts";
import type { Clock, Timer } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import type { WatchCache } from "../watch/watch-cache.ts";
import type { LocalClient } from "./local-client.ts";

/** Life of an event after its last write, in ms. */
export const eventLifeMs: number = 3_600_000;
const periodMs = 60_000;

export interface EventExpiryOptions {
  readonly client: LocalClient;
  readonly cache: WatchCache;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Whether nothing was told of the event for so long that it may go. Pure. */
export function isExpired(event: Event, nowMs: number): boolean {
  const { metadata, eventTime, lastTimestamp, series } = event;
  const times = [metadata.creationTimestamp, eventTime, lastTimestamp, series?.lastObservedTime];
  // Clients choose most of these times: one in the future counts as now at most, or the event would never go.
  const lastMs = Math.max(...times.map((time) => Date.parse(time ?? "")).filter((ms) => ms <= nowMs), 0);
  return nowMs - lastMs > eventLifeMs;
}

/** Begins; the result ends it. */
export function startEventExpiry({ client, cache, clock, log }: EventExpiryOptions): () => void {
  let timer: Timer;
  let isStopped = false;
  const sweep = async (): Promise<void> => {
    const nowMs = clock.nowMs();
    for (const event of cache.list<Event>(events)) {
      if (isStopped) return;
      if (!isExpired(event, nowMs)) continue;
      const { uid = "", resourceVersion = "" } = event.metadata;
      try {
        await client.delete(events, keyOf(event), { preconditions: { uid, resourceVersion } });
      } catch (error) {
        // Written again or gone in the meantime: both are well.
        if (!isNotFound(error) && !isConflict(error)) throw error;
      }
    }
  };
  const next = (): void => {
    if (isStopped) return;
    timer = clock.after(periodMs, () => {
      sweep()
        .catch((error: unknown) => log.warn("Cannot remove expired events", { error: messageOf(error) }))
        .finally(next);
    });
  };
  next();
  return () => {
    isStopped = true;
    timer.cancel();
  };
}
