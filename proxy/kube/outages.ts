/**
 * Says once that the API is gone, and once that it is back: what is programmed stays meanwhile.
 *
 *   informers ─ list, watch ─▶ OutageReporter ─▶ KubeClient
 */
import type { KubeClient, ListOptions, WatchEvent } from "#api/client/client.ts";
import type { KindRef } from "#api/kind.ts";
import type { KubeList, KubeObject } from "#api/meta.ts";
import { messageOf } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";

export class OutageReporter implements Pick<KubeClient, "list" | "watch"> {
  readonly #client: Pick<KubeClient, "list" | "watch">;
  readonly #log: Logger;
  #isGone = false;

  constructor(client: Pick<KubeClient, "list" | "watch">, log: Logger) {
    this.#client = client;
    this.#log = log;
  }

  async list<T extends KubeObject>(kind: KindRef<T>, options?: ListOptions): Promise<KubeList<T>> {
    try {
      const list = await this.#client.list(kind, options);
      if (this.#isGone) this.#log.info("The API is back");
      this.#isGone = false;
      return list;
    } catch (error) {
      this.#gone(kind, error);
      throw error;
    }
  }

  async *watch<T extends KubeObject>(
    kind: KindRef<T>,
    options: ListOptions,
    signal: AbortSignal,
  ): AsyncIterable<WatchEvent<T>> {
    try {
      yield* this.#client.watch(kind, options, signal);
    } catch (error) {
      if (!signal.aborted) this.#gone(kind, error);
      throw error;
    }
  }

  #gone({ plural }: KindRef, error: unknown): void {
    if (!this.#isGone)
      this.#log.warn("Cannot watch the API; keeps what is programmed", { plural, error: messageOf(error) });
    this.#isGone = true;
  }
}
