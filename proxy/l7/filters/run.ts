/**
 * One request's way through the filters of its chain; without filters, straight to the exchange.
 *
 *   downstream ─▶ startExchange() ─▶ Exchange                                      (no filters)
 *   downstream ─▶ startExchange() ─▶ FilteredExchange ⇄ Exchange ⇄ upstream        (filters)
 *
 * Towards the downstream it is the exchange, towards the exchange it is the downstream. The exchange begins once every
 * filter has let the head pass. What is held behind a "stop" is bounded: the downstream is told to wait once
 * 64 KiB are there, and an upstream is by its own back-pressure.
 */
import type { ConnectionInfo, ExchangeRecord, HTTPContext } from "../context.ts";
import { Exchange } from "../exchange.ts";
import type { FilterReply } from "../filter.ts";
import { type Headers, headerValue } from "../http1/headers.ts";
import type { RequestHead } from "../http1/request.ts";
import type { ResponseHead } from "../http1/response.ts";
import { chunkedBody } from "../http1/framing.ts";
import { mapReply } from "../local-reply.ts";
import type { LocalReply } from "../reply.ts";
import {
  type DownstreamHandler,
  type DownstreamStream,
  type Loan,
  type ResponseOptions,
  neverFree,
} from "../stream.ts";
import { routeInfoOf } from "../route/plan.ts";
import { prepareHead } from "../route/policy.ts";
import type { SocketAddress } from "../types.ts";
import { continued, localReplyOf, withLength } from "./messages.ts";
import type { RequestHeads } from "./context.ts";
import { FilterPass, type PassOwner } from "./pass.ts";

/** What serves the request `head`, which is under way from now on; start() begins. */
export function startExchange(
  downstream: DownstreamStream,
  context: HTTPContext,
  head: RequestHead,
  startMs: number,
): DownstreamHandler {
  context.load.requests++;
  if (context.filters.length === 0) return new Exchange(downstream, context, head, startMs);
  const prepared = prepareHead(head, context.policy, {
    connection: downstream.info,
    newRequestId: context.newRequestId,
  });
  // What the listener itself answers is no filter's to see.
  if (prepared.kind !== "head") return new Exchange(downstream, context, head, startMs);
  return new FilteredExchange(downstream, context, { received: head, head: prepared.head }, startMs);
}

class FilteredExchange implements DownstreamHandler, DownstreamStream, PassOwner {
  readonly context: HTTPContext;
  readonly heads: RequestHeads;
  readonly info: ConnectionInfo;
  readonly #downstream: DownstreamStream;
  readonly #pass: FilterPass;
  readonly #startMs: number;
  #exchange: Exchange | undefined;
  #options: ResponseOptions | undefined;
  #isRequestWhole = false;
  /** The exchange wants nothing more of the request for now. */
  #isUpstreamFull = false;
  #isOver = false;

  constructor(downstream: DownstreamStream, context: HTTPContext, heads: RequestHeads, startMs: number) {
    this.#downstream = downstream;
    this.context = context;
    this.heads = heads;
    this.info = downstream.info;
    this.#startMs = startMs;
    this.#pass = new FilterPass(this);
  }

  get endpoint(): SocketAddress | undefined {
    return this.#exchange?.endpoint;
  }

  // From the downstream.

  start(isWhole: boolean): void {
    this.#isRequestWhole = isWhole;
    this.#pass.requestHead(isWhole);
  }

  onRequestBody(slice: Buffer): void {
    if (this.#isOver) return;
    this.#pass.requestData(slice);
    if (this.#pass.isRequestFull) this.#downstream.setBlocked(true);
  }

  onRequestEnd(trailers: Headers | undefined): void {
    this.#isRequestWhole = true;
    if (!this.#isOver) this.#pass.requestEnd(trailers);
  }

  onDownstreamDrain(): void {
    if (!this.#pass.isResponseStopped) this.#exchange?.onDownstreamDrain();
  }

  flush(): void {
    this.#exchange?.flush();
  }

  onDownstreamGone(): void {
    if (this.#isOver) return;
    const exchange = this.#exchange;
    this.#end();
    if (exchange === undefined) this.#tell(this.#recordOf({ status: 0, flag: "DC" }, 0));
    else exchange.onDownstreamGone();
  }

  onDownstreamError(status: number, sentence: string): void {
    if (this.#exchange !== undefined) return this.#exchange.onDownstreamError(status, sentence);
    if (!this.#isOver) this.#replyAlone({ status, flag: "DPE", sentence });
  }

  onTimeout(kind: "route" | "idle"): void {
    if (this.#exchange !== undefined) return this.#exchange.onTimeout(kind);
    if (!this.#isOver)
      this.#replyAlone({ status: 504, flag: "SI", sentence: "Cannot finish request: a filter took too long" });
  }

  // From the filters.

  beginExchange(head: RequestHead): void {
    const { changesRequestData, endpointOverride, gatheredBytes } = this.#pass;
    let sent = head;
    if (head.framing.kind === "length" && changesRequestData) sent = withLength(head, undefined);
    else if (head.framing.kind !== "length" && !changesRequestData && gatheredBytes !== undefined)
      sent = withLength(head, gatheredBytes);
    const exchange = new Exchange(this, this.context, sent, this.#startMs);
    this.#exchange = exchange;
    exchange.received = this.heads.received;
    exchange.endpointOverride = endpointOverride;
    exchange.start(this.#isRequestWhole && this.#pass.isRequestEmpty);
  }

  passRequestData(data: Buffer): void {
    this.#exchange?.onRequestBody(data);
  }

  passRequestEnd(trailers: Headers | undefined): void {
    this.#exchange?.onRequestEnd(trailers);
  }

  /** Nothing is held any more: the downstream may go on, as far as filters are asked. */
  unblockRequest(): void {
    this.#updateBlocked();
  }

  continueRequest(): void {
    this.#updateBlocked();
    if (headerValue(this.heads.received.headers, "expect")?.toLowerCase() === "100-continue")
      this.#downstream.sendInterim(continued);
  }

  continueResponse(): void {
    this.#exchange?.onDownstreamDrain();
  }

  passResponseHead(head: ResponseHead): void {
    const options = this.#options!;
    // A filter that may change the body makes its length unknown.
    if (options.framing.kind !== "length" || !this.#pass.changesResponseData)
      return this.#downstream.sendHead(head, options);
    const sent = { ...head, hop: { ...head.hop, contentLength: undefined } };
    this.#downstream.sendHead(sent, { ...options, framing: chunkedBody });
  }

  passResponseData(data: Buffer): boolean {
    // Nothing may be behind the head of an answer to HEAD and the like, whatever a filter gives.
    return this.#options?.framing.kind === "none" ? true : this.#downstream.sendBody(data);
  }

  passResponseEnd(trailers: Headers | undefined): void {
    this.#end();
    this.#downstream.end(trailers);
  }

  replyInstead(reply: FilterReply): void {
    const local = localReplyOf(reply);
    const exchange = this.#exchange;
    if (exchange === undefined) return this.#replyAlone(local, reply.details);
    this.#end();
    exchange.details = reply.details;
    const mapped = mapReply(local, exchange, this.context);
    // Its record says what was answered; what it still sends goes nowhere.
    exchange.onAnswered(mapped.status, mapped.flag);
    this.#downstream.reply(mapped, this.#isRequestWhole);
  }

  fail(name: string, error: unknown): void {
    this.context.deps.log.error("Filter failed", { filter: name, error: String(error) });
    if (this.#options !== undefined && this.#pass.hasSentResponse) {
      this.#end();
      this.#exchange?.onDownstreamGone();
      return this.#downstream.reset();
    }
    this.replyInstead({ status: 500, body: "Cannot finish request: a filter failed\n" });
  }

  // From the exchange.

  cork(): void {
    this.#downstream.cork();
  }

  uncork(): Loan {
    this.#downstream.uncork();
    // A filter may hold what it was given.
    return neverFree;
  }

  sendInterim(head: ResponseHead): void {
    if (!this.#isOver) this.#downstream.sendInterim(head);
  }

  sendHead(head: ResponseHead, options: ResponseOptions): void {
    if (this.#isOver) return;
    this.#options = options;
    const { framing } = options;
    this.#pass.responseHead(head, framing.kind === "none" || (framing.kind === "length" && framing.bytes === 0));
  }

  sendBody(slice: Buffer): boolean {
    return this.#isOver ? true : this.#pass.responseData(slice);
  }

  end(trailers: Headers | undefined): void {
    if (!this.#isOver) this.#pass.responseEnd(trailers);
  }

  reply(reply: LocalReply, isRequestWhole: boolean): void {
    if (this.#isOver) return;
    this.#end();
    this.#downstream.reply(reply, isRequestWhole);
  }

  openTunnel(head: ResponseHead): void {
    this.#pass.bypass();
    this.#downstream.openTunnel(head);
  }

  reset(): void {
    this.#end();
    this.#downstream.reset();
  }

  handBack(): void {
    this.#end();
    this.#downstream.handBack();
  }

  setBlocked(isBlocked: boolean): void {
    this.#isUpstreamFull = isBlocked;
    this.#updateBlocked();
  }

  /** The downstream waits for both: what filters hold, and the upstream. */
  #updateBlocked(): void {
    this.#downstream.setBlocked(this.#isUpstreamFull || this.#pass.isRequestFull);
  }

  touch(): void {
    this.#downstream.touch();
  }

  setDeadline(dueMs: number): void {
    this.#downstream.setDeadline(dueMs);
  }

  setIdle(idleMs: number): void {
    this.#downstream.setIdle(idleMs);
  }

  #end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#pass.end();
  }

  #replyAlone(reply: LocalReply, details?: string): void {
    this.#end();
    const { status, flag } = reply;
    const mapped = mapReply(reply, { ...this.#recordOf({ status, flag }, 0), details }, this.context);
    const bytes = Buffer.byteLength(mapped.body ?? mapped.sentence);
    this.#tell({ ...this.#recordOf(mapped, bytes), details });
    this.#downstream.reply(mapped, this.#isRequestWhole);
  }

  #tell(record: ExchangeRecord): void {
    this.context.load.requests--;
    this.context.observer.onExchange(record);
  }

  /** Of a request that no exchange has begun. */
  #recordOf({ status, flag }: Pick<LocalReply, "status" | "flag">, responseBytes: number): ExchangeRecord {
    const info = routeInfoOf({ connection: this.info, random: this.context.random });
    const { head, received } = this.heads;
    const route = this.context.routes()?.find(head, info);
    return {
      routeName: route?.name,
      virtualHostName: route?.hostName,
      connection: this.info,
      head,
      received,
      cluster: undefined,
      endpoint: undefined,
      status,
      flag,
      requestBytes: 0,
      responseBytes,
      durationMs: this.context.deps.nowMs() - this.#startMs,
    };
  }
}
