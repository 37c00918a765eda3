/**
 * Writes pod statuses to the API server: one write under way for each pod, the newest status next, nothing when it
 * says what is there already. A failed write is repeated with the newest status.
 *
 *   Kubelet ─ want(pod, statusOf) ─▶ statusOf(newest object known) ─▶ patch with its resourceVersion ─▶ API server
 *                                       ▲────────────── Conflict: get ──────────────┘
 *
 * Invariant: what others have written into a status (readiness gates, DisruptionTarget) is never lost. A merge patch
 * replaces the list of conditions as a whole, so it is made from, and only taken with, the object as it stands.
 */
import { isDeepStrictEqual } from "node:util";
import type { KubeClient } from "#api/client/client.ts";
import { type Pod, type PodStatus, pods } from "#api/core/pod.ts";
import { keyOf } from "#api/meta.ts";
import { isConflict, isNotFound } from "#api/status.ts";
import type { Clock } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";

interface Entry {
  /** The newest object known: of the watch, or what a write answered. */
  pod: Pod;
  statusOf: (pod: Pod) => PodStatus;
  /** What was sent last: not sent again, whatever the API server made of it. */
  written: PodStatus | undefined;
  busy: boolean;
}

const retryMs = 500;

export class StatusWriter {
  readonly #client: KubeClient;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #entries = new Map<string, Entry>();

  constructor(client: KubeClient, clock: Clock, log: Logger) {
    this.#client = client;
    this.#clock = clock;
    this.#log = log;
  }

  /** `statusOf` gives what the API server is to say of the pod from now on, over the object that it has. */
  want(pod: Pod, statusOf: (pod: Pod) => PodStatus): void {
    const uid = pod.metadata.uid ?? "";
    const entry = this.#entries.get(uid) ?? { pod, statusOf, written: undefined, busy: false };
    if (isNewer(pod, entry.pod)) entry.pod = pod;
    entry.statusOf = statusOf;
    this.#entries.set(uid, entry);
    void this.#write(entry);
  }

  forget(uid: string): void {
    this.#entries.delete(uid);
  }

  async #write(entry: Entry): Promise<void> {
    if (entry.busy) return;
    entry.busy = true;
    const uid = entry.pod.metadata.uid ?? "";
    while (this.#entries.get(uid) === entry) {
      const { pod } = entry;
      const status = entry.statusOf(pod);
      if (isDeepStrictEqual(status, pod.status) || isDeepStrictEqual(status, entry.written)) break;
      try {
        // The uid is a precondition: a new pod of the same name must not get the old one's status.
        const { resourceVersion } = pod.metadata;
        const metadata = { uid, ...(resourceVersion === undefined ? {} : { resourceVersion }) };
        const answer = await this.#client.patchStatus(pods, keyOf(pod), { metadata, status });
        entry.written = status;
        if (isNewer(answer, entry.pod)) entry.pod = answer;
      } catch (error) {
        if (isNotFound(error)) break;
        if (isConflict(error) && (await this.#renew(entry))) continue;
        this.#log.debug("Pod status not written", { pod: pod.metadata.name, error: messageOf(error) });
        await this.#clock.sleep(retryMs);
      }
    }
    entry.busy = false;
  }

  /** Gets the object that another has written meanwhile; false when that fails, or it is none of ours. */
  async #renew(entry: Entry): Promise<boolean> {
    try {
      const newest = await this.#client.get(pods, keyOf(entry.pod));
      if (newest.metadata.uid !== entry.pod.metadata.uid) return false;
      const isChanged = isNewer(newest, entry.pod);
      if (isChanged) entry.pod = newest;
      return isChanged;
    } catch (error) {
      this.#log.debug("Pod not read", { pod: entry.pod.metadata.name, error: messageOf(error) });
      return false;
    }
  }
}

/** Kubernetes lets clients compare the resource versions of one kind as numbers (KEP-5504). */
function isNewer({ metadata }: Pod, than: Pod): boolean {
  return Number(metadata.resourceVersion ?? 0) > Number(than.metadata.resourceVersion ?? 0);
}
