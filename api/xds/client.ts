/**
 * The ADS client, in the terms of delta ADS: keeps subscriptions alive over one stream, and hands over what changed.
 *
 *   control/push, istiod ─▶ AdsChannel (one a process) ─▶ AdsClient (one a proxy) ─▶ handler.apply() ─▶ proxy state
 *
 * Invariants: `versions` holds exactly what handlers accepted. A handler that throws rejects the push (NACK) and keeps its last
 * good state. After a reconnect the server is told `versions`, so nothing is sent twice and what was deleted
 * meanwhile is removed. While there is no control plane, everything stays as it was.
 */
import { status as grpcStatus, type ClientDuplexStream } from "@grpc/grpc-js";
import { backoffMs, type BackoffConfig } from "#lib/backoff.ts";
import type { Clock } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";
import { AdsChannel } from "./channel.ts";
import { decodeResource } from "./codec.ts";
import {
  deltaDialect,
  deltaRequest,
  type DeltaRequest,
  type DeltaResponse,
  type Dialect,
  type Node,
} from "./discovery.ts";

export interface AdsResource<T> {
  readonly name: string;
  readonly version: string;
  readonly resource: T;
}

export interface AdsHandler<T> {
  /**
   * Takes a push as a whole; the first of a stream may hold nothing. Throwing rejects it as a whole: the message
   * goes to the server, nothing of it counts as held. May call `setNames` and `subscribe`; what these ask for is on its
   * way before the acknowledgement is.
   */
  apply(updated: readonly AdsResource<T>[], removed: readonly string[]): void;
}

/** disconnected ⇄ connected (the server answers) ⇄ synced (each subscribed type was answered on this stream). */
export type AdsState = "disconnected" | "connected" | "synced";

export interface AdsClientOptions {
  /** An address, for a channel of its own, or a channel to share. */
  readonly target: string | AdsChannel;
  readonly node: Node;
  readonly log: Logger;
  readonly clock: Clock;
  readonly random: Random;
  /** Between attempts to reconnect. Default 100 ms to 5 s, half of it by chance. */
  readonly backoff?: BackoffConfig;
  /** A new one for each stream. Default: delta. */
  readonly createDialect?: () => Dialect;
}

interface Subscription {
  readonly typeUrl: string;
  names: ReadonlySet<string>;
  readonly handler: AdsHandler<unknown>;
  /** name → version accepted. */
  readonly versions: Map<string, string>;
  /** Asked for on this stream. */
  requested: boolean;
  /** Answered on this stream. */
  answered: boolean;
}

export class AdsClient {
  readonly #options: AdsClientOptions;
  readonly #subscriptions = new Map<string, Subscription>();
  readonly #listeners = new Set<(state: AdsState) => void>();
  #state: AdsState = "disconnected";
  #stream: ClientDuplexStream<Buffer, Buffer> | undefined;
  #dialect: Dialect = deltaDialect;
  #nodeSent = false;
  #attempts = 0;

  constructor(options: AdsClientOptions) {
    this.#options = options;
  }

  get state(): AdsState {
    return this.#state;
  }

  /** `listener` runs at each change of state. Call the result to stop it. */
  onState(listener: (state: AdsState) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Resolves when synced; rejects with the signal's reason when aborted before. */
  whenSynced(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#state === "synced") return resolve();
      if (signal?.aborted) return reject(signal.reason as Error);
      const stop = this.onState((state) => {
        if (state !== "synced") return;
        stop();
        resolve();
      });
      signal?.addEventListener("abort", () => (stop(), reject(signal.reason as Error)), { once: true });
    });
  }

  /** Subscribes to names of a type, or to "*": all. Once a type; later changes go through `setNames`. */
  subscribe<T>(typeUrl: string, names: readonly string[] | "*", handler: AdsHandler<T>): void {
    if (this.#subscriptions.has(typeUrl)) throw new Error(`Broken invariant: ${typeUrl} is subscribed once`);
    this.#subscriptions.set(typeUrl, {
      typeUrl,
      names: new Set(names === "*" ? ["*"] : names),
      handler,
      versions: new Map(),
      requested: false,
      answered: false,
    });
    if (this.#stream !== undefined) this.#begin(this.#wanted(typeUrl));
  }

  /** The names wanted from now on. A name that is left out is forgotten without a call of the handler. */
  setNames(typeUrl: string, names: readonly string[]): void {
    const subscription = this.#wanted(typeUrl);
    const wanted = new Set(names);
    const subscribe = [...wanted.difference(subscription.names)];
    const unsubscribe = [...subscription.names.difference(wanted)];
    if (subscribe.length === 0 && unsubscribe.length === 0) return;
    subscription.names = wanted;
    for (const name of unsubscribe) subscription.versions.delete(name);
    if (this.#stream === undefined) return;
    if (subscription.requested) this.#send(deltaRequest(typeUrl, { subscribe, unsubscribe }));
    else this.#begin(subscription);
    this.#updateState();
  }

  /** Connects, and connects again, until aborted. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { target, clock, random, log } = this.#options;
    const channel = typeof target === "string" ? new AdsChannel(target) : target;
    const backoff = this.#options.backoff ?? { baseMs: 100, maxMs: 5000, jitterRatio: 0.5 };
    while (!signal.aborted) {
      this.#dialect = this.#options.createDialect?.() ?? deltaDialect;
      const reason = await this.#serve(channel.open(this.#dialect.method), signal);
      if (signal.aborted) break;
      const delayMs = backoffMs(this.#attempts++, backoff, random);
      log.warn("ADS stream ended", { node: this.#options.node.id, reason, retryMs: Math.round(delayMs) });
      try {
        await clock.sleep(delayMs, signal);
      } catch (error) {
        log.debug("ADS client stops", { reason: messageOf(error) });
      }
    }
    if (typeof target === "string") channel.close();
  }

  /** Runs one stream to its end. Why it ended. */
  #serve(stream: ClientDuplexStream<Buffer, Buffer>, signal: AbortSignal): Promise<string> {
    return new Promise((resolve) => {
      const onAbort = (): void => stream.cancel();
      signal.addEventListener("abort", onAbort, { once: true });
      let reason = "ended by the server";
      const finish = (): void => {
        signal.removeEventListener("abort", onAbort);
        this.#stream = undefined;
        this.#setState("disconnected");
        resolve(reason);
      };
      stream.on("metadata", () => this.#updateState());
      stream.on("data", (bytes: Buffer) => {
        try {
          this.#receive(this.#dialect.decode(bytes));
        } catch (error) {
          // Not even an envelope: there is no nonce to reject, so the stream is of no use.
          reason = messageOf(error);
          stream.cancel();
        }
      });
      stream.on("error", (error) => {
        if (!("code" in error) || error.code !== grpcStatus.CANCELLED) reason = error.message;
      });
      stream.once("status", finish);
      this.#start(stream);
      if (signal.aborted) stream.cancel();
    });
  }

  #start(stream: ClientDuplexStream<Buffer, Buffer>): void {
    this.#stream = stream;
    this.#nodeSent = false;
    for (const subscription of this.#subscriptions.values()) {
      subscription.requested = false;
      subscription.answered = false;
    }
    for (const subscription of this.#subscriptions.values()) this.#begin(subscription);
  }

  /** The first request of a type on a stream. Without names there is none: an empty list would mean everything. */
  #begin(subscription: Subscription): void {
    const { typeUrl, names, versions } = subscription;
    if (names.size === 0) return;
    subscription.requested = true;
    this.#send(deltaRequest(typeUrl, { subscribe: [...names], initialVersions: Object.fromEntries(versions) }));
  }

  #receive(response: DeltaResponse): void {
    const { typeUrl, nonce } = response;
    this.#attempts = 0;
    const subscription = this.#subscriptions.get(typeUrl);
    if (subscription === undefined) {
      this.#send(
        deltaRequest(typeUrl, { nonce, error: { code: 3, message: `Cannot take ${typeUrl}: not subscribed` } }),
      );
      return;
    }
    // That there is nothing is worth knowing, once.
    const isFirst = !subscription.answered;
    subscription.answered = true;
    try {
      this.#apply(subscription, response, isFirst);
      this.#send(deltaRequest(typeUrl, { nonce }));
    } catch (error) {
      const message = messageOf(error);
      this.#options.log.warn("Rejected a push", { node: this.#options.node.id, type: typeUrl, message });
      this.#send(deltaRequest(typeUrl, { nonce, error: { code: grpcStatus.INVALID_ARGUMENT, message } }));
    }
    this.#updateState();
  }

  #apply(subscription: Subscription, { typeUrl, resources, removed }: DeltaResponse, isFirst: boolean): void {
    const { versions, handler } = subscription;
    const isWanted = (name: string): boolean => subscription.names.has("*") || subscription.names.has(name);
    const updated = resources
      // A name given up while its push was on the way.
      .filter(({ name }) => isWanted(name))
      .map(({ name, version, typeUrl: own, value }) => {
        if (own !== typeUrl) throw new Error(`Cannot take ${name}: observed ${own}, wanted ${typeUrl}`);
        return { name, version, resource: decodeNamed(typeUrl, name, value) };
      });
    const gone = removed.filter(isWanted);
    if (isFirst || updated.length > 0 || gone.length > 0) handler.apply(updated, gone);
    for (const { name, version } of updated) if (isWanted(name)) versions.set(name, version);
    for (const name of gone) versions.delete(name);
  }

  #send(request: DeltaRequest): void {
    const node = this.#nodeSent ? {} : { node: this.#options.node };
    this.#nodeSent = true;
    this.#stream?.write(this.#dialect.encode({ ...request, ...node }));
  }

  #wanted(typeUrl: string): Subscription {
    const subscription = this.#subscriptions.get(typeUrl);
    if (subscription === undefined)
      throw new Error(`Broken invariant: ${typeUrl} is subscribed before its names are set`);
    return subscription;
  }

  #updateState(): void {
    if (this.#stream === undefined) return;
    const open = [...this.#subscriptions.values()].filter(({ names, answered }) => names.size > 0 && !answered);
    this.#setState(open.length === 0 ? "synced" : "connected");
  }

  #setState(state: AdsState): void {
    if (state === this.#state) return;
    this.#state = state;
    for (const listener of this.#listeners) listener(state);
  }
}

function decodeNamed(typeUrl: string, name: string, value: Uint8Array): unknown {
  try {
    return decodeResource(typeUrl, value);
  } catch (error) {
    throw new Error(`Cannot read ${typeUrl.slice(typeUrl.lastIndexOf(".") + 1)} ${name}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}
