/**
 * What is sent of one request: to each of its tries, and to the clusters that get a copy.
 *
 *   forwarding.ts (body, end) ─▶ RequestSource ─▶ sendTo(stream): head, what is held of the body, end
 *                                            └─▶ shadows.ts
 *
 * Invariant: every try gets the same bytes, or none.
 */
import type { HTTPContext } from "./context.ts";
import type { ExchangeFacts } from "./exchange-facts.ts";
import type { Headers } from "./http1/headers.ts";
import type { OutgoingRequest } from "./http1/write.ts";
import { Replay } from "./replay.ts";
import { headOfTry } from "./route/change-head.ts";
import type { ForwardPlan } from "./route/plan.ts";
import { Shadows } from "./shadows.ts";
import type { UpstreamStream } from "./stream.ts";

export class RequestSource {
  readonly #facts: ExchangeFacts;
  readonly #plan: ForwardPlan;
  readonly #request: OutgoingRequest;
  readonly #replay = new Replay();
  #shadows: Shadows | undefined;
  #trailers: Headers | undefined;

  constructor(facts: ExchangeFacts, plan: ForwardPlan, { requestHeaders: added }: HTTPContext) {
    this.#facts = facts;
    this.#plan = plan;
    const { destination } = facts.connection;
    this.#request = {
      head: plan.head,
      added,
      addedLines: added === undefined ? "" : added.lines(facts.head, plan.head),
      authority: destination === undefined ? plan.cluster : `${destination.address}:${destination.port}`,
    };
  }

  /** The whole body so far is held, so that it can be sent again. */
  get isReplayable(): boolean {
    return this.#replay.isWhole;
  }

  /** Begins the copies of the request, whose answers nobody reads. */
  mirror(context: HTTPContext): void {
    this.#shadows = new Shadows(this.#request, this.#plan, context, this.#facts.isRequestWhole);
  }

  /** While there is no connection nothing may be dropped. False: no more may come until there is. */
  hold(slice: Buffer): boolean {
    this.#shadows?.body(slice);
    this.#replay.hold(slice);
    return !this.#replay.isFull;
  }

  /** `slice` was sent. It is held for another try, as long as there may be one. */
  sent(slice: Buffer, mayRetry: boolean): void {
    this.#shadows?.body(slice);
    const replay = this.#replay;
    if (!mayRetry || !replay.isWhole) return;
    replay.hold(slice);
    if (replay.isFull) replay.drop();
  }

  end(trailers: Headers | undefined): void {
    this.#trailers = trailers;
    this.#shadows?.end(trailers);
  }

  /** Nothing is sent again. */
  close(): void {
    this.#replay.close();
  }

  /** Sends what there is so far. False when the upstream takes no more for now. */
  sendTo(stream: UpstreamStream, isTimeoutRetry: boolean): boolean {
    const { slices } = this.#replay;
    const { isRequestWhole } = this.#facts;
    const isWhole = isRequestWhole && slices.length === 0 && this.#trailers === undefined;
    let isWritable = stream.sendHead(this.#requestOfTry(isTimeoutRetry), isWhole);
    for (const slice of slices) isWritable = stream.sendBody(slice);
    if (this.#replay.isFull || this.#plan.route.retry === undefined) this.#replay.drop();
    if (isRequestWhole) stream.end(this.#trailers);
    return isWritable;
  }

  #requestOfTry(isTimeoutRetry: boolean): OutgoingRequest {
    const plan = this.#plan;
    if (plan.changes === undefined) return this.#request;
    const { attempts: attempt, endpoint } = this.#facts;
    const head = headOfTry(plan, { attempt, endpointHost: endpoint!.hostname, isTimeoutRetry });
    return head === plan.head ? this.#request : { ...this.#request, head };
  }
}
