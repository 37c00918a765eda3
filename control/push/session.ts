/**
 * One delta ADS stream as a state machine without I/O: requests and changes in, responses out.
 *
 *   server.ts: onRequest(), onChanges() ─▶ state per type ─▶ next() ─▶ server.ts writes
 *
 * Rules (Envoy's xds_protocol.rst, reference in README.md):
 * - At most one response of a type is outstanding; what changes meanwhile merges into the next.
 * - Make before break: CDS → EDS → LDS → RDS. LDS and RDS wait until new clusters and endpoints are acknowledged,
 *   removals of clusters and endpoints wait until listeners and routes that no longer name them are.
 * - A rejected resource is not sent again until it changes.
 * Invariant: `sent` is what the client was told of each name; a name in it is told of its removal.
 * The state is changed in place rather than copied: it has an entry for each resource of each client.
 * One file of 340 lines, because each rule is about the same state and most are about each other.
 */
import type { DeltaRequest } from "#api/xds/discovery.ts";
import { typeUrls } from "#api/xds/envoy.ts";
import { PushQueue } from "./queue.ts";

/** A resource, ready to be copied into responses. */
export interface PushedResource {
  readonly version: string;
  readonly wire: Uint8Array;
}

/** What the client may see. */
export interface SessionView {
  readonly scopes: readonly string[];
  get(typeUrl: string, name: string): PushedResource | undefined;
  names(typeUrl: string): Iterable<string>;
}

/** scope → type URL → names. */
export type SessionChanges = ReadonlyMap<string, ReadonlyMap<string, ReadonlySet<string>>>;

export interface Push {
  readonly typeUrl: string;
  readonly nonce: string;
  readonly encodedResources: readonly Uint8Array[];
  readonly removed: readonly string[];
}

/** What came of a request. `convergedMs`: from the oldest change in the acknowledged push until now. */
export interface RequestOutcome {
  readonly kind: "ack" | "nack" | "none";
  readonly typeUrl: string;
  readonly convergedMs?: number;
}

/** One type of a client, for `wherry status`. */
export interface TypeStatus {
  readonly typeUrl: string;
  /** Names that the client was sent and not told the removal of. */
  readonly resources: number;
  readonly outstanding: boolean;
  readonly pending: number;
  readonly merged: number;
  readonly nacks: number;
  /** Message of the last rejection; empty when the last answer was no rejection. */
  readonly nackMessage: string;
}

interface Outstanding {
  readonly nonce: string;
  /** Whether the push brings names that the client did not have. */
  readonly adds: boolean;
  readonly sinceMs: number | undefined;
}

interface Subscription {
  readonly typeUrl: string;
  readonly names: Set<string>;
  wildcard: boolean;
  /** Every name of the view is to be looked at: the wildcard is new. */
  enumerate: boolean;
  /** Something was answered, be it nothing: the client may be waiting to hear that there is nothing. */
  answered: boolean;
  /** name → version told; `untold` when the client asked and was not answered yet. */
  readonly sent: Map<string, string>;
  readonly queue: PushQueue;
  /** Names gone, to be told once nothing refers to them. */
  readonly removals: Set<string>;
  outstanding: Outstanding | undefined;
  nacks: number;
  nackMessage: string;
}

const untold = "";
/** Time of what the client asked for rather than what changed: no convergence is measured. */
const noChange = 0;
/** Bytes of resources in one response, beyond which the rest waits for the next. */
const responseBytesMax = 2 * 1024 * 1024;
/** Types beyond these, in the order in which the client asked. */
const order: readonly string[] = [typeUrls.cluster, typeUrls.endpoint, typeUrls.listener, typeUrls.route];
const makers: readonly string[] = [typeUrls.cluster, typeUrls.endpoint];
const users: readonly string[] = [typeUrls.listener, typeUrls.route];

export class Session {
  readonly #view: SessionView;
  readonly #bytesMax: number;
  readonly #subscriptions = new Map<string, Subscription>();
  #nonces = 0;

  constructor(view: SessionView, bytesMax: number = responseBytesMax) {
    this.#view = view;
    this.#bytesMax = bytesMax;
  }

  get scopes(): readonly string[] {
    return this.#view.scopes;
  }

  /** A request of the client: its subscriptions, and what it says of the last response. Stale nonces still subscribe. */
  onRequest(request: DeltaRequest, nowMs: number): RequestOutcome {
    const known = this.#subscriptions.get(request.typeUrl);
    const subscription = known ?? newSubscription(request.typeUrl);
    this.#subscriptions.set(request.typeUrl, subscription);
    const outcome = this.#acknowledge(subscription, request, nowMs);
    if (known === undefined) this.#begin(subscription, request);
    this.#subscribe(subscription, request);
    this.#unsubscribe(subscription, request);
    return outcome;
  }

  /** Names that may look different now; `atMs` is when the first of them changed. */
  onChanges(changes: SessionChanges, atMs: number): void {
    for (const scope of this.#view.scopes)
      for (const [typeUrl, names] of changes.get(scope) ?? []) {
        const subscription = this.#subscriptions.get(typeUrl);
        if (subscription === undefined) continue;
        for (const name of names)
          if (isCovered(subscription, name) || subscription.sent.has(name)) this.#enqueue(subscription, name, atMs);
      }
  }

  /** The next response to write, or undefined when there is none or the client has to acknowledge first. */
  next(): Push | undefined {
    const extra = [...this.#subscriptions.keys()].filter((typeUrl) => !order.includes(typeUrl));
    for (const typeUrl of [...order, ...extra]) {
      const subscription = this.#subscriptions.get(typeUrl);
      if (subscription === undefined || subscription.outstanding !== undefined) continue;
      if (users.includes(typeUrl) && this.#makersBusy()) continue;
      const push = this.#build(subscription);
      if (push !== undefined) return push;
    }
    if (this.#usersBusy()) return undefined;
    for (const typeUrl of makers) {
      const subscription = this.#subscriptions.get(typeUrl);
      if (subscription !== undefined && subscription.outstanding === undefined && subscription.removals.size > 0)
        return this.#remove(subscription);
    }
    return undefined;
  }

  status(): readonly TypeStatus[] {
    return [...this.#subscriptions.values()].map((subscription) => ({
      typeUrl: subscription.typeUrl,
      resources: subscription.sent.size,
      outstanding: subscription.outstanding !== undefined,
      pending: subscription.queue.size + subscription.removals.size,
      merged: subscription.queue.merged,
      nacks: subscription.nacks,
      nackMessage: subscription.nackMessage,
    }));
  }

  #acknowledge(subscription: Subscription, request: DeltaRequest, nowMs: number): RequestOutcome {
    const { typeUrl } = subscription;
    const { outstanding } = subscription;
    if (outstanding === undefined || request.nonce !== outstanding.nonce) return { kind: "none", typeUrl };
    subscription.outstanding = undefined;
    if (request.error !== undefined) {
      // `sent` keeps the rejected versions, so that they are not sent again before they change.
      subscription.nacks++;
      subscription.nackMessage = request.error.message.slice(0, 2000);
      return { kind: "nack", typeUrl };
    }
    subscription.nackMessage = "";
    const { sinceMs } = outstanding;
    return { kind: "ack", typeUrl, ...(sinceMs === undefined ? {} : { convergedMs: nowMs - sinceMs }) };
  }

  /** First request of a type: no names at all means everything (legacy wildcard). */
  #begin(subscription: Subscription, request: DeltaRequest): void {
    if (request.subscribe.length === 0) {
      subscription.wildcard = true;
      subscription.enumerate = true;
    }
    for (const [name, version] of Object.entries(request.initialVersions)) {
      subscription.sent.set(name, version);
      this.#enqueue(subscription, name, noChange);
    }
  }

  #subscribe(subscription: Subscription, { subscribe, initialVersions }: DeltaRequest): void {
    for (const name of subscribe) {
      if (name === "*") {
        subscription.wildcard = true;
        subscription.enumerate = true;
        continue;
      }
      subscription.names.add(name);
      // A name asked for is answered even if it did not change, unless the client says what it has.
      if (initialVersions[name] === undefined) subscription.sent.set(name, untold);
      this.#enqueue(subscription, name, noChange);
    }
  }

  #unsubscribe(subscription: Subscription, { unsubscribe }: DeltaRequest): void {
    for (const name of unsubscribe) {
      if (name === "*") subscription.wildcard = false;
      subscription.names.delete(name);
      if (subscription.wildcard) {
        // The client forgot the name but still wants everything.
        subscription.sent.set(name, untold);
        this.#enqueue(subscription, name, noChange);
      }
    }
    if (unsubscribe.length === 0) return;
    for (const name of subscription.sent.keys())
      if (!isCovered(subscription, name)) {
        subscription.sent.delete(name);
        subscription.queue.delete(name);
        subscription.removals.delete(name);
      }
  }

  #enqueue(subscription: Subscription, name: string, atMs: number): void {
    subscription.queue.add(
      name,
      atMs,
      (waiting) => subscription.sent.has(waiting) || this.#view.get(subscription.typeUrl, waiting) !== undefined,
    );
  }

  /** Whether clusters or endpoints that listeners and routes may need are still on their way. */
  #makersBusy(): boolean {
    const clusters = this.#subscriptions.get(typeUrls.cluster);
    const endpoints = this.#subscriptions.get(typeUrls.endpoint);
    return (
      clusters?.outstanding?.adds === true || endpoints?.outstanding?.adds === true || (clusters?.queue.size ?? 0) > 0
    );
  }

  #usersBusy(): boolean {
    return users.some((typeUrl) => {
      const subscription = this.#subscriptions.get(typeUrl);
      return subscription !== undefined && (subscription.outstanding !== undefined || subscription.queue.size > 0);
    });
  }

  #build(subscription: Subscription): Push | undefined {
    const { typeUrl, queue, sent, removals } = subscription;
    if (subscription.enumerate) {
      subscription.enumerate = false;
      for (const name of this.#view.names(typeUrl)) this.#enqueue(subscription, name, noChange);
    }
    const sinceMs = queue.sinceMs;
    const encodedResources: Uint8Array[] = [];
    const removed: string[] = [];
    let adds = false;
    let bytes = 0;
    for (const name of queue.names()) {
      if (bytes >= this.#bytesMax) break;
      queue.delete(name);
      const resource = isCovered(subscription, name) ? this.#view.get(typeUrl, name) : undefined;
      const told = sent.get(name);
      if (resource === undefined) {
        if (told === undefined) continue;
        if (told !== untold && makers.includes(typeUrl)) removals.add(name);
        else {
          removed.push(name);
          sent.delete(name);
        }
        continue;
      }
      removals.delete(name);
      if (told === resource.version) continue;
      if (told === undefined || told === untold) adds = true;
      else this.#refreshEndpoints(typeUrl, name);
      encodedResources.push(resource.wire);
      bytes += resource.wire.length;
      sent.set(name, resource.version);
    }
    if (encodedResources.length === 0 && removed.length === 0 && subscription.answered) return undefined;
    return this.#push(subscription, {
      encodedResources,
      removed,
      adds,
      sinceMs: sinceMs === noChange ? undefined : sinceMs,
    });
  }

  /** Envoy warms a changed cluster until it hears of its endpoints, even when these did not change. */
  #refreshEndpoints(typeUrl: string, cluster: string): void {
    const endpoints = this.#subscriptions.get(typeUrls.endpoint);
    if (typeUrl !== typeUrls.cluster || endpoints === undefined || !endpoints.names.has(cluster)) return;
    endpoints.sent.set(cluster, untold);
    this.#enqueue(endpoints, cluster, noChange);
  }

  #remove(subscription: Subscription): Push {
    const removed = [...subscription.removals];
    subscription.removals.clear();
    for (const name of removed) subscription.sent.delete(name);
    return this.#push(subscription, { encodedResources: [], removed, adds: false, sinceMs: undefined });
  }

  #push(
    subscription: Subscription,
    {
      encodedResources,
      removed,
      adds,
      sinceMs,
    }: Pick<Push, "encodedResources" | "removed"> & Omit<Outstanding, "nonce">,
  ): Push {
    const nonce = String(++this.#nonces);
    subscription.outstanding = { nonce, adds, sinceMs };
    subscription.answered = true;
    return { typeUrl: subscription.typeUrl, nonce, encodedResources, removed };
  }
}

function newSubscription(typeUrl: string): Subscription {
  return {
    typeUrl,
    names: new Set(),
    wildcard: false,
    enumerate: false,
    answered: false,
    sent: new Map(),
    queue: new PushQueue(),
    removals: new Set(),
    outstanding: undefined,
    nacks: 0,
    nackMessage: "",
  };
}

function isCovered(subscription: Subscription, name: string): boolean {
  return subscription.wildcard || subscription.names.has(name);
}
