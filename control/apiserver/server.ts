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
import { services } from "#api/core/service.ts";
import { kinds } from "#api/scheme.ts";
import { StatusError, type StatusReason } from "#api/status.ts";
import type { Clock } from "#lib/clock.ts";
import { errnoOf, messageOf } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";
import type { TokenSigner } from "../identity/tokens.ts";
import type { Store } from "../store/store.ts";
import { WatchCache, type WatchCacheConfig } from "../watch/watch-cache.ts";
import type { AdmissionOptions } from "./admission/options.ts";
import { ServiceAllocator, type ServiceRanges } from "./admission/service-allocator.ts";
import type { Authenticator } from "./authn.ts";
import { type ChainContext, type DebugPages, runChain } from "./chain.ts";
import { startEventExpiry } from "./event-expiry.ts";
import { type Answer, failure } from "./exchange.ts";
import { discard, hasBody, toExchange } from "./incoming.ts";
import type { ReadStats } from "./kubelet-client.ts";
import { createLocalClient, type LocalClient } from "./local-client.ts";
import { ApiMetrics } from "./metrics.ts";
import type { Registry } from "./registry.ts";
import { respond } from "./respond.ts";
import { serviceAccountTokens } from "./service-account-tokens.ts";
import type { OpenLog } from "./verbs/log.ts";

export interface ApiServerOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Key, certificate, and the authority of client certificates. Undefined: plain HTTP, for tests. */
  readonly tls: Pick<ServerOptions, "key" | "cert" | "ca"> | undefined;
  readonly authenticators: readonly Authenticator[];
  /** Signs and checks the tokens of ServiceAccounts. Undefined: there are none. */
  readonly tokens?: TokenSigner | undefined;
  readonly admission?: AdmissionOptions | undefined;
  /** How to reach kubelets; undefined: logs and metrics are refused. */
  readonly kubelet?: { readonly openLog?: OpenLog; readonly readStats?: ReadStats } | undefined;
  /** Pages under /debug; only system:masters may read them. */
  readonly debug?: DebugPages | undefined;
  /** Longest time in which a request, its body included, must have come, in ms. Default 60 000. */
  readonly requestTimeoutMs?: number | undefined;
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
  /** Adds the metrics of another component of this process to the page. */
  appendMetrics(render: () => string): void;
  /** Ends watches and connections. The store stays open: it is the caller's. */
  close(): Promise<void>;
}

/** Requests answered at a time, watches apart; more get 429. The sum of kube-apiserver's two limits. */
const inFlightMax = 600;
const connectionsMax = 10_000;
const headerBytesMax = 64 * 1024;

export function createApiServer(options: ApiServerOptions): ApiServer {
  const { store, clock, random, log, tls } = options;
  const cache = new WatchCache({
    store,
    kinds,
    clock,
    log,
    ...(options.cacheConfig === undefined ? {} : { config: options.cacheConfig }),
  });
  const allocator = new ServiceAllocator(random, options.clusterConfig);
  const { tokens, admission = {} } = options;
  const registry: Registry = { store, cache, clock, random, services: allocator, admission };
  const metrics = new ApiMetrics();
  const own = tokens === undefined ? [] : [serviceAccountTokens(registry, tokens)];
  const authenticators = [...options.authenticators, ...own];
  const { openLog, readStats } = options.kubelet ?? {};
  const { debug } = options;
  const context: ChainContext = { registry, openLog, readStats, tokens, authenticators, metrics, debug };
  const serve = (request: IncomingMessage, response: ServerResponse): void => {
    handle({ context, clock, log }, request, response).catch((error: unknown) => {
      // Writing the answer itself failed: nothing more can be said to this client.
      log.warn("Cannot answer a request", { error: messageOf(error) });
      response.destroy();
    });
  };
  const requestTimeout = options.requestTimeoutMs ?? 60_000;
  const shared = {
    maxHeaderSize: headerBytesMax,
    keepAlive: true,
    keepAliveInitialDelay: 30_000,
    requestTimeout,
    headersTimeout: Math.min(requestTimeout, 30_000),
    connectionsCheckingInterval: Math.min(requestTimeout / 2, 5000),
  };
  const server: Server =
    tls === undefined
      ? createPlainServer(shared, serve)
      : createTLSServer({ ...shared, ...tls, requestCert: true, rejectUnauthorized: false }, serve);
  server.maxConnections = connectionsMax;
  server.on("clientError", (error: Error, socket: Duplex) => refuseSocket(error, socket));
  const client = createLocalClient(registry);
  let stopExpiry = (): void => undefined;
  return {
    server,
    client,
    cache,
    start: async () => {
      await cache.start();
      cache.observe(services, (key, { previous, object }) => allocator.observe(key, previous, object));
      stopExpiry = startEventExpiry({ client, cache, clock, log });
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
    appendMetrics: (render) => metrics.append(render),
    close: async () => {
      stopExpiry();
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
  const [line, reason] = refusals[errnoOf(error) ?? ""] ?? ["400 Bad Request", "BadRequest" as const];
  const { status } = new StatusError(reason, `Cannot read the request: ${error.message}`);
  const body = JSON.stringify({ ...status, code: Number(line.slice(0, 3)) });
  socket.end(
    `HTTP/1.1 ${line}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}

/** Node's codes of requests that cannot be read, and how HTTP says them. */
const refusals: Readonly<Record<string, readonly [line: string, reason: StatusReason]>> = {
  HPE_HEADER_OVERFLOW: ["431 Request Header Fields Too Large", "RequestEntityTooLarge"],
  ERR_HTTP_REQUEST_TIMEOUT: ["408 Request Timeout", "Timeout"],
};

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
  if (hasBody(request) && !request.complete && !(await discard(request, clock)))
    response.setHeader("Connection", "close");
  const finish = answer.type === "watch" || answer.type === "bytes" ? metrics.beginLongRunning(labels) : undefined;
  try {
    await respond(response, answer, warnings, clock);
  } finally {
    finish?.();
  }
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
