/**
 * The API server: composes store, cache, admission and verbs, and serves them over HTTPS and in process.
 *
 *   clients ─▶ node:https ─▶ Exchange ─▶ chain.ts ─▶ verbs ─▶ respond.ts
 *   controllers ─▶ local-client.ts ─▶ verbs
 *
 * Construct, `start()` (loads the state), then `listen()`. Every failure is answered with a Status; none ends the
 * process.
 */
import { createServer as createPlainServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTLSServer, type ServerOptions } from "node:https";
import type { AddressInfo, ListenOptions } from "node:net";
import type { Duplex } from "node:stream";
import { type DetailedPeerCertificate, TLSSocket } from "node:tls";
import { services } from "#api/core/service.ts";
import { kinds } from "#api/scheme.ts";
import { StatusError } from "#api/status.ts";
import type { Clock } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";
import type { Store } from "../store/store.ts";
import { WatchCache, type WatchCacheConfig } from "../watch/watch-cache.ts";
import { ServiceAllocator, type ServiceRanges } from "./admission/service-allocator.ts";
import type { Authenticator } from "./authn.ts";
import { parseBody, readBytes } from "./body.ts";
import { type ChainContext, runChain } from "./chain.ts";
import { type Answer, type Credentials, type Exchange, failure } from "./exchange.ts";
import { createLocalClient, type LocalClient } from "./local-client.ts";
import { ApiMetrics } from "./metrics.ts";
import type { Registry } from "./registry.ts";
import { respond } from "./respond.ts";
import type { OpenLog } from "./verbs/log.ts";

export interface ApiServerOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Key, certificate, and the authority of client certificates. Undefined: plain HTTP, for tests. */
  readonly tls: Pick<ServerOptions, "key" | "cert" | "ca"> | undefined;
  readonly authenticators: readonly Authenticator[];
  /** How to reach kubelets; undefined: logs are refused. */
  readonly kubelet?: { readonly openLog: OpenLog } | undefined;
  /** Default 10.96.0.0/16 and 30000–32767. */
  readonly clusterConfig?: ServiceRanges | undefined;
  readonly cacheConfig?: WatchCacheConfig | undefined;
}

export interface ApiServer {
  readonly server: Server;
  readonly client: LocalClient;
  readonly cache: WatchCache;
  /** Loads the state; the client works from then on. */
  start(): Promise<void>;
  /** Serves on a port, a path, a file descriptor or another server's handle. After `start()`. */
  listen(target: ListenOptions | { readonly fd: number } | Server): Promise<AddressInfo | string | null>;
  /** The metrics in Prometheus' text format. */
  collect(): string;
  /** Ends watches and connections. The store stays open: it is the caller's. */
  close(): Promise<void>;
}

/** Requests answered at a time, watches apart; more get 429. The sum of kube-apiserver's two limits. */
const inFlightMax = 600;
const connectionsMax = 10_000;
const headerBytesMax = 64 * 1024;
const urlLengthMax = 16 * 1024;

export function createApiServer(options: ApiServerOptions): ApiServer {
  const { store, clock, random, log, tls, authenticators } = options;
  const cache = new WatchCache({
    store,
    kinds,
    clock,
    log,
    ...(options.cacheConfig === undefined ? {} : { config: options.cacheConfig }),
  });
  const allocator = new ServiceAllocator(random, options.clusterConfig);
  const registry: Registry = { store, cache, clock, random, services: allocator };
  const metrics = new ApiMetrics();
  const context: ChainContext = { registry, openLog: options.kubelet?.openLog, authenticators, metrics };
  const serve = (request: IncomingMessage, response: ServerResponse): void => {
    handle({ context, clock, log }, request, response).catch((error: unknown) => {
      // Writing the answer itself failed: nothing more can be said to this client.
      log.warn("Cannot answer a request", { error: messageOf(error) });
      response.destroy();
    });
  };
  const shared = { maxHeaderSize: headerBytesMax, keepAlive: true, keepAliveInitialDelay: 30_000 };
  const server: Server =
    tls === undefined
      ? createPlainServer(shared, serve)
      : createTLSServer({ ...shared, ...tls, requestCert: true, rejectUnauthorized: false }, serve);
  server.maxConnections = connectionsMax;
  server.on("clientError", (error: Error, socket: Duplex) => refuseSocket(error, socket));
  return {
    server,
    client: createLocalClient(registry),
    cache,
    start: async () => {
      await cache.start();
      cache.observe(services, (key, { previous, object }) => allocator.observe(key, previous, object));
    },
    listen: (target) =>
      new Promise((resolve, reject) => {
        server.once("error", reject);
        server.listen(target, () => {
          server.off("error", reject);
          resolve(server.address());
        });
      }),
    collect: () => metrics.collect(cache),
    close: async () => {
      cache.close();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}

/** What is not HTTP, or too large a head, also gets a Status. */
function refuseSocket(error: Error, socket: Duplex): void {
  if (!socket.writable) return void socket.destroy();
  const { status } = new StatusError("BadRequest", `Cannot read the request: ${error.message}`);
  const body = JSON.stringify(status);
  socket.end(
    `HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}

interface Handling {
  readonly context: ChainContext;
  readonly clock: Clock;
  readonly log: Logger;
}

async function handle(
  { context, clock, log }: Handling,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { metrics } = context;
  const startMs = clock.monotonicMs();
  let labels = { verb: request.method ?? "GET", resource: "" };
  let answer: Answer;
  const warnings: string[] = [];
  metrics.begin();
  try {
    if (metrics.inFlight > inFlightMax)
      throw new StatusError("TooManyRequests", "too many requests are being answered, please try again later", {
        retryAfterSeconds: 1,
      });
    const result = runChain(context, toExchange(request, response, warnings));
    if (result.kind === "verb") ({ labels } = result.dispatched);
    answer = await settle(result);
  } catch (error) {
    answer = failure(toStatus(error, log).status);
  } finally {
    metrics.end();
  }
  metrics.observe(
    labels,
    answer.type === "object" || answer.type === "text" ? answer.code : 200,
    (clock.monotonicMs() - startMs) / 1000,
  );
  // The rest of a body that nobody will read must not be taken for the next request.
  if (hasBody(request) && !request.complete) response.setHeader("Connection", "close");
  const finish = answer.type === "watch" || answer.type === "bytes" ? metrics.beginLongRunning(labels) : undefined;
  try {
    await respond(response, answer, warnings, clock);
  } finally {
    finish?.();
  }
}

/** Whether the head announces a body. RFC 9112 section 6.3. */
function hasBody({ headers }: IncomingMessage): boolean {
  return headers["transfer-encoding"] !== undefined || (headers["content-length"] ?? "0") !== "0";
}

async function settle(result: ReturnType<typeof runChain>): Promise<Answer> {
  if (result.kind === "answer") return result.answer;
  if (result.kind === "verb") return result.dispatched.run();
  throw new StatusError("InternalError", "the request left the chain without an answer");
}

/** Any error as an API error. One that is not expected is logged in full and told in general. */
function toStatus(error: unknown, log: Logger): StatusError {
  if (error instanceof StatusError) return error;
  const stack = error instanceof Error ? error.stack : undefined;
  log.error("A request failed unexpectedly", { error: messageOf(error), stack });
  return new StatusError("InternalError", "Internal error: the server's log says more");
}

function toExchange(request: IncomingMessage, response: ServerResponse, warnings: string[]): Exchange {
  const { url = "/", method = "GET", headers } = request;
  if (url.length > urlLengthMax) throw new StatusError("BadRequest", `The URL is too long: limit is ${urlLengthMax}`);
  const mark = url.indexOf("?");
  const path = mark < 0 ? url : url.slice(0, mark);
  const gone = new AbortController();
  response.once("close", () => gone.abort());
  const contentType = headers["content-type"] ?? "";
  return {
    method,
    segments: decodeSegments(path),
    query: new URLSearchParams(mark < 0 ? "" : url.slice(mark + 1)),
    accept: headers.accept ?? "",
    contentType,
    credentials: credentialsOf(request),
    user: undefined,
    readBody: async () => {
      const bytes = await readBytes(request, Number(headers["content-length"] ?? 0));
      return parseBody(bytes, contentType, method);
    },
    warnings,
    signal: gone.signal,
  };
}

function decodeSegments(path: string): string[] {
  try {
    return path.replace(/\/+$/, "").split("/").slice(1).map(decodeURIComponent);
  } catch {
    throw new StatusError("BadRequest", `Cannot read the path ${path.slice(0, 200)}: it is not percent-encoded UTF-8`);
  }
}

function credentialsOf(request: IncomingMessage): Credentials {
  const { authorization } = request.headers;
  const { socket } = request;
  // A certificate that the authority did not sign says nothing.
  if (!(socket instanceof TLSSocket) || !socket.authorized) return { certificate: undefined, authorization };
  const { subject } = socket.getPeerCertificate() as Partial<DetailedPeerCertificate>;
  const list = (value: string | readonly string[] | undefined): readonly string[] =>
    value === undefined ? [] : typeof value === "string" ? [value] : value;
  const certificate = { commonName: list(subject?.CN)[0] ?? "", organizations: list(subject?.O) };
  return { certificate, authorization };
}
