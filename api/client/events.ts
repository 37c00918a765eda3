/**
 * Tells people what happened to an object: Events, as kubectl describe and kubectl events show them.
 *
 *   controllers, scheduler, kubelet ─ record() ─▶ queue ─▶ correlate ─▶ POST, or PATCH of the count ─▶ API server
 *
 * An event that repeats (same object, type, reason and message) counts up instead of filling the store. Telling is
 * never in the way of doing: record() returns at once, an API server that cannot be reached costs events, not work.
 * Follows client-go tools/record (event.go, events_cache.go).
 */
import { type Event, events } from "../core/event.ts";
import type { ObjectReference } from "../core/object-reference.ts";
import { type KubeObject, formatTime } from "../meta.ts";
import { isNotFound } from "../status.ts";
import type { Clock } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import type { KubeClient } from "./client.ts";

export type EventType = "Normal" | "Warning";

/** A part of an object: `spec.containers{app}`. */
export interface ObjectPart {
  readonly object: KubeObject;
  readonly fieldPath: string;
}

/** Records events; the reasons and messages are the reference implementation's. */
export interface EventRecorder {
  /** Never throws, never blocks. */
  record(about: KubeObject | ObjectPart, type: EventType, reason: string, message: string): void;
}

export interface EventRecorderOptions {
  readonly client: Pick<KubeClient, "create" | "patch">;
  readonly clock: Clock;
  readonly log: Logger;
  /** Component that speaks: `kubelet`, `default-scheduler`, `replicaset-controller`. */
  readonly component: string;
  /** Node of the component, if it has one. */
  readonly host?: string;
}

/** Records nothing. */
export const silentRecorder: EventRecorder = { record: () => undefined };

/** Events that wait to be written, at most; the newest are dropped beyond it. client-go: 1000. */
const queueLengthMax = 1000;
/** Events whose repetition is noticed, at most; the oldest is forgotten. client-go: 4096. */
const seenMax = 4096;
/** New events of one object at once; then one each `refillMs`. client-go's spam filter: 25, 300 s. */
const burstMax = 25;
const refillMs = 300_000;
/** Longest message, in characters. */
const messageLengthMax = 1024;

interface Seen {
  readonly event: Event;
  readonly count: number;
}

export class ApiEventRecorder implements EventRecorder {
  /** Events that were lost: queue full, spam of one object, or the API server refused. */
  dropped = 0;
  readonly #options: EventRecorderOptions;
  readonly #queue: Event[] = [];
  readonly #seen = new Map<string, Seen>();
  readonly #buckets = new Map<string, { tokens: number; atMs: number }>();
  #sequence = 0;
  #writing = false;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
  }

  record(about: KubeObject | ObjectPart, type: EventType, reason: string, message: string): void {
    const event = this.#eventOf(referenceTo(about), { type, reason, message });
    if (this.#queue.length >= queueLengthMax || !this.#admits(event)) {
      this.dropped += 1;
      return;
    }
    this.#queue.push(event);
    void this.#write();
  }

  async #write(): Promise<void> {
    if (this.#writing) return;
    this.#writing = true;
    for (let event = this.#queue.shift(); event !== undefined; event = this.#queue.shift()) {
      try {
        await this.#writeOne(event);
      } catch (error) {
        this.dropped += 1;
        this.#options.log.debug("Event not written", { reason: event.reason, error: messageOf(error) });
      }
    }
    this.#writing = false;
  }

  async #writeOne(event: Event): Promise<void> {
    const { client } = this.#options;
    const key = correlationKey(event);
    const seen = this.#seen.get(key);
    this.#seen.delete(key);
    if (seen !== undefined) {
      const { namespace = "default", name } = seen.event.metadata;
      const count = seen.count + 1;
      try {
        await client.patch(events, { namespace, name }, { count, lastTimestamp: event.lastTimestamp });
        return this.#remember(key, { event: seen.event, count });
      } catch (error) {
        if (!isNotFound(error)) throw error;
        // It expired: tell it anew.
      }
    }
    await client.create(events, event);
    this.#remember(key, { event, count: 1 });
  }

  #remember(key: string, seen: Seen): void {
    this.#seen.set(key, seen);
    const oldest = this.#seen.size > seenMax ? this.#seen.keys().next().value : undefined;
    if (oldest !== undefined) this.#seen.delete(oldest);
  }

  /** A token bucket an object, so that one that flaps cannot fill the store. Repetitions cost a token, too. */
  #admits({ involvedObject }: Event): boolean {
    const nowMs = this.#options.clock.monotonicMs();
    const key = involvedObject.uid ?? `${involvedObject.kind}/${involvedObject.namespace}/${involvedObject.name}`;
    const bucket = this.#buckets.get(key) ?? { tokens: burstMax, atMs: nowMs };
    const tokens = Math.min(burstMax, bucket.tokens + (nowMs - bucket.atMs) / refillMs);
    this.#buckets.delete(key);
    this.#buckets.set(key, { tokens: tokens >= 1 ? tokens - 1 : tokens, atMs: nowMs });
    const oldest = this.#buckets.size > seenMax ? this.#buckets.keys().next().value : undefined;
    if (oldest !== undefined) this.#buckets.delete(oldest);
    return tokens >= 1;
  }

  #eventOf(
    involvedObject: ObjectReference,
    { type, reason, message }: { type: EventType; reason: string; message: string },
  ): Event {
    const { clock, component, host } = this.#options;
    const namespace = involvedObject.namespace ?? "default";
    const now = formatTime(clock.nowMs());
    this.#sequence += 1;
    const unique = (clock.nowMs() * 1000 + (this.#sequence % 1000)).toString(16);
    return {
      apiVersion: "v1",
      kind: "Event",
      metadata: { name: `${involvedObject.name}.${unique}`, namespace },
      involvedObject,
      reason,
      message: message.slice(0, messageLengthMax),
      source: { component, ...(host === undefined ? {} : { host }) },
      firstTimestamp: now,
      lastTimestamp: now,
      count: 1,
      type,
      reportingComponent: component,
      reportingInstance: host ?? "",
    };
  }
}

/** A reference to `object`, or to a part of it. */
export function referenceTo(about: KubeObject | ObjectPart): ObjectReference {
  const isPart = "object" in about;
  const { apiVersion, kind, metadata } = isPart ? about.object : about;
  const fieldPath = isPart ? about.fieldPath : undefined;
  const { name, namespace, uid, resourceVersion } = metadata;
  return {
    apiVersion,
    kind,
    name,
    ...(namespace === undefined || namespace === "" ? {} : { namespace }),
    ...(uid === undefined ? {} : { uid }),
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
    ...(fieldPath === undefined ? {} : { fieldPath }),
  };
}

function correlationKey({ involvedObject, type, reason, message }: Event): string {
  const { kind, namespace, name, uid, fieldPath } = involvedObject;
  return JSON.stringify([kind, namespace, name, uid, fieldPath, type, reason, message]);
}
