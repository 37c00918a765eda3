/**
 * The filters of one request, and where in their chain each direction is.
 *
 *   FilteredExchange ─▶ requestHead(), requestData()… ─▶ filters in order ─▶ PassOwner.beginExchange()…
 *   FilteredExchange ─▶ responseHead(), responseData()… ─▶ filters in reverse ─▶ PassOwner.passResponseHead()…
 *
 * Each direction is a queue of parts (parts.ts) and a filter at which its first part is stopped, or none. Parts keep
 * their order: behind a stop everything waits. Invariants: a filter sees a part once; what it throws goes to
 * PassOwner.fail(); after end() no filter is called but for its onEnd().
 */
import type { FormatRecord } from "../accesslog/types.ts";
import type { HTTPContext } from "../context.ts";
import type { DataVerdict, EndpointOverride, FilterReply, HttpFilter } from "../filter.ts";
import type { Headers } from "../http1/headers.ts";
import type { RequestHead } from "../http1/request.ts";
import type { ResponseHead } from "../http1/response.ts";
import type { SocketAddress } from "../types.ts";
import { RequestContext, type RequestHeads, SharedRequest } from "./context.ts";
import { type Direction, type Part, clear, dropFirst, newDirection, putInFront, replaceFirst } from "./parts.ts";
import { filterOf, wantEndVerdict, wantVerdict } from "./verdicts.ts";

/** What the pass hands on, and to whom. */
export interface PassOwner {
  readonly context: HTTPContext;
  readonly heads: RequestHeads;
  readonly info: HTTPContextInfo;
  /** Whose answer it is; undefined before there is one. */
  readonly endpoint: SocketAddress | undefined;
  /** What is known of the request so far. */
  readonly facts: FormatRecord;
  beginExchange(head: RequestHead): void;
  passRequestData(data: Buffer): void;
  passRequestEnd(trailers: Headers | undefined): void;
  unblockRequest(): void;
  /** What a resumed request gathered goes out. */
  flush(): void;
  /** The body is wanted, whether it may have to wait or not. */
  continueRequest(): void;
  /** Around what a resumed response sends. */
  cork(): void;
  uncork(): void;
  /** The upstream may go on. */
  continueResponse(): void;
  /** True: it went out, so that nothing else can be answered. */
  passResponseHead(head: ResponseHead): boolean;
  passResponseData(data: Buffer): boolean;
  passResponseEnd(trailers: Headers | undefined): void;
  /** `isInResponse`: a response is on its way through the filters. */
  replyInstead(reply: FilterReply, isInResponse: boolean): void;
  fail(name: string, error: unknown): void;
}

/** Bytes of a body held behind a "stop" before the sender is told to wait. */
const heldBytesMax: number = 64 * 1024;

const tooLarge: FilterReply = { status: 413, body: "Payload Too Large", details: "request_payload_too_large" };

type HTTPContextInfo = SharedRequest["connection"];

interface Placed {
  readonly name: string;
  readonly filter: HttpFilter;
  readonly context: RequestContext;
}

export class FilterPass {
  readonly #owner: PassOwner;
  readonly #placed: readonly Placed[];
  readonly #shared: SharedRequest;
  readonly #request: Direction = newDirection();
  readonly #response: Direction = newDirection();
  #isOver = false;
  /** An answer is under way: nobody sees more of the request. */
  #isAnswered = false;
  /** Calls of filters that have not returned. */
  #calls = 0;
  /** What one of them answered: it waits for the call to return. */
  #pending: FilterReply | undefined;
  #isBypassed = false;
  #isWritable = true;
  /** The filter that wants the whole request behind its stop, and most bytes of it. */
  #gathering: { readonly at: number; readonly bytesMax: number } | undefined;
  /** How long the whole body is, once it was gathered. */
  gatheredBytes: number | undefined;
  hasSentResponse = false;
  /** Where the first try is to go. */
  endpointOverride: EndpointOverride | undefined;

  constructor(owner: PassOwner) {
    this.#owner = owner;
    this.#shared = new SharedRequest(owner.context, owner.info, owner.heads, {
      resume: (at, data) => this.#resume(at, data),
      gather: (at, bytesMax) => {
        this.#gathering = { at, bytesMax };
        owner.continueRequest();
      },
      override: (override) => (this.endpointOverride = override),
      endpoint: () => owner.endpoint,
      facts: () => owner.facts,
      reply: (reply) => this.reply(reply),
      call: (callback) => {
        this.#guard("callback", callback);
      },
      fail: (error) => owner.fail("callback", error),
    });
    const placed: Placed[] = [];
    for (const factory of owner.context.filters) {
      const filter = filterOf(factory);
      if (filter === undefined) continue;
      placed.push({ name: factory.name, filter, context: new RequestContext(this.#shared, placed.length) });
    }
    this.#placed = placed;
  }

  /** The downstream must wait until less is held. Where a body is gathered, what is too much ends the request. */
  get isRequestFull(): boolean {
    return this.#request.heldBytes > heldBytesMax && this.#gathering?.at !== this.#request.at;
  }

  /** No body of the request waits. */
  get isRequestEmpty(): boolean {
    return !this.#request.queue.some((part) => part.kind !== "head");
  }

  /** The body may come out longer or shorter than it came. */
  get changesRequestData(): boolean {
    return this.#placed.some(({ filter }) => "onRequestData" in filter || "onRequestEnd" in filter);
  }

  get changesResponseData(): boolean {
    return this.#placed.some(
      ({ filter }) => filter.passesResponseData !== true && ("onResponseData" in filter || "onResponseEnd" in filter),
    );
  }

  requestHead(isWhole: boolean): void {
    this.#push(this.#request, { kind: "head", isWhole });
  }

  requestData(data: Buffer): void {
    if (this.#isAnswered) return;
    if (this.#isBypassed) return this.#owner.passRequestData(data);
    this.#push(this.#request, { kind: "data", data });
    this.#checkGathered();
  }

  requestEnd(trailers: Headers | undefined): void {
    if (this.#isAnswered) return;
    if (this.#isBypassed) return this.#owner.passRequestEnd(trailers);
    this.#push(this.#request, { kind: "end", trailers });
    this.#checkGathered();
  }

  responseHead(head: ResponseHead, isWhole: boolean): void {
    this.#shared.begin(head);
    this.#push(this.#response, { kind: "head", isWhole });
  }

  /** The whole of an answer of the proxy's own. */
  answer(head: ResponseHead, body: Buffer): void {
    this.#isAnswered = true;
    this.#gathering = undefined;
    clear(this.#request);
    this.responseHead(head, body.length === 0);
    if (body.length > 0 && !this.#isOver) this.responseData(body);
    if (!this.#isOver) this.responseEnd(undefined);
  }

  /** An answer instead of what is still to come. */
  reply(reply: FilterReply): void {
    if (this.#isOver || this.hasSentResponse) return;
    if (this.#calls > 0) this.#pending ??= reply;
    else this.#owner.replyInstead(reply, this.#shared.response !== undefined);
  }

  /** False when the downstream takes no more for now, or a filter holds it. */
  responseData(data: Buffer): boolean {
    if (this.#isBypassed) return this.#owner.passResponseData(data);
    this.#isWritable = true;
    this.#push(this.#response, { kind: "data", data });
    return this.#isWritable;
  }

  responseEnd(trailers: Headers | undefined): void {
    if (this.#isBypassed) this.#owner.passResponseEnd(trailers);
    else this.#push(this.#response, { kind: "end", trailers });
  }

  /** What comes of the response waits for a filter. */
  get isResponseStopped(): boolean {
    return this.#response.isStopped;
  }

  /** A tunnel's bytes are nobody's to look at. */
  bypass(): void {
    this.#isBypassed = true;
    // No answer may get between them.
    this.hasSentResponse = true;
  }

  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#shared.isOver = true;
    for (const { name, filter, context } of this.#placed) this.#guard(name, () => filter.onEnd?.(context));
  }

  #push(direction: Direction, part: Part): void {
    direction.queue.push(part);
    if (part.kind === "data") direction.heldBytes += part.data.length;
    this.#run(direction);
  }

  /** Of the filter at that place, by its own stop. Where both directions wait for it, it is the response's turn. */
  #resume(at: number, data?: Buffer): void {
    if (this.#response.isStopped && at === this.#placed.length - 1 - this.#response.at)
      return this.#goOn(this.#response, data);
    if (this.#request.isStopped && at === this.#request.at && !this.#isAnswered) this.#goOn(this.#request, data);
  }

  #goOn(direction: Direction, data?: Buffer): void {
    direction.isStopped = false;
    this.#leave(direction);
    if (data === undefined || !replaceFirst(direction, data)) direction.at++;
    if (direction === this.#response) return this.#resumeResponse();
    this.#run(direction);
    this.#owner.flush();
    if (direction.heldBytes === 0) this.#owner.unblockRequest();
    else this.#checkGathered();
  }

  #resumeResponse(): void {
    const owner = this.#owner;
    this.#isWritable = true;
    owner.cork();
    this.#run(this.#response);
    owner.uncork();
    // The upstream was told to wait.
    if (this.#isWritable && !this.#isOver) owner.continueResponse();
  }

  /** The request goes on once all of it is there; a filter behind the first may gather it, too, and less of it. */
  #checkGathered(): void {
    while (this.#gathering?.at === this.#request.at && this.#request.isStopped && !this.#isOver) {
      const { heldBytes, queue } = this.#request;
      if (heldBytes > this.#gathering.bytesMax) return this.reply(tooLarge);
      if (queue.at(-1)?.kind !== "end") return;
      this.gatheredBytes = heldBytes;
      this.#goOn(this.#request);
    }
  }

  /** Takes parts on until one is stopped or none is left. Calls of filters may call back; the loop goes on by itself. */
  #run(direction: Direction): void {
    if (direction.isRunning) return;
    direction.isRunning = true;
    while (this.#mayStep && !direction.isStopped && direction.queue.length > 0) this.#step(direction);
    direction.isRunning = false;
  }

  get #mayStep(): boolean {
    return !this.#isOver && this.#pending === undefined;
  }

  #step(direction: Direction): void {
    const part = direction.queue[0]!;
    if (direction.at >= this.#placed.length) {
      dropFirst(direction);
      if (direction === this.#request) this.#passRequest(part);
      else this.#passResponse(part);
      return;
    }
    const isRequest = direction === this.#request;
    const placed = this.#placed[isRequest ? direction.at : this.#placed.length - 1 - direction.at]!;
    const verdict = this.#guard(placed.name, () =>
      isRequest ? this.#askRequest(placed, part) : this.#askResponse(placed, part),
    );
    if (!this.#mayStep || verdict === undefined || verdict === "again") return;
    if (verdict === "stop") {
      direction.isStopped = true;
      if (!isRequest) this.#isWritable = false;
      return;
    }
    if (verdict !== "continue" && part.kind === "data") {
      direction.heldBytes += verdict.length - part.data.length;
      direction.queue[0] = { kind: "data", data: verdict };
    }
    this.#leave(direction);
    direction.at++;
  }

  /** The filter at hand has let its part go on: it gathers no more. */
  #leave(direction: Direction): void {
    if (direction === this.#request && this.#gathering?.at === direction.at) this.#gathering = undefined;
  }

  #askRequest({ filter, context }: Placed, part: Part): DataVerdict | "again" {
    if (part.kind === "head")
      return filter.onRequestHeaders === undefined
        ? "continue"
        : wantVerdict(filter.onRequestHeaders(context, part.isWhole));
    if (part.kind === "data")
      return filter.onRequestData === undefined ? "continue" : wantVerdict(filter.onRequestData(context, part.data));
    const before = wantEndVerdict(filter.onRequestEnd?.(context));
    if (before === "stop") return before;
    if (putInFront(this.#request, before)) return "again";
    return part.trailers === undefined
      ? "continue"
      : filter.onRequestTrailers === undefined
        ? "continue"
        : wantVerdict(filter.onRequestTrailers(context, part.trailers));
  }

  #askResponse({ filter, context }: Placed, part: Part): DataVerdict | "again" {
    if (part.kind === "head")
      return filter.onResponseHeaders === undefined
        ? "continue"
        : wantVerdict(filter.onResponseHeaders(context, part.isWhole));
    if (part.kind === "data")
      return filter.onResponseData === undefined ? "continue" : wantVerdict(filter.onResponseData(context, part.data));
    const before = wantEndVerdict(filter.onResponseEnd?.(context));
    if (before === "stop") return before;
    if (putInFront(this.#response, before)) return "again";
    return part.trailers === undefined
      ? "continue"
      : filter.onResponseTrailers === undefined
        ? "continue"
        : wantVerdict(filter.onResponseTrailers(context, part.trailers));
  }

  #passRequest(part: Part): void {
    if (part.kind === "head") this.#owner.beginExchange(this.#shared.request);
    else if (part.kind === "data") this.#owner.passRequestData(part.data);
    else this.#owner.passRequestEnd(part.trailers);
  }

  #passResponse(part: Part): void {
    if (part.kind === "head") {
      this.hasSentResponse = this.#owner.passResponseHead(this.#shared.response!);
    } else if (part.kind === "data") this.#isWritable = this.#owner.passResponseData(part.data);
    else this.#owner.passResponseEnd(part.trailers);
  }

  /** What `call` gives; undefined when it threw, or answered. */
  #guard<Result>(name: string, call: () => Result): Result | undefined {
    const result = this.#call(name, call);
    const reply = this.#pending;
    if (reply === undefined || this.#calls > 0) return result;
    this.#pending = undefined;
    this.reply(reply);
    return undefined;
  }

  #call<Result>(name: string, call: () => Result): Result | undefined {
    this.#calls++;
    try {
      const result: unknown = call();
      // Of an `async` callback, or an `async` onEnd().
      if (result instanceof Promise) result.catch((error: unknown) => this.#failed(name, error));
      return result as Result;
    } catch (error) {
      this.#failed(name, error);
      return undefined;
    } finally {
      this.#calls--;
    }
  }

  #failed(name: string, error: unknown): void {
    if (this.#isOver) this.#owner.context.deps.log.error("Filter failed", { filter: name, error: String(error) });
    else this.#owner.fail(name, error);
  }
}
