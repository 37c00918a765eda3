/**
 * List and watch of one kind, with only the wanted part of each object kept.
 *
 *   API server ─▶ pages of 500 ─▶ slim() ─▶ onSet, onDelete ─▶ watch from there on
 *
 * A new list replaces object by object: never are two whole lists in memory. What failed is tried again, with
 * back-off. A watch lives for minutes, and one whose server is gone without a word does, too (watch-life.ts): the next
 * one goes on from the version that it had, which bookmarks keep fresh.
 */
import { Agent, type Dispatcher, request } from "undici";
import { splitLines } from "#api/client/lines.ts";
import { beginWatch, probed } from "#api/client/watch-life.ts";
import type { KubeObject } from "#api/meta.ts";
import { type BackoffConfig, backoffMs } from "#lib/backoff.ts";
import type { Clock } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";
import type { Access } from "./kubeconfig.ts";

const pageSize = 500;
/** Until the headers of an answer, and between two pieces of a list, in ms. Watches have a life of their own. */
const answerMs = 30_000;
const lineBytesMax = 16 * 1024 * 1024;
const backoff: BackoffConfig = { baseMs: 100, maxMs: 30_000, jitterRatio: 0.3 };

/** GET requests to one API server. */
export class APIReader {
  readonly #access: Access;
  readonly #agent: Agent;

  constructor(access: Access) {
    this.#access = access;
    const { ca, cert, key } = access;
    const tls = {
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
    };
    const connect = { ...tls, ...probed, timeout: 10_000 };
    this.#agent = new Agent({ connect, allowH2: false, headersTimeout: answerMs });
  }

  /** `silenceMs`: between two pieces of the body; 0: for ever. */
  async get(
    path: string,
    query: Readonly<Record<string, string>>,
    signal: AbortSignal,
    silenceMs: number = answerMs,
  ): Promise<Dispatcher.ResponseData["body"]> {
    const url = new URL(path, this.#access.server);
    for (const [name, value] of Object.entries(query)) if (value !== "") url.searchParams.set(name, value);
    const { token } = this.#access;
    const response = await request(url, {
      dispatcher: this.#agent,
      signal,
      bodyTimeout: silenceMs,
      headers: { accept: "application/json", ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) },
    });
    if (response.statusCode < 300) return response.body;
    await response.body.dump();
    throw new Error(`GET ${url.pathname} answered ${response.statusCode}`);
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }
}

export interface ReflectorOptions<T> {
  readonly reader: APIReader;
  /** `/api/v1/services` */
  readonly path: string;
  readonly labelSelector: string;
  readonly slim: (object: KubeObject) => T;
  readonly onSet: (key: string, value: T) => void;
  readonly onDelete: (key: string) => void;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

interface ListPage {
  readonly metadata?: { readonly resourceVersion?: string; readonly continue?: string };
  readonly items?: readonly KubeObject[];
}

interface WatchLine {
  readonly type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK" | "ERROR";
  readonly object: KubeObject & { readonly message?: string };
}

export class Reflector<T> {
  readonly #options: ReflectorOptions<T>;
  readonly #keys = new Set<string>();
  #revision = "";
  #markSynced: () => void = () => {};
  /** Resolves after the first whole list. */
  readonly synced: Promise<void> = new Promise((resolve) => (this.#markSynced = resolve));

  constructor(options: ReflectorOptions<T>) {
    this.#options = options;
  }

  /** Goes on until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, random, log, path } = this.#options;
    for (let failures = 0; !signal.aborted;) {
      try {
        if (this.#revision === "") await this.#list(signal);
        const startMs = clock.monotonicMs();
        await this.#watch(signal);
        // A server that ends watches at once must not be asked in a busy loop.
        failures = clock.monotonicMs() - startMs > 1000 ? 0 : failures + 1;
        if (failures > 0) await clock.sleep(backoffMs(failures, backoff, random), signal);
      } catch (error) {
        if (signal.aborted) return;
        this.#revision = "";
        log.warn("Cannot watch", { path, error: messageOf(error) });
        await clock.sleep(backoffMs(failures++, backoff, random), signal).catch(() => undefined);
      }
    }
  }

  async #list(signal: AbortSignal): Promise<void> {
    const { reader, path, labelSelector, onDelete } = this.#options;
    const listed = new Set<string>();
    let revision = "";
    for (let token = "", isFirst = true; isFirst || token !== ""; isFirst = false) {
      const query = { limit: String(pageSize), labelSelector, continue: token };
      const page = (await (await reader.get(path, query, signal)).json()) as ListPage;
      for (const object of page.items ?? []) listed.add(this.#set(object));
      revision = page.metadata?.resourceVersion ?? "";
      token = page.metadata?.continue ?? "";
    }
    for (const key of this.#keys) {
      if (listed.has(key)) continue;
      this.#keys.delete(key);
      onDelete(key);
    }
    this.#revision = revision;
    this.#markSynced();
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const { reader, path, labelSelector, clock, random, log } = this.#options;
    const life = beginWatch(clock, random, signal);
    const from = { resourceVersion: this.#revision, timeoutSeconds: String(life.timeoutSeconds) };
    const query = { watch: "true", allowWatchBookmarks: "true", ...from, labelSelector };
    try {
      const body = await reader.get(path, query, life.signal, 0);
      for await (const line of splitLines(body, lineBytesMax)) this.#take(JSON.parse(line) as WatchLine);
    } catch (error) {
      if (!life.isSilent()) throw error;
      log.warn("The API server is silent: begins another watch", { path });
    } finally {
      life.end();
    }
  }

  #take({ type, object }: WatchLine): void {
    if (type === "ERROR") throw new Error(object.message ?? "the watch ended");
    this.#revision = object.metadata.resourceVersion ?? this.#revision;
    if (type === "BOOKMARK") return;
    if (type !== "DELETED") return void this.#set(object);
    const key = keyOf(object);
    this.#keys.delete(key);
    this.#options.onDelete(key);
  }

  #set(object: KubeObject): string {
    const key = keyOf(object);
    this.#keys.add(key);
    this.#options.onSet(key, this.#options.slim(object));
    return key;
  }
}

function keyOf({ metadata }: KubeObject): string {
  return `${metadata.namespace ?? ""}/${metadata.name}`;
}
