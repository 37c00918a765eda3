/**
 * What a filter chain's HTTP connection manager sets about its connections, and a cluster about its own.
 *
 *   config/listener.ts, config/cluster.ts (read it) ─▶ downstream.ts, http2/, pool.ts
 *
 * Defaults are Envoy's where it has one; the two windows are smaller, because a paused stream's window is memory.
 * Source: envoy.config.core.v3 HttpProtocolOptions, Http1ProtocolOptions, Http2ProtocolOptions.
 */

/** envoy.config.core.v3.Http2ProtocolOptions, and what bounds an HTTP/2 connection. */
export interface HTTP2Options {
  /** Streams that the peer may have open at once, default 1024. */
  readonly concurrentStreamsMax: number;
  /** Bytes that a stream may send ahead of what was taken, 65 535 to 2^31-1, default 256 KiB. */
  readonly streamWindowBytes: number;
  /** The same for the whole connection, default 1 MiB. */
  readonly connectionWindowBytes: number;
  /** RFC 8441: downstreams may ask for upgrades, such as WebSocket, by extended CONNECT, and are told so; default false. */
  readonly allowsConnect: boolean;
}

/** What a downstream's connection may do. */
export interface HTTPOptions {
  /** "auto": by the first bytes, or what ALPN agreed on. */
  readonly codec: "auto" | "http1" | "http2";
  /** Answer HTTP/1.0 instead of 426; default true, and in configuration false, as Envoy. */
  readonly acceptsHTTP10: boolean;
  /** Trailers go on to an HTTP/1 downstream that did not ask for them by TE, default false. */
  readonly sendsTrailers: boolean;
  /** Bytes of a head, default 60 KiB. */
  readonly headBytesMax: number;
  /** Header lines of a head, default 100. */
  readonly headersMax: number;
  /** Time from a head's first byte to its last, in ms, default 60 000. */
  readonly requestHeadMs: number;
  /** Time for the whole request to come, in ms; 0, the default, is none. */
  readonly requestMs: number;
  /** Time without a request before a connection is closed, in ms, default 1 h; 0 is none. */
  readonly keepAliveIdleMs: number;
  /** Time after which a connection takes one more request at most, within 5 s, in ms; 0, the default, is none. */
  readonly connectionMsMax: number;
  readonly http2: HTTP2Options;
}

export const http2OptionsDefault: HTTP2Options = {
  concurrentStreamsMax: 1024,
  streamWindowBytes: 256 * 1024,
  connectionWindowBytes: 1024 * 1024,
  allowsConnect: false,
};

export const httpOptionsDefault: HTTPOptions = {
  codec: "auto",
  acceptsHTTP10: true,
  sendsTrailers: false,
  headBytesMax: 60 * 1024,
  headersMax: 100,
  requestHeadMs: 60_000,
  requestMs: 0,
  keepAliveIdleMs: 3_600_000,
  connectionMsMax: 0,
  http2: http2OptionsDefault,
};

/**
 * What a cluster's connections speak. "auto": as ALPN decides, so over TLS only; "downstream": as the request came.
 * Source: envoy.extensions.upstreams.http.v3.HttpProtocolOptions.
 */
export type UpstreamProtocol = "http1" | "http2" | "auto" | "downstream";

export interface UpstreamOptions {
  readonly protocol: UpstreamProtocol;
  /** Time without a request before a connection is closed, in ms; 0: never; undefined: `idleMsDefault` of its protocol. */
  readonly idleMs: number | undefined;
  /** Requests of a connection before it is closed; 0, the default, is any number. */
  readonly requestsMax: number;
  /** Trailers go on to an HTTP/1 upstream, default false, as Envoy's enable_trailers. */
  readonly sendsTrailers: boolean;
  readonly http2: HTTP2Options;
}

/**
 * HTTP/1: linkerd2-proxy's, below the 5 s after which Node.js servers close their idle connections: who closes first
 * decides whether a request can be lost in the gap. HTTP/2: Envoy's; there a GOAWAY says what was not looked at.
 */
export const idleMsDefault: Readonly<Record<"http1" | "http2", number>> = { http1: 3000, http2: 3_600_000 };

export const upstreamOptionsDefault: UpstreamOptions = {
  protocol: "http1",
  idleMs: undefined,
  requestsMax: 0,
  sendsTrailers: false,
  http2: http2OptionsDefault,
};
