/**
 * Writes pod statuses to the API server: one write under way for each pod, the newest status next, nothing when it
 * is the same as the last one written. A failed write is repeated with the newest status.
 */
import { isDeepStrictEqual } from "node:util";
import type { KubeClient } from "#api/client/client.ts";
import { type Pod, type PodStatus, pods } from "#api/core/pod.ts";
import { keyOf } from "#api/meta.ts";
import { isNotFound } from "#api/status.ts";
import type { Clock } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";

interface Entry {
  pod: Pod;
  wanted: PodStatus;
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

  /** `status` is what the API server is to say of `pod` from now on. */
  want(pod: Pod, status: PodStatus): void {
    const uid = pod.metadata.uid ?? "";
    const entry = this.#entries.get(uid) ?? { pod, wanted: status, written: pod.status, busy: false };
    entry.pod = pod;
    entry.wanted = status;
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
    while (this.#entries.get(uid) === entry && !isDeepStrictEqual(entry.wanted, entry.written)) {
      const { wanted, pod } = entry;
      try {
        // The uid is a precondition: a new pod of the same name must not get the old one's status.
        await this.#client.patchStatus(pods, keyOf(pod), { metadata: { uid }, status: wanted });
        entry.written = wanted;
      } catch (error) {
        if (isNotFound(error)) break;
        this.#log.debug("Pod status not written", { pod: pod.metadata.name, error: messageOf(error) });
        await this.#clock.sleep(retryMs);
      }
    }
    entry.busy = false;
  }
}
