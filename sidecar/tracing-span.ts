/**
 * A finished request as an OpenTelemetry span. Pure.
 *
 *   tracing.ts (ids, times, ExchangeRecord) ─▶ spanOf() ─▶ FinishedSpan ─▶ otel.ts
 *
 * Source: OpenTelemetry's HTTP semantic conventions 1.37 (stable); `response_flags` and `upstream_cluster.name` are
 * Envoy's tags. A proxy knows no route template, so a span is named by its method alone, as the conventions ask for.
 */
import type { ExchangeRecord } from "#proxy/l7/context.ts";
import { headerValue } from "#proxy/l7/http1/headers.ts";
import type { RequestHead } from "#proxy/l7/http1/request.ts";
import type { TraceContext } from "./tracing-context.ts";

export type SpanKind = "server" | "client";
export type Attributes = Readonly<Record<string, string | number>>;

/** Whose spans they are; one object for each sidecar. */
export interface SpanOrigin {
  /** OpenTelemetry's resource attributes: service.name, k8s.pod.name, … */
  readonly resource: Attributes;
  readonly counters: SpanCounters;
}

export interface SpanCounters {
  /** Taken by the receiver. */
  exported: number;
  /** Not kept, because too many waited for the receiver. */
  dropped: number;
  /** Refused by the receiver, or not delivered in time. */
  failed: number;
}

export interface FinishedSpan {
  readonly origin: SpanOrigin;
  readonly traceId: string;
  readonly spanId: string;
  /** Absent for the first span of a trace. */
  readonly parentId: string | undefined;
  readonly traceState: string;
  readonly kind: SpanKind;
  readonly name: string;
  /** In ms since 1970, with fractions. */
  readonly startMs: number;
  readonly endMs: number;
  readonly attributes: Attributes;
  readonly isError: boolean;
}

/** Where finished spans go. Never throws and never waits: what has no place is dropped and counted. */
export interface SpanSink {
  add(span: FinishedSpan): void;
}

/** A request whose span is being recorded. */
export interface OpenSpan {
  readonly context: TraceContext;
  readonly parentId: string | undefined;
  readonly startMs: number;
}

export interface DoneRequest {
  readonly head: RequestHead;
  readonly record: ExchangeRecord;
  readonly origin: SpanOrigin;
}

/** Methods of RFC 9110 and RFC 5789; all others share one name, so that names stay few. */
const knownMethods: ReadonlySet<string> = new Set(
  "CONNECT DELETE GET HEAD OPTIONS PATCH POST PUT QUERY TRACE".split(" "),
);
/** Query parameters whose values are credentials. */
const secretParameters = /(^|&)(AWSAccessKeyId|Signature|sig|X-Goog-Signature)=[^&]*/g;

/** A span of a request that is done. */
export function spanOf(open: OpenSpan, kind: SpanKind, { head, record, origin }: DoneRequest): FinishedSpan {
  const { context, parentId, startMs } = open;
  const { status } = record;
  // A failure is told to gRPC with 200.
  const judged = record.givenStatus || status;
  // Only a server's own failures are errors of a server span; 0 is a downstream that left.
  const isError = status === 0 || judged >= (kind === "server" ? 500 : 400);
  const method = knownMethods.has(head.method) ? head.method : "_OTHER";
  return {
    origin,
    traceId: context.traceId,
    spanId: context.spanId,
    parentId,
    traceState: context.traceState,
    kind,
    name: method === "_OTHER" ? "HTTP" : method,
    startMs,
    endMs: startMs + record.durationMs,
    isError,
    attributes: {
      "http.request.method": method,
      ...(method === "_OTHER" ? { "http.request.method_original": head.method } : {}),
      ...(status === 0 ? {} : { "http.response.status_code": status }),
      ...(isError ? { "error.type": status === 0 ? record.flag : String(judged) } : {}),
      "http.request.body.size": record.requestBytes,
      "http.response.body.size": record.responseBytes,
      "network.protocol.name": "http",
      "network.protocol.version": head.protocol.slice("HTTP/".length),
      ...serverAddress(head),
      ...(kind === "server" ? serverAttributes(head, record) : clientAttributes(head, record)),
      response_flags: record.flag,
      ...(record.cluster === undefined ? {} : { "upstream_cluster.name": record.cluster.name }),
    },
  };
}

function serverAttributes(head: RequestHead, { connection }: ExchangeRecord): Attributes {
  const query = head.query.replace(secretParameters, "$1$2=REDACTED");
  const agent = headerValue(head.headers, "user-agent");
  const client = headerValue(head.headers, "x-forwarded-for")?.split(",", 1)[0]?.trim() || connection.remoteAddress;
  return {
    "url.scheme": "http",
    "url.path": head.path,
    ...(query === "" ? {} : { "url.query": query }),
    ...(agent === undefined ? {} : { "user_agent.original": agent }),
    ...(client === "" ? {} : { "client.address": client }),
    ...(connection.remoteAddress === "" ? {} : { "network.peer.address": connection.remoteAddress }),
  };
}

function clientAttributes(head: RequestHead, { endpoint }: ExchangeRecord): Attributes {
  const query = head.query.replace(secretParameters, "$1$2=REDACTED");
  return {
    "url.full": `http://${head.host}${head.path}${query === "" ? "" : `?${query}`}`,
    "url.path": head.path,
    ...(endpoint === undefined ? {} : { "network.peer.address": endpoint.address, "network.peer.port": endpoint.port }),
  };
}

/** From Host: what the downstream asked for, whoever answered. */
function serverAddress({ host }: RequestHead): Attributes {
  const colon = host.startsWith("[") ? host.indexOf("]:") + 1 : host.indexOf(":");
  if (host === "") return {};
  if (colon <= 0) return { "server.address": host, "server.port": 80 };
  return { "server.address": host.slice(0, colon), "server.port": Number(host.slice(colon + 1)) };
}
