/**
 * One request, from its head to the end of its response.
 *
 *   downstream (head, body) ─▶ Exchange ─▶ answered here
 *                                    └──▶ forwarding.ts (tries, response) ─▶ DownstreamStream
 *
 * Invariants: exactly one of: a whole response, a local reply, a reset, a hand-back; one record to the observer for
 * each but the hand-back. No body byte is copied. Where filters have yet to see a local reply, whoever sends it tells
 * the record (filters/run.ts): the exchange is stopped before, and told once.
 *
 * Hand-back (inbound, in a mesh): when the local application refuses or breaks the connection before the first byte,
 * the downstream is ended without an answer instead of 503. The calling sidecar knows other endpoints and may retry
 * there; a 503 from here would look like the application's own answer, which nobody may repeat. The caller counts the
 * request.
 */
import { detailsOf } from "./accesslog/details.ts";
import type { HTTPContext } from "./context.ts";
import { ExchangeFacts } from "./exchange-facts.ts";
import { type FailureAnswer, answerToTimeout } from "./failures.ts";
import { Forwarding } from "./forwarding.ts";
import type { ForwardingOwner } from "./forwarding-owner.ts";
import type { Headers } from "./http1/headers.ts";
import type { RequestHead } from "./http1/request.ts";
import { mapReply } from "./local-reply.ts";
import { type LocalReply, type RenderedReply, headOfReply, renderReply } from "./reply.ts";
import { answerHeaders } from "./route/answer.ts";
import { type AnswerPlan, type ForwardPlan, type Plan, planRequest, routeInfoOf } from "./route/plan.ts";
import type { DownstreamHandler, DownstreamStream } from "./stream.ts";
import type { CompiledRoute } from "./route/types.ts";
import type { ResponseFlag } from "./types.ts";

const noHeaders: AnswerPlan["headers"] = [];
/** Answers that Envoy's router gives; others are given before it is asked. */
const ofRouter: ReadonlySet<string> = new Set(["direct_response", "route_not_found"]);

export class Exchange extends ExchangeFacts implements DownstreamHandler, ForwardingOwner {
  readonly #downstream: DownstreamStream;
  readonly #context: HTTPContext;
  readonly #startMs: number;
  #plan: Plan | undefined;
  /** Of a request that is sent on. */
  #forwarding: Forwarding | undefined;
  #isOver = false;
  #isTold = false;
  /** Filters have let a head of the upstream's go to the downstream. */
  isHeadSent = false;
  /** The stream must be done by then, in ms. */
  #streamDueMs = Infinity;
  /** The wall-clock start, from when it was asked for. */
  #wallStartMs: number | undefined;

  constructor(downstream: DownstreamStream, context: HTTPContext, head: RequestHead, startMs: number) {
    super(downstream.info, head);
    this.#downstream = downstream;
    this.#context = context;
    this.#startMs = startMs;
  }

  /** Routes the request and begins the first try. `isWhole`: no body follows. */
  start(isWhole: boolean, nowMs: number = this.#context.deps.nowMs()): void {
    this.isRequestWhole = isWhole;
    if (isWhole && this.head.method !== "CONNECT") this.requestMs = nowMs - this.#startMs;
    const plan = this.#planned(true);
    this.isRouted = plan.kind === "forward" || ofRouter.has(plan.details);
    this.sentHead = plan.head;
    // A request for a tunnel is not whole before the tunnel is.
    if (isWhole && this.head.method !== "CONNECT") this.#startTimeout(nowMs);
    if (plan.kind === "answer") this.#answer(plan);
    else this.#forward(plan);
  }

  /** Its route is known from now on, and nothing chosen by it: of a request that does not start. */
  findRoute(): void {
    const info = routeInfoOf({ connection: this.connection, random: this.#context.random });
    this.route = this.#context.routes()?.find(this.head, info);
  }

  #planned(takesTurn: boolean): Plan {
    const context = this.#context;
    const plan = planRequest(this.head, {
      policy: context.policy,
      connection: this.connection,
      newRequestId: context.newRequestId,
      table: context.routes(),
      corsFilter: context.corsFilter,
      random: context.random,
      clusters: context,
      isPrepared: this.received !== undefined,
      takesTurn,
      record: this,
    });
    this.#plan = plan;
    this.route = plan.route;
    return plan;
  }

  /** Nothing comes of an upstream any more. */
  get isOver(): boolean {
    return this.#isOver;
  }

  #forward(plan: ForwardPlan): void {
    const { route, cluster: name } = plan;
    if (route.idleMs !== undefined) this.#downstream.setIdle(route.idleMs);
    const maxStreamMs = route.maxStreamMs ?? this.#context.maxStreamMs;
    if (maxStreamMs > 0) {
      this.#streamDueMs = this.#startMs + maxStreamMs;
      this.#downstream.setDeadline(this.#streamDueMs);
    }
    const cluster = this.#context.cluster(name);
    this.cluster = cluster;
    if (cluster === undefined) {
      const sentence = `Cannot route request: cluster ${name} of its route is unknown`;
      return this.fail({ status: route.unknownCluster ?? 503, flag: "NC", sentence });
    }
    const forwarding = new Forwarding(this, this.#downstream, this.#context, {
      plan,
      cluster,
      startMs: this.#startMs,
    });
    this.#forwarding = forwarding;
    forwarding.start();
  }

  /** Found once, so that headers and logs say the same. */
  get startMs(): number {
    const { deps } = this.#context;
    return (this.#wallStartMs ??= deps.wallMs() - (deps.nowMs() - this.#startMs));
  }

  get elapsedMs(): number | undefined {
    return this.#isTold ? undefined : this.#context.deps.nowMs() - this.#startMs;
  }

  // Downstream side.

  onRequestBody(slice: Buffer): void {
    if (this.#isOver) return;
    this.requestBytes += slice.length;
    this.#forwarding?.body(slice);
  }

  onRequestEnd(trailers: Headers | undefined): void {
    if (this.#isOver) return;
    this.isRequestWhole = true;
    if (this.#forwarding?.isTunnel !== true) this.#startTimeout(this.#context.deps.nowMs());
    this.#forwarding?.endRequest(trailers);
  }

  flush(): void {
    this.#forwarding?.flush();
  }

  onDownstreamDrain(): void {
    this.#forwarding?.resume();
  }

  onDownstreamGone(): void {
    if (this.#isTold) return;
    if (this.#isOver && !this.isHeadSent) {
      // A filter has held the answer: nothing of it was sent.
      this.status = this.givenStatus = 0;
      this.details = undefined;
    }
    if (this.#forwarding?.isTunnel !== true) this.flag = "DC";
    this.end();
  }

  /** What a filter answers, as it is to go out: what still comes of an upstream goes nowhere. */
  answerInstead(reply: LocalReply, details: string | undefined): RenderedReply {
    this.#stop();
    this.flag = reply.flag;
    this.details = details;
    const { status, body = "", headers = noHeaders } = reply;
    const found = this.#plan ?? this.#planned(false);
    // As in Envoy: the headers of what a route would answer itself are for that answer alone.
    const isForwarded = found.kind === "forward" || found.route === undefined || hasCluster(found.route);
    const plan = isForwarded ? found : { ...found, changes: undefined };
    const made = answerHeaders(plan, { status, body, headers: noHeaders, policy: this.#context.policy, record: this });
    const hasType = headers.some(([name]) => name.toLowerCase() === "content-type");
    // The filter's own come behind the route's, which cannot take them away.
    const ofRoute = hasType ? made.filter(([name]) => name.toLowerCase() !== "content-type") : made;
    return this.#render({ ...reply, headers: [...ofRoute, ...headers] });
  }

  onDownstreamError(status: number, sentence: string): void {
    if (this.#isOver) return;
    if (this.#forwarding?.hasBegun === true) return this.abort("DPE");
    this.fail({ status, flag: "DPE", sentence });
  }

  onTimeout(kind: "route" | "idle"): void {
    if (this.#isOver) return;
    const isStreamDue = kind === "route" && this.#context.deps.nowMs() >= this.#streamDueMs;
    if (this.#forwarding?.hasBegun === true) return this.abort(isStreamDue ? "DT" : kind === "route" ? "UT" : "SI");
    if (isStreamDue) this.details = "max_duration_timeout";
    this.#forwarding?.reportTimeout(kind === "route" && !isStreamDue);
    this.fail(answerToTimeout(isStreamDue ? "stream" : kind, this.isRequestWhole));
  }

  // How it ends, by forwarding.ts or by itself.

  fail({ status, flag, sentence, headers = noHeaders, details = this.details }: FailureAnswer): void {
    this.flag = flag;
    this.details = details;
    this.#answerWith(status, sentence, { body: `${sentence}\n`, headers });
  }

  abort(flag: ResponseFlag): void {
    this.flag = flag;
    this.end();
    this.#downstream.reset();
  }

  /** The route's timeout is over with it, as in Envoy; the longest time of the stream is not. */
  onTunnelOpen(): void {
    this.#downstream.setDeadline(this.#streamDueMs);
  }

  handBack(reason: "connect" | "reset"): void {
    this.#isTold = true;
    this.#context.load.requests--;
    this.#stop();
    this.#context.deps.counters.handedBack[reason]++;
    this.#downstream.handBack();
  }

  end(): void {
    this.#stop();
    this.tell();
  }

  /** Filters may still hold it, or make another of it: then it is told when they have let it go. */
  endResponse(): void {
    if (this.received === undefined) this.end();
    else this.#stop();
  }

  #stop(): void {
    this.#isOver = true;
    this.#forwarding?.stop();
  }

  /** The record, unless it was told. */
  tell(): void {
    if (this.#isTold) return;
    this.#isTold = true;
    this.#context.load.requests--;
    this.durationMs = this.#context.deps.nowMs() - this.#startMs;
    this.details ??= detailsOf(this.flag);
    this.#context.observer.onExchange(this);
  }

  /** Envoy's route timeout runs from the end of the request, over all tries. */
  #startTimeout(nowMs: number): void {
    const timeoutMs = this.#plan?.kind === "forward" ? this.#plan.timeoutMs : 0;
    this.requestMs = nowMs - this.#startMs;
    if (timeoutMs > 0) this.#downstream.setDeadline(Math.min(nowMs + timeoutMs, this.#streamDueMs));
  }

  /** What the route or the listener answers itself. */
  #answer({ status, flag, details, body, headers }: AnswerPlan): void {
    this.flag = flag;
    this.details = details;
    if (flag === "-") this.#answerWith(status, "", { body, headers });
    else this.#answerWith(status, body, { body: `${body}\n`, headers });
  }

  #answerWith(
    status: number,
    sentence: string,
    { body, headers }: { readonly body: string; readonly headers: AnswerPlan["headers"] },
  ): void {
    const { flag, isRequestWhole } = this;
    this.status = status;
    const plan = this.#plan;
    const changed =
      plan === undefined
        ? headers
        : answerHeaders(plan, { status, body, headers, policy: this.#context.policy, record: this });
    const reply = this.#render({ status, flag, sentence, body, headers: changed });
    if (this.received === undefined) this.end();
    else this.#stop();
    this.#downstream.reply(reply, isRequestWhole);
  }

  /** As it goes out, and what the record says of it. */
  #render(reply: LocalReply): RenderedReply {
    const rendered = renderReply(mapReply(reply, this, this.#context), this.head);
    this.givenStatus = reply.status;
    this.status = rendered.status;
    this.responseBytes = this.head.method === "HEAD" ? 0 : Buffer.byteLength(rendered.body);
    if (rendered.isGRPC) this.response = headOfReply(rendered);
    return rendered;
  }
}

function hasCluster({ target }: CompiledRoute): boolean {
  return target.kind !== "direct" && target.kind !== "redirect";
}
