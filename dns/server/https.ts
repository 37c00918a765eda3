/**
 * DNS over HTTPS (RFC 8484): GET /dns-query?dns=… and POST, over HTTP/2 and HTTP/1.1. Without a certificate, over
 * plain HTTP/1.1, for what stands behind a proxy.
 *
 *   request ─▶ https-body.ts ─▶ respond ─▶ application/dns-message
 *
 * Bounded alike in both versions: connections, headers, bodies in bytes and time, time without a request. What one
 * stream of HTTP/2 does wrong ends that stream; what floods (resets, pings, settings) ends its connection.
 */
import { type IncomingMessage, type ServerResponse, createServer } from "node:http";
import type { Http2Server, ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import type { Server } from "node:net";
import type { Clock, Timer } from "#lib/clock.ts";
import type { TLSFiles } from "./listener.ts";
import type { ServerCounters } from "../metrics.ts";
import type { Respond } from "./respond.ts";
import { queryBytesMax } from "./stream.ts";
import { types } from "../wire/constants.ts";
import { soaMinimum } from "../wire/data.ts";
import { decodeMessage } from "../wire/message.ts";
import { type BodyFault, readBody } from "./https-body.ts";

const contentType = "application/dns-message";
const path = "/dns-query";

/** Requests of one connection at a time (HTTP/2), as many as wait on one of DNS over TCP. */
const streamsMax = 100;
/**
 * Bytes of a request's headers; beyond it a stream is reset, and HTTP/1.1 is 431. Until the downstream acknowledges our
 * settings, a stream may have 64 KiB.
 */
const headerBytesMax = 16_384;
/** Streams that one connection may reset at once, and a second in the long run; beyond it the connection ends. */
const resetsMax = 2 * streamsMax;
const resetsPerSecond = 33;
/** PINGs that wait for their answer to be read, and streams beyond `streamsMax`, until the connection ends. */
const pingsMax = 10;
const refusedMax = streamsMax;

export interface DoHOptions {
  readonly respond: Respond;
  /** Absent: plain HTTP/1.1. */
  readonly tls: TLSFiles | undefined;
  /** Connections at a time; beyond it the new one is closed, and counted. */
  readonly connectionsMax: number;
  /** Without traffic, and for a request to be whole, in ms. */
  readonly idleMs: number;
  readonly counters: ServerCounters;
  readonly clock: Clock;
}

/** A server that is not listening yet. */
export async function createDoHServer(options: DoHOptions): Promise<Server> {
  const server = await createAny(options);
  server.maxConnections = options.connectionsMax;
  server.on("drop", () => options.counters.connectionsRefused++);
  return server;
}

async function createAny(options: DoHOptions): Promise<Server> {
  const { tls, idleMs } = options;
  const serve = (request: IncomingMessage, response: ServerResponse): void => {
    // The downstream may go away at any point: then there is nobody to tell.
    handle(request, response, options).catch(() => response.destroy());
  };
  if (tls === undefined) {
    const checkMs = Math.min(idleMs, 1000);
    const limits = { requestTimeout: idleMs, connectionsCheckingInterval: checkMs, maxHeaderSize: headerBytesMax };
    const plain = createServer(limits, serve);
    plain.setTimeout(idleMs);
    return plain;
  }
  // Loaded only where it is used: most servers have no DoH.
  const { createSecureServer } = await import("node:http2");
  const server = createSecureServer({
    ...tls,
    allowHTTP1: true,
    handshakeTimeout: idleMs,
    settings: { maxConcurrentStreams: streamsMax, maxHeaderListSize: headerBytesMax },
    maxSessionRejectedStreams: refusedMax,
    maxOutstandingPings: pingsMax,
    streamResetBurst: resetsMax,
    streamResetRate: resetsPerSecond,
  });
  boundSessions(server, options);
  server.on("request", (request, response) =>
    serve(request as unknown as IncomingMessage, response as unknown as ServerResponse),
  );
  return server;
}

/** Ends sessions that have had no stream for `idleMs`, and what has neither taken nor given a byte for twice as long. */
function boundSessions(server: Http2Server, { idleMs, clock }: DoHOptions): void {
  const streamsOf = new WeakMap<object, (change: number) => void>();
  server.on("session", (session: ServerHttp2Session) => {
    let streams = 0;
    let idle: Timer | undefined;
    const count = (change: number): void => {
      streams += change;
      idle?.cancel();
      // Neither PINGs nor SETTINGS are traffic.
      if (streams === 0) idle = clock.after(idleMs, () => session.destroy());
    };
    streamsOf.set(session, count);
    count(0);
    session.once("close", () => idle?.cancel());
  });
  server.on("stream", (stream: ServerHttp2Stream) => {
    const count = stream.session === undefined ? undefined : streamsOf.get(stream.session);
    count?.(1);
    stream.once("close", () => count?.(-1));
    // Later than `readBody` has its say.
    stream.setTimeout(2 * idleMs, () => stream.close());
  });
  server.setTimeout(2 * idleMs);
  server.on("sessionError", () => undefined);
}

const faults: Readonly<
  Record<"method" | "type" | "malformed" | Exclude<BodyFault, "gone">, readonly [number, string]>
> = {
  method: [405, "wanted GET or POST"],
  type: [415, `wanted content-type ${contentType}`],
  malformed: [400, "wanted one DNS message"],
  long: [413, `wanted ${queryBytesMax} bytes at most`],
  slow: [408, "its body did not come in time"],
};

async function handle(request: IncomingMessage, response: ServerResponse, options: DoHOptions): Promise<void> {
  const fail = (status: number, sentence: string): void => {
    // What is left of a body is not waited for: with its connection in HTTP/1.1, or its stream alone.
    const isWhole = request.complete;
    const closing = isWhole || request.httpVersionMajor > 1 ? {} : { connection: "close" };
    response.writeHead(status, { "content-type": "text/plain", ...closing });
    response.end(`${sentence}\n`, () => {
      if (!isWhole && "stream" in response) (response.stream as ServerHttp2Stream).close();
    });
  };
  const target = request.url ?? "/";
  if (!URL.canParse(target, "http://dns")) return fail(400, "Cannot read the request: wanted a path");
  const url = new URL(target, "http://dns");
  if (url.pathname !== path) return fail(404, `Cannot serve ${url.pathname}: wanted ${path}`);
  const message = await readMessage(request, url, options);
  if (message === "gone") return;
  if (typeof message === "string") {
    const [status, wanted] = faults[message];
    return fail(status, `Cannot ${status === 405 ? `serve ${request.method}` : "read the request"}: ${wanted}`);
  }
  const { remoteAddress = "", remotePort = 0 } = request.socket;
  const answer = await options.respond(message, "https", remoteAddress, remotePort);
  if (answer === undefined || !Buffer.isBuffer(answer)) return fail(400, "Cannot read the request: it is no DNS query");
  const age = { "cache-control": `max-age=${ageSeconds(answer)}` };
  response.writeHead(200, { "content-type": contentType, "content-length": answer.length, ...age });
  response.end(answer);
}

/** How long HTTP may keep it: as its answers, or its SOA, do (RFC 8484 §5.1). 0 without either. */
function ageSeconds(message: Buffer): number {
  const { answer, authority } = decodeMessage(message)?.records ?? { answer: [], authority: [] };
  const soa = authority.find(({ type }) => type === types.soa);
  if (answer.length > 0) return Math.min(...answer.map(({ ttl }) => ttl));
  return soa === undefined ? 0 : Math.min(soa.ttl, soaMinimum(soa));
}

async function readMessage(
  request: IncomingMessage,
  url: URL,
  { idleMs, clock }: DoHOptions,
): Promise<Buffer | keyof typeof faults | "gone"> {
  if (request.method === "GET") {
    const text = url.searchParams.get("dns");
    if (text === null) return "malformed";
    const message = Buffer.from(text, "base64url");
    return message.length > queryBytesMax ? "long" : message;
  }
  if (request.method !== "POST") return "method";
  if (request.headers["content-type"] !== contentType) return "type";
  return readBody(request, { bytesMax: queryBytesMax, timeMs: idleMs, clock });
}
