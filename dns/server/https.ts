/**
 * DNS over HTTPS (RFC 8484): GET /dns-query?dns=… and POST, over HTTP/2 and HTTP/1.1. Without a certificate, over
 * plain HTTP/1.1, for what stands behind a proxy.
 *
 *   request ─▶ respond ─▶ application/dns-message
 */
import { type IncomingMessage, type ServerResponse, createServer } from "node:http";
import type { Server } from "node:net";
import type { TLSFiles } from "./listener.ts";
import type { ServerCounters } from "../metrics.ts";
import type { Respond } from "./respond.ts";
import { messageBytesMax, types } from "../wire/constants.ts";
import { soaMinimum } from "../wire/data.ts";
import { decodeMessage } from "../wire/message.ts";

const contentType = "application/dns-message";
const path = "/dns-query";

/** Requests of one connection at a time (HTTP/2), as many as wait on one of DNS over TCP. */
const streamsMax = 100;

export interface DoHOptions {
  readonly respond: Respond;
  /** Absent: plain HTTP/1.1. */
  readonly tls: TLSFiles | undefined;
  /** Connections at a time; beyond it the new one is closed, and counted. */
  readonly connectionsMax: number;
  /** Without traffic, and for a request to be whole, in ms. */
  readonly idleMs: number;
  readonly counters: ServerCounters;
}

/** A server that is not listening yet. */
export async function createDoHServer(options: DoHOptions): Promise<Server> {
  const server = await createAny(options);
  server.maxConnections = options.connectionsMax;
  server.on("drop", () => options.counters.connectionsRefused++);
  return server;
}

async function createAny({ respond, tls, idleMs }: DoHOptions): Promise<Server> {
  const serve = (request: IncomingMessage, response: ServerResponse): void => {
    // The downstream may go away at any point: then there is nobody to tell.
    handle(request, response, respond).catch(() => response.destroy());
  };
  if (tls === undefined) {
    const plain = createServer({ requestTimeout: idleMs, connectionsCheckingInterval: Math.min(idleMs, 1000) }, serve);
    plain.setTimeout(idleMs);
    return plain;
  }
  // Loaded only where it is used: most servers have no DoH.
  const { createSecureServer } = await import("node:http2");
  const settings = { maxConcurrentStreams: streamsMax };
  const server = createSecureServer({ ...tls, allowHTTP1: true, settings, handshakeTimeout: idleMs });
  // Sessions without traffic end; so do bodies that do not come.
  server.setTimeout(idleMs);
  server.on("stream", (stream) => stream.setTimeout(idleMs, () => stream.close()));
  server.on("request", (request, response) =>
    serve(request as unknown as IncomingMessage, response as unknown as ServerResponse),
  );
  server.on("sessionError", () => undefined);
  return server;
}

async function handle(request: IncomingMessage, response: ServerResponse, respond: Respond): Promise<void> {
  const fail = (status: number, sentence: string): void => {
    response.writeHead(status, { "content-type": "text/plain" });
    response.end(`${sentence}\n`);
  };
  const target = request.url ?? "/";
  if (!URL.canParse(target, "http://dns")) return fail(400, "Cannot read the request: wanted a path");
  const url = new URL(target, "http://dns");
  if (url.pathname !== path) return fail(404, `Cannot serve ${url.pathname}: wanted ${path}`);
  const message = await readMessage(request, url);
  if (message === "method") return fail(405, `Cannot serve ${request.method}: wanted GET or POST`);
  if (message === "type") return fail(415, `Cannot read the request: wanted content-type ${contentType}`);
  if (message === undefined) return fail(400, "Cannot read the request: wanted one DNS message");
  const { remoteAddress = "", remotePort = 0 } = request.socket;
  const answer = await respond(message, "https", remoteAddress, remotePort);
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

async function readMessage(request: IncomingMessage, url: URL): Promise<Buffer | "method" | "type" | undefined> {
  if (request.method === "GET") {
    const text = url.searchParams.get("dns");
    return text === null || text.length > messageBytesMax * 2 ? undefined : Buffer.from(text, "base64url");
  }
  if (request.method !== "POST") return "method";
  if (request.headers["content-type"] !== contentType) return "type";
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > messageBytesMax) return undefined;
      chunks.push(chunk);
    }
  } catch {
    // The downstream went away; nobody reads what is answered.
    return undefined;
  }
  return Buffer.concat(chunks);
}
