/**
 * One request's way through the filters of its chain.
 *
 *   downstream ─▶ start.ts ─▶ FilteredExchange ⇄ Exchange ⇄ upstream
 *
 * Towards the downstream it is the exchange, towards the exchange it is the downstream. The exchange begins once every
 * filter has let the head pass. What is held behind a "stop" is bounded: the downstream is told to wait once
 * 64 KiB are there, and an upstream is by its own back-pressure.
 *
 * An answer of the proxy's own, be it the exchange's or a filter's, passes all filters as a response does, and goes out
 * in one piece behind the last. What a filter answers in a response goes out as it is: so it does in Envoy, and so
 * filters cannot answer each other for ever. Invariant: once an answer is under way no filter sees more of the request.
 */
import { copyRecord } from "../accesslog/record.ts";
import type { FormatRecord } from "../accesslog/types.ts";
import type { ConnectionInfo, HTTPContext } from "../context.ts";
import { Exchange } from "../exchange.ts";
import type { FilterReply } from "../filter.ts";
import { type Headers, headerValue, hopHeaders } from "../http1/headers.ts";
import type { RequestHead } from "../http1/request.ts";
import type { ResponseHead } from "../http1/response.ts";
import { chunkedBody } from "../http1/framing.ts";
import { type RenderedReply, headOfReply } from "../reply.ts";
import {
  type DownstreamHandler,
  type DownstreamStream,
  type Loan,
  type ResponseOptions,
  neverFree,
} from "../stream.ts";
import type { SocketAddress } from "../types.ts";
import { continued, localReplyOf, withLength } from "./messages.ts";
import type { RequestHeads } from "./context.ts";
import { FilterPass, type PassOwner } from "./pass.ts";

interface OwnAnswer {
  readonly reply: RenderedReply;
  readonly isRequestWhole: boolean;
  /** As the filters have changed it. */
  head: ResponseHead;
  readonly chunks: Buffer[];
}

const noBytes: Buffer = Buffer.alloc(0);

export class FilteredExchange implements DownstreamHandler, DownstreamStream, PassOwner {
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
  /** An answer of the proxy's own that is on its way through the filters. */
  #answer: OwnAnswer | undefined;
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
    return this.#answer === undefined ? this.#exchange?.endpoint : undefined;
  }

  get facts(): FormatRecord {
    return copyRecord(this.#exchange ?? this.#routed());
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
    if (!this.#pass.isResponseStopped) this.continueResponse();
  }

  flush(): void {
    this.#exchange?.flush();
  }

  onDownstreamGone(): void {
    if (this.#isOver) return;
    this.#end();
    (this.#exchange ?? this.#unrouted()).onDownstreamGone();
  }

  onDownstreamError(status: number, sentence: string): void {
    // Behind an answer that is on its way the connection ends: the request is not whole.
    if (this.#exchange !== undefined) return this.#exchange.onDownstreamError(status, sentence);
    if (!this.#isOver) this.#pass.reply({ status, flag: "DPE", sentence, body: `${sentence}\n` });
  }

  onTimeout(kind: "route" | "idle"): void {
    const exchange = this.#exchange;
    if (exchange?.isOver === false) return exchange.onTimeout(kind);
    // A filter holds the request, or what is left of the response.
    const sentence = "Cannot finish request: a filter took too long";
    if (!this.#isOver) this.#failWith({ status: 504, flag: "SI", sentence, body: `${sentence}\n` });
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
    if (this.#answer === undefined) this.#exchange?.onDownstreamDrain();
  }

  passResponseHead(head: ResponseHead): boolean {
    const exchange = this.#exchange!;
    if (exchange.status !== head.status) exchange.givenStatus ||= exchange.status;
    exchange.status = head.status;
    exchange.response = head;
    if (this.#answer !== undefined) {
      this.#answer.head = head;
      return false;
    }
    exchange.isHeadSent = true;
    const options = this.#options!;
    // A filter that may change the body makes its length unknown.
    if (options.framing.kind !== "length" || !this.#pass.changesResponseData) this.#downstream.sendHead(head, options);
    else {
      const sent = { ...head, hop: { ...head.hop, contentLength: undefined } };
      this.#downstream.sendHead(sent, { ...options, framing: chunkedBody });
    }
    return true;
  }

  passResponseData(data: Buffer): boolean {
    if (this.#answer !== undefined) {
      this.#answer.chunks.push(data);
      return true;
    }
    // Nothing may be behind the head of an answer to HEAD and the like, whatever a filter gives.
    return this.#options?.framing.kind === "none" ? true : this.#downstream.sendBody(data);
  }

  passResponseEnd(trailers: Headers | undefined): void {
    if (this.#answer !== undefined) return this.#finish(this.#answer);
    this.#end();
    this.#exchange?.tell();
    this.#downstream.end(trailers);
  }

  replyInstead(reply: FilterReply, isInResponse: boolean): void {
    const exchange = this.#exchange ?? this.#unrouted();
    const rendered = exchange.answerInstead(localReplyOf(reply), reply.details);
    if (isInResponse) this.#send(rendered, this.#isRequestWhole);
    else this.reply(rendered, this.#isRequestWhole);
  }

  fail(name: string, error: unknown): void {
    this.context.deps.log.error("Filter failed", { filter: name, error: String(error) });
    this.#failWith({ status: 500, body: "Cannot finish request: a filter failed\n" });
  }

  /** A reset, where the downstream has got a part of the response. */
  #failWith(reply: FilterReply): void {
    if (!this.#pass.hasSentResponse) return this.#pass.reply(reply);
    this.#end();
    this.#exchange?.onDownstreamGone();
    this.#downstream.reset();
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

  /** Its exchange has stopped, and is told when the filters have seen the answer. */
  reply(reply: RenderedReply, isRequestWhole: boolean): void {
    if (this.#isOver) return;
    const head = headOfReply(reply);
    this.#answer = { reply, isRequestWhole, head, chunks: [] };
    const isHead = this.heads.received.method === "HEAD";
    this.#pass.answer(head, isHead ? noBytes : Buffer.from(reply.body));
  }

  #finish({ reply, isRequestWhole, head, chunks }: OwnAnswer): void {
    const { status, headers } = head;
    const isHead = this.heads.received.method === "HEAD";
    const body = isHead ? reply.body : Buffer.concat(chunks);
    if (!isHead) this.#exchange!.responseBytes = body.length;
    const pairs = headers.names
      .map((name, at) => [name, headers.values[at]!] as const)
      .filter((_pair, at) => !hopHeaders.has(headers.keys[at]!));
    this.#send({ ...reply, status, headers: pairs, body }, isRequestWhole);
  }

  #send(reply: RenderedReply, isRequestWhole: boolean): void {
    this.#end();
    this.#exchange?.tell();
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

  /** Of a request that no filter has let pass to its route. */
  #unrouted(): Exchange {
    return (this.#exchange = this.#routed());
  }

  /** One that has a route and does not start. */
  #routed(): Exchange {
    const exchange = new Exchange(this, this.context, this.heads.head, this.#startMs);
    exchange.received = this.heads.received;
    exchange.findRoute();
    return exchange;
  }
}
