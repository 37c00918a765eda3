/**
 * What an HTTP filter chain gives its connections, and what is told when a request or a TCP connection is done.
 *
 *   listener.ts (makes it) ─▶ downstream.ts, exchange.ts ─▶ observer (sidecar/metrics.ts)
 */
import type { FormatUpstream, Metadata } from "./accesslog/types.ts";
import type { Cluster } from "./cluster.ts";
import type { Endpoint } from "./endpoint.ts";
import type { HttpFilterFactory } from "./filter.ts";
import type { RequestHead } from "./http1/request.ts";
import type { Headers } from "./http1/headers.ts";
import type { ResponseHead } from "./http1/response.ts";
import type { RequestHeaderSource } from "./http1/write.ts";
import type { LocalReplies } from "./local-reply.ts";
import type { HTTPOptions } from "./options.ts";
import type { RequestPolicy } from "./route/policy.ts";
import type { SchemeRule } from "./route/scheme.ts";
import type { RouteTable } from "./route/table.ts";
import type { CompiledRoute } from "./route/types.ts";
import type { UpstreamStream } from "./stream.ts";
import type { TLSFacts } from "./tls/facts.ts";
import type { EngineDeps, ResponseFlag, SocketAddress } from "./types.ts";

export type Direction = "inbound" | "outbound";

/** One downstream connection, as observers know it: the same object for all its requests. */
export interface ConnectionInfo {
  readonly direction: Direction;
  /** The peer's address; empty when it was gone before it was asked. */
  readonly remoteAddress: string;
  /** Where the connection was going before it was intercepted; undefined: it was not. */
  readonly destination: SocketAddress | undefined;
  readonly remotePort?: number;
  /** Where the connection was accepted. */
  readonly localAddress?: string | undefined;
  readonly localPort?: number | undefined;
  /** The connection came over TLS. */
  readonly isTLS?: boolean;
  /** Whom its chain believes about where requests come from, and how; undefined: it is no chain of HTTP. */
  readonly trust?: SchemeRule | undefined;
  /** What the downstream asked for in its ClientHello. */
  readonly serverName?: string | undefined;
  /** Of a connection over TLS. */
  readonly tls?: TLSFacts | undefined;
  /** Counts up for each connection of the process. */
  readonly id?: number;
  /** Of the filter chain that serves it, and of its listener. */
  readonly chainName?: string;
  readonly chainMetadata?: Metadata | undefined;
  readonly listenerMetadata?: Metadata | undefined;
  /** The downstream showed a certificate, and whether it was verified. */
  readonly peerCertificate?: "none" | "presented" | "validated";
}

/** One request that is done. */
export interface ExchangeRecord {
  readonly connection: ConnectionInfo;
  /** Undefined when it could not be read. */
  readonly head: RequestHead | undefined;
  /** As it came, where `head` is not. */
  readonly received?: RequestHead | undefined;
  /** Of the upstream; of the proxy itself where filters have seen it, and to gRPC. */
  readonly response?: ResponseHead | undefined;
  readonly sentHead?: RequestHead | undefined;
  readonly route?: CompiledRoute | undefined;
  /** What the last try was sent by. */
  readonly upstream?: UpstreamStream | undefined;
  /** Every filter let it pass, and a route was looked for. */
  readonly isRouted?: boolean;
  readonly routeName?: string | undefined;
  readonly virtualHostName?: string | undefined;
  readonly responseTrailers?: Headers | undefined;
  /** Envoy's RESPONSE_CODE_DETAILS. */
  readonly details?: string | undefined;
  readonly attempts?: number;
  /** Why no connection came about in the last try, in Envoy's words. */
  readonly upstreamFailure?: string | undefined;
  /** From the start, in ms: to the end of the request, to the first byte of the response. */
  readonly requestMs?: number | undefined;
  readonly responseMs?: number | undefined;
  readonly cluster: Cluster | undefined;
  /** Of the last try. */
  readonly endpoint: Endpoint | undefined;
  /** 0 when the downstream left before there was one. */
  readonly status: number;
  /** What counts for its cluster: before filters, the listener or gRPC made another of it. Default or 0: `status`. */
  readonly givenStatus?: number;
  readonly flag: ResponseFlag;
  /** Bytes of the bodies, without framing. */
  readonly requestBytes: number;
  readonly responseBytes: number;
  readonly durationMs: number;
  /** Wall-clock time of the start, in ms since 1970, where it is known. */
  readonly startMs?: number | undefined;
}

/** One TCP connection. The byte counts grow until it is closed; everything else is fixed when it is open. */
export interface TCPRecord {
  readonly connection: ConnectionInfo;
  readonly cluster: Cluster | undefined;
  readonly endpoint: Endpoint | undefined;
  /** The connection to it, once it is open. */
  readonly upstream?: FormatUpstream | undefined;
  /** Why the last connection to one did not come about, in Envoy's words. */
  readonly upstreamFailure?: string | undefined;
  readonly flag: ResponseFlag;
  /** From the downstream to the upstream. */
  readonly receivedBytes: number;
  /** From the upstream to the downstream. */
  readonly sentBytes: number;
  /** Wall-clock time of the start, in ms since 1970. */
  readonly startMs: number;
  /** From the start until now, in ms. */
  readonly durationMs: number;
}

/** Requests that were begun and are not over, kept by those who begin and end them. */
export interface Load {
  requests: number;
}

/** Called synchronously on the hot path; must not throw. */
export interface Observer {
  /** Of its chain; undefined: nobody asks. */
  readonly load?: Load;
  onExchange(record: ExchangeRecord): void;
  /** The endpoint is connected, or none took the connection: then onTCPClose follows at once. */
  onTCPOpen(record: TCPRecord): void;
  onTCPClose(record: TCPRecord): void;
}

export interface HTTPContext {
  readonly deps: EngineDeps;
  readonly observer: Observer;
  /** Each request adds one, until its record is told or it is handed back. */
  readonly load: Load;
  readonly requestHeaders: RequestHeaderSource | undefined;
  /** Makes an x-request-id; undefined: requests get none. */
  readonly newRequestId: (() => string) | undefined;
  /** Time without a byte in either direction inside a request, in ms; 0 is none. */
  readonly streamIdleMs: number;
  readonly options: HTTPOptions;
  readonly filters: readonly HttpFilterFactory[];
  readonly policy: RequestPolicy;
  /** The name of the chain's CORS filter. */
  readonly corsFilter: string | undefined;
  /** Longest time of a stream where its route says nothing, in ms; 0 is none. */
  readonly maxStreamMs: number;
  /** Responses say how long the upstream took, in x-envoy-upstream-service-time. */
  readonly tellsServiceTime: boolean;
  /** How answers of the proxy's own are changed; undefined: they are not. */
  readonly localReplies: LocalReplies | undefined;
  /** A number in [0, 1). */
  readonly random: () => number;
  /** The routes now: asked for each request, so that a new table takes effect at once. */
  routes(): RouteTable | undefined;
  cluster(name: string): Cluster | undefined;
  /** No keep-alive from now on. */
  isDraining(): boolean;
}
