/**
 * The tries of one request: those under way, whether there may be another, and what of the cluster's limits they hold.
 *
 *   forwarding.ts ─▶ pick() ─▶ start() [─▶ after() or hedge() ─▶ pick() …] ─▶ choose() ─▶ end()
 *
 * Invariants: what was taken is given back once, whatever way the request ends; one try is the last one, others are
 * under way beside it only where the route hedges.
 */
import { Attempt, type AttemptOwner } from "./attempt.ts";
import type { Cluster } from "./cluster.ts";
import type { HTTPContext } from "./context.ts";
import type { Endpoint } from "./endpoint.ts";
import type { ExchangeFacts } from "./exchange-facts.ts";
import type { RequestSource } from "./request-source.ts";
import type { Limits } from "./resilience/limits.ts";
import { type TriedRequest, type TryEnd, shouldRetry } from "./retry.ts";
import { clientAddress } from "./route/client-address.ts";
import { type RequestHash, hashOf } from "./route/hash.ts";
import type { ForwardPlan } from "./route/plan.ts";

const none: readonly Endpoint[] = [];

/** The request that is tried. */
export interface Tried {
  readonly facts: ExchangeFacts;
  readonly plan: ForwardPlan;
  readonly cluster: Cluster;
  readonly context: HTTPContext;
  readonly source: Pick<RequestSource, "isReplayable">;
}

export class Tries {
  readonly #owner: AttemptOwner;
  readonly #request: Tried;
  readonly #limits: Limits;
  /** Made for the second try. */
  #tried: Endpoint[] | undefined;
  /** Where the route has hash policies. */
  #hash: RequestHash | undefined;
  #holdsRetry = false;
  /** Another try is to be made, now or in a moment. */
  #isNextDue = false;
  #last: Attempt | undefined;
  #hedged: Set<Attempt> | undefined;

  constructor(owner: AttemptOwner, request: Tried) {
    this.#owner = owner;
    this.#request = request;
    this.#limits = request.cluster.limits[request.plan.route.priority];
  }

  /** Undefined while the next one waits for its time, and where only tries whose time passed are under way. */
  get last(): Attempt | undefined {
    return this.#last;
  }

  /** A try whose time passed goes on, or did. */
  get isHedging(): boolean {
    return this.#hedged !== undefined;
  }

  /** How many are over, or have another beside them. */
  get count(): number {
    return this.#tried === undefined ? 0 : this.#tried.length;
  }

  hasTried(endpoint: Endpoint): boolean {
    return this.#tried?.includes(endpoint) ?? false;
  }

  /** The cookie that the request's hash made, for its answer. */
  get setCookie(): string | undefined {
    return this.#hash?.setCookie;
  }

  /** The endpoint for the next try. */
  pick(): Endpoint | undefined {
    const { cluster, context, facts, plan } = this.#request;
    const { destination, remoteAddress } = facts.connection;
    const { hashPolicies } = plan.route;
    const override = this.#tried === undefined ? facts.endpointOverride : undefined;
    if (override !== undefined) {
      const chosen = cluster.healthyAt(override.to);
      if (chosen !== undefined || override.isStrict) return chosen;
    }
    if (hashPolicies.length > 0 && this.#hash === undefined) {
      const newCookie = (): string => Buffer.from(context.deps.random.bytes(8)).toString("hex");
      const { headers } = facts.received ?? facts.head;
      const sourceAddress = (): string => clientAddress(headers, context.policy, remoteAddress);
      this.#hash = hashOf(hashPolicies, plan.head, { sourceAddress, newCookie });
    }
    const hash = this.#hash?.hash;
    // Who is found by a hash stays the one (Envoy); where the turn decides, another is always better.
    const mayMove = hash === undefined || plan.route.retry?.retriesOtherHosts === true;
    const tried = (mayMove ? this.#tried : undefined) ?? none;
    return cluster.pick({ tried, destination, hash, metadataMatch: plan.metadataMatch });
  }

  /** A try at `endpoint`, from `nowMs` on. */
  start(endpoint: Endpoint, nowMs: number): Attempt {
    const { cluster, context } = this.#request;
    const attempt = new Attempt(this.#owner, endpoint, { cluster, limits: this.#limits, deps: context.deps, nowMs });
    this.#last = attempt;
    this.#isNextDue = false;
    return attempt;
  }

  /** The last try has a connection and the request is whole: its times begin (Envoy's UpstreamRequest). */
  startTimes(): void {
    const { perTryTimeoutMs: tryMs, route } = this.#request.plan;
    const idleMs = route.retry === undefined ? 0 : route.retry.perTryIdleMs;
    // What was sent may have ended it at once, so that another has taken its place.
    if ((tryMs > 0 || idleMs > 0) && this.#last?.stream !== undefined) this.#last.setTimes({ tryMs, idleMs });
  }

  /**
   * What follows the end of `attempt`: another try, for which there is room; the answer of one that is under way; or
   * nothing, so that its end is that of the request.
   */
  after(attempt: Attempt, end: TryEnd): "retry" | "wait" | "nothing" {
    if (attempt === this.#last && this.#mayRetry(attempt, end)) {
      this.#drop(attempt);
      return "retry";
    }
    if (!this.#hasOthers(attempt) || (end.kind === "head" && !this.#isWanted(end))) return "nothing";
    this.#drop(attempt);
    return "wait";
  }

  /** True when another try is to be made beside `attempt`, whose time has passed. It goes on in any case. */
  hedge(attempt: Attempt): boolean {
    if (attempt !== this.#last || !this.#mayRetry(attempt, { kind: "timeout" })) return false;
    (this.#hedged ??= new Set()).add(attempt);
    this.#last = undefined;
    return true;
  }

  /** There is no room for it. True: others are under way beside it, and it is given up. */
  dropped(attempt: Attempt): boolean {
    if (!this.#hasOthers(attempt)) return false;
    this.#drop(attempt);
    return true;
  }

  /** It is the one that answers. */
  choose(attempt: Attempt): void {
    if (this.#hedged === undefined) return;
    this.#hedged.delete(attempt);
    if (attempt !== this.#last) this.#last?.cancel();
    this.#last = attempt;
    this.#request.facts.endpoint = attempt.endpoint;
    this.#request.facts.upstream = attempt.stream;
    this.#cancelHedged();
  }

  /** The request is over. `isDelivering`: what is on its way still arrives. */
  end(isDelivering: boolean): void {
    if (isDelivering) this.#last?.end();
    else this.#last?.cancel();
    this.#last = undefined;
    this.#cancelHedged();
    this.#releaseRetry();
  }

  /** One beside `attempt` is under way, or about to be. */
  #hasOthers(attempt: Attempt): boolean {
    if (this.#isNextDue || (this.#last !== undefined && this.#last !== attempt)) return true;
    const hedged = this.#hedged;
    return hedged !== undefined && hedged.size > (hedged.has(attempt) ? 1 : 0);
  }

  #mayRetry({ endpoint }: Attempt, end: TryEnd): boolean {
    const wasRetry = this.#holdsRetry;
    this.#releaseRetry();
    const { plan, facts, cluster } = this.#request;
    if (plan.route.retry === undefined) return false;
    if (!this.#isWanted(end)) {
      if (wasRetry && end.kind === "head") cluster.tryCounts.retrySuccesses++;
      return false;
    }
    if (this.count >= plan.retriesMax) {
      cluster.tryCounts.retryLimitsExceeded++;
      // Unless something else is told of the request in the end.
      facts.flag = "URX";
      return false;
    }
    this.#holdsRetry = this.#limits.take("retries");
    if (!this.#holdsRetry) return false;
    this.#isNextDue = true;
    (this.#tried ??= []).push(endpoint);
    this.#request.context.deps.counters.retries++;
    return true;
  }

  /** The policy wants another try after such an end, whatever is left of its number. */
  #isWanted(end: TryEnd): boolean {
    const { context, facts, plan, source } = this.#request;
    const { connection, head } = facts;
    const request: TriedRequest = {
      head,
      isReplayable: source.isReplayable,
      info: {
        isTLS: connection.isTLS === true,
        peerCertificate: connection.peerCertificate ?? "none",
        random: context.random,
      },
    };
    return shouldRetry(plan.route.retry, end, request);
  }

  #drop(attempt: Attempt): void {
    attempt.cancel();
    this.#hedged?.delete(attempt);
    if (attempt === this.#last) this.#last = undefined;
  }

  #cancelHedged(): void {
    if (this.#hedged === undefined) return;
    for (const attempt of this.#hedged) attempt.cancel();
    this.#hedged = undefined;
  }

  #releaseRetry(): void {
    if (!this.#holdsRetry) return;
    this.#holdsRetry = false;
    this.#limits.release("retries");
  }
}
