/**
 * Traces and request ids of the requests that pass.
 *
 *   request head ─▶ lines() ─▶ trace headers and x-request-id for the upstream
 *   request done ─▶ onExchange() ─▶ FinishedSpan ─▶ SpanSink
 *
 * Without a configuration, or when the sender decided against it, trace headers pass as they came: a span id of ours
 * that nobody can look up would cut the trace in two. A trace that is recorded is continued with a span of this hop: a
 * server span for what comes in, a client span for what goes out, both for a gateway. A request without a trace starts
 * one; the share that is recorded is decided by the trace id, and the decision goes along. An application has to copy
 * the headers from the request it serves to those it makes; no proxy can do that for it.
 * Source: W3C Trace Context §3; OpenTelemetry's TraceIdRatioBased for the share.
 */
import type { Clock } from "#lib/clock.ts";
import type { ExchangeRecord, Observer } from "#proxy/l7/context.ts";
import { headerValue } from "#proxy/l7/http1/headers.ts";
import type { RequestHead } from "#proxy/l7/http1/request.ts";
import type { RequestHeaderSource } from "#proxy/l7/http1/write.ts";
import { probeAgent } from "./labels.ts";
import type { TracingConfig } from "./tracing-config.ts";
import { type TraceContext, contextHeaders, formatContext, readContext } from "./tracing-context.ts";
import type { Ids } from "./tracing-ids.ts";
import { type OpenSpan, type SpanOrigin, type SpanSink, spanOf } from "./tracing-span.ts";

/** How far the wall clock may go from where the monotonic one has it before it is believed, in ms. */
const clockDriftMs = 10;
/** Digits of a trace id that decide, and what they count to: 52 bits, which a number holds exactly. */
const decidingDigits = 13;
const decidingRange = 16 ** decidingDigits;

/** Sets x-request-id, and nothing else. */
export class RequestIds implements RequestHeaderSource {
  readonly replaces: ReadonlySet<string> = new Set(["x-request-id"]);
  readonly newRequestId: () => string;

  constructor(ids: Ids) {
    this.newRequestId = () => ids.uuid();
  }

  lines(_head: RequestHead, sent: RequestHead): string {
    return `x-request-id: ${headerValue(sent.headers, "x-request-id") || this.newRequestId()}\r\n`;
  }
}

/** The same, and can be asked for it later, for access logs. */
export class LoggedRequestIds implements RequestHeaderSource {
  readonly replaces: ReadonlySet<string> = new Set(["x-request-id"]);
  readonly newRequestId: () => string;
  /** Held by the head, so that it goes with it. */
  readonly #made = new WeakMap<RequestHead, string>();

  constructor(ids: Ids) {
    this.newRequestId = () => ids.uuid();
  }

  lines(head: RequestHead, sent: RequestHead): string {
    return `x-request-id: ${this.idOf(head, sent)}\r\n`;
  }

  /**
   * The id in `sent`, else the one that is made for `head`: a request that is answered here has one, too, as in Envoy.
   */
  idOf(head: RequestHead, sent: RequestHead): string {
    const known = headerValue(sent.headers, "x-request-id") || this.#made.get(head);
    if (known !== undefined) return known;
    const made = this.newRequestId();
    this.#made.set(head, made);
    return made;
  }
}

/** Metrics of everything, and spans of requests. */
export function observeBoth(metrics: Observer, tracing: Tracing): Observer {
  return {
    onExchange(record) {
      metrics.onExchange(record);
      tracing.onExchange(record);
    },
    onTCPOpen: (record) => metrics.onTCPOpen(record),
    onTCPClose: (record) => metrics.onTCPClose(record),
  };
}

export interface TracingOptions {
  readonly config: TracingConfig;
  readonly sink: SpanSink;
  readonly origin: SpanOrigin;
  readonly isGateway: boolean;
  readonly ids: Ids;
  readonly clock: Clock;
}

export class Tracing implements RequestHeaderSource {
  readonly replaces: ReadonlySet<string>;
  readonly newRequestId: () => string;
  readonly #options: TracingOptions;
  readonly #requestIds: RequestIds;
  /** Spans of requests under way, none for those that are not recorded. Held by the head, so that it goes with it. */
  readonly #open = new WeakMap<RequestHead, readonly OpenSpan[]>();
  readonly #threshold: number;
  #epochMs: number;

  constructor(options: TracingOptions) {
    this.#options = options;
    this.#requestIds = new RequestIds(options.ids);
    this.newRequestId = this.#requestIds.newRequestId;
    this.replaces = new Set([...this.#requestIds.replaces, ...contextHeaders[options.config.propagation]]);
    this.#threshold = (options.config.samplingPercent / 100) * decidingRange;
    this.#epochMs = options.clock.nowMs() - options.clock.monotonicMs();
  }

  lines(head: RequestHead, sent: RequestHead = head): string {
    const { propagation } = this.#options.config;
    const ids = this.#requestIds.lines(head, sent);
    const received = readContext(head.headers, propagation);
    if (received === "denied") return `${ids}${propagation === "w3c" ? "" : "x-b3-sampled: 0\r\n"}`;
    const parent = received ?? this.#newTrace();
    const isSampled = parent.isSampled ?? this.#isSampled(parent.traceId, head);
    // Not recorded: the sender's span stays the parent of whatever the application records.
    if (!isSampled) return ids + formatContext({ ...parent, isSampled }, propagation);
    const spans = this.#begin({ ...parent, isSampled }, received === undefined);
    this.#open.set(head, spans);
    const last = spans.at(-1)!;
    return ids + formatContext(last.context, propagation, last.parentId);
  }

  /** Hands over the spans of a request that is done, if it was recorded. */
  onExchange(record: ExchangeRecord): void {
    const { head } = record;
    if (head === undefined) return;
    // Refused before it was routed: no headers were written, so nothing was decided.
    if (record.cluster === undefined) this.lines(head);
    const spans = this.#open.get(head);
    if (spans === undefined) return;
    this.#open.delete(head);
    const { sink, origin, isGateway } = this.#options;
    const [first, second] = spans;
    const isServer = isGateway || record.connection.direction === "inbound";
    const done = { head, record, origin };
    if (first !== undefined) sink.add(spanOf(first, isServer ? "server" : "client", done));
    if (second !== undefined && record.cluster !== undefined) sink.add(spanOf(second, "client", done));
  }

  #begin(parent: TraceContext, isRoot: boolean): readonly OpenSpan[] {
    const startMs = this.#wallMs();
    const first: OpenSpan = {
      context: { ...parent, spanId: this.#options.ids.hex(16) },
      parentId: isRoot ? undefined : parent.spanId,
      startMs,
    };
    if (!this.#options.isGateway) return [first];
    const context = { ...parent, spanId: this.#options.ids.hex(16) };
    return [first, { context, parentId: first.context.spanId, startMs }];
  }

  #newTrace(): TraceContext {
    const { ids } = this.#options;
    return { traceId: ids.hex(32), spanId: ids.hex(16), isSampled: undefined, traceState: "" };
  }

  /** The same for every hop that has to decide on the same trace. */
  #isSampled(traceId: string, head: RequestHead): boolean {
    if (this.#threshold === 0) return false;
    if (Number.parseInt(traceId.slice(-decidingDigits), 16) >= this.#threshold) return false;
    return headerValue(head.headers, "user-agent")?.startsWith(probeAgent) !== true;
  }

  /** Wall-clock time with fractions of a ms, so that spans of one request are in order. */
  #wallMs(): number {
    const { clock } = this.#options;
    const epochMs = clock.nowMs() - clock.monotonicMs();
    if (Math.abs(epochMs - this.#epochMs) > clockDriftMs) this.#epochMs = epochMs;
    return this.#epochMs + clock.monotonicMs();
  }
}
