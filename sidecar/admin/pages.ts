/**
 * Envoy's admin pages for a stand-alone sidecar.
 *
 *   node:http ─▶ createAdminPages(view) ─▶ one page ─▶ text or JSON
 *
 * Off the hot path, so node:http. Invariant: what changes something wants POST, as in Envoy.
 * Source: Envoy, operations/admin.
 */
import { type IncomingMessage, type Server, type ServerResponse, createServer } from "node:http";
import type { Logger } from "#lib/log.ts";
import type { Cluster } from "#proxy/l7/cluster.ts";
import type { SocketAddress } from "#proxy/l7/types.ts";
import { type DumpSource, clustersJSON, clustersText, configDump, listenersJSON, listenersText } from "./dump.ts";
import { type AllStats, parseStatsQuery, renderStats } from "./stats-page.ts";

/** As POST /drain_listeners says: `graceful`, `inboundonly` and `skip_exit`. */
export interface DrainRequest {
  /** Listeners take connections until the time of the drain is over. */
  readonly isGraceful: boolean;
  readonly inboundOnly: boolean;
  /** Of a graceful one: listeners take connections also behind it, until the process ends. */
  readonly skipsExit: boolean;
}

/** The path and query that say so. */
export function drainURL(request: DrainRequest): string {
  const said = Object.entries(drainFlags(request)).filter(([, isSaid]) => isSaid);
  return `/drain_listeners?${said.map(([name]) => name).join("&")}`;
}

/** A POST to this path and query sets counters to zero. */
export function resetsCounters(url: string): boolean {
  return url.split("?", 1)[0] === resetPath;
}

const resetPath = "/reset_counters";

export interface AdminPagesView {
  dump(): DumpSource;
  clusters(): Iterable<Cluster>;
  /** Where each listener listens. */
  addresses(): ReadonlyMap<string, SocketAddress>;
  /** Of all processes that serve. */
  stats(): Promise<AllStats>;
  resetCounters(): void;
  state(): "LIVE" | "DRAINING" | "PRE_INITIALIZING";
  serverInfo(): object;
  certificates(): readonly object[];
  /** Healthy or not, as /healthcheck says. */
  setHealthy(isHealthy: boolean): void;
  drain(request: DrainRequest): void;
  /** Is told of a drain that was asked for here, and not by another process. */
  readonly log: Pick<Logger, "info">;
  logLevel(): string;
  /** The levels that there are, in words. */
  readonly logLevels: string;
  /** False: no such level. */
  setLogLevel(level: string): boolean;
  /** Access logs are opened anew, for rotation. */
  reopenLogs(): void;
  /** Ends this process, which ends those beside it. */
  quit(): void;
  /** changeBy() in the processes beside this one. */
  changeOthers(url: string): void;
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

interface Page {
  readonly help: string;
  /** POST where it changes something. */
  readonly method: "GET" | "POST";
  readonly answer: (view: AdminPagesView, query: URLSearchParams) => Answer | Promise<Answer>;
}

const done = (): Answer => text(200, "OK\n");

const pages: Readonly<Record<string, Page>> = {
  "/certs": {
    help: "print certs on machine",
    method: "GET",
    answer: (view) => json({ certificates: view.certificates() }),
  },
  "/clusters": {
    help: "upstream cluster status",
    method: "GET",
    answer: async (view, query) => {
      const { hosts = {} } = await view.stats();
      const facts = { isStatic: view.dump().isStatic, hosts };
      if (query.get("format") === "json") return json(clustersJSON(view.clusters(), facts));
      return text(200, clustersText(view.clusters(), facts));
    },
  },
  "/config_dump": { help: "dump current configs", method: "GET", answer: dumpPage },
  "/drain_listeners": {
    help: "drain listeners (graceful, inboundonly, skip_exit)",
    method: "POST",
    answer: (view, query) => {
      const request = drainRequestOf(query);
      if (request.skipsExit && !request.isGraceful) return text(400, "skip_exit requires graceful\n");
      view.drain(request);
      return done();
    },
  },
  "/healthcheck/fail": { help: "cause the server to fail health checks", method: "POST", answer: setHealth(false) },
  "/healthcheck/ok": { help: "cause the server to pass health checks", method: "POST", answer: setHealth(true) },
  "/help": { help: "print out list of admin commands", method: "GET", answer: () => text(200, helpText()) },
  "/listeners": {
    help: "print listener info",
    method: "GET",
    answer: (view, query) => {
      if (query.get("format") === "json") return json(listenersJSON(view.addresses()));
      return text(200, listenersText(view.addresses()));
    },
  },
  "/logging": { help: "query or change the logging level (level=)", method: "POST", answer: loggingPage },
  "/memory": { help: "print current allocation/heap usage", method: "GET", answer: memoryPage },
  "/quitquitquit": {
    help: "exit the server",
    method: "POST",
    answer: (view) => {
      view.quit();
      return done();
    },
  },
  "/ready": {
    help: "print server state, return 200 if LIVE, otherwise return 503",
    method: "GET",
    answer: (view) => text(view.state() === "LIVE" ? 200 : 503, `${view.state()}\n`),
  },
  "/reopen_logs": {
    help: "reopen access logs",
    method: "POST",
    answer: (view) => {
      view.reopenLogs();
      return done();
    },
  },
  [resetPath]: {
    help: "reset all counters to zero",
    method: "POST",
    answer: (view) => {
      view.resetCounters();
      return done();
    },
  },
  "/runtime": { help: "print runtime values", method: "GET", answer: () => json({ layers: [], entries: {} }) },
  "/server_info": {
    help: "print server version/status information",
    method: "GET",
    answer: (view) => json(view.serverInfo()),
  },
  "/stats": { help: "print server stats (filter, type, usedonly, format)", method: "GET", answer: statsPage },
  "/stats/prometheus": {
    help: "print server stats in prometheus format",
    method: "GET",
    answer: (view, query) => {
      query.set("format", "prometheus");
      return statsPage(view, query);
    },
  },
};

/** A server that is not listening yet. */
export function createAdminPages(view: AdminPagesView): Server {
  const server = createServer((request, response) => respond(view, request, response));
  server.maxHeadersCount = 100;
  return server;
}

function respond(view: AdminPagesView, request: IncomingMessage, response: ServerResponse): void {
  // A body is of no use to any page; unread it would hold up the next request.
  request.resume();
  const [path = "/", query = ""] = (request.url ?? "/").split("?", 2);
  const method = request.method ?? "GET";
  Promise.resolve(answer(view, { method, path, query })).then(
    (made) => send(response, made),
    () => response.destroy(),
  );
}

function send(response: ServerResponse, { status, type, body }: Answer): void {
  const headers = { "content-type": type, "cache-control": "no-cache, max-age=0", "x-content-type-options": "nosniff" };
  response.writeHead(status, { ...headers, "content-length": Buffer.byteLength(body) }).end(body);
}

/** Pages whose changes go to other processes in their own way. */
const tellsOthers: ReadonlySet<string> = new Set(["/quitquitquit", "/drain_listeners"]);

function answer(
  view: AdminPagesView,
  { method, path, query }: { readonly method: string; readonly path: string; readonly query: string },
): Answer | Promise<Answer> {
  if (path === "/") return { status: 200, type: "text/html; charset=UTF-8", body: helpHTML() };
  const page = Object.hasOwn(pages, path) ? pages[path] : undefined;
  if (page === undefined) return text(404, `invalid path. admin commands are:\n${helpText()}`);
  const isRead = method === "GET" || method === "HEAD";
  if (page.method === "POST" && method !== "POST") return text(405, `Method ${method} not allowed, POST required.`);
  if (page.method === "GET" && !isRead && method !== "POST") return text(405, `Method ${method} not allowed.`);
  const parameters = new URLSearchParams(query);
  const made = page.answer(view, parameters);
  const hasChanged = page.method === "POST" && "status" in made && made.status === 200;
  if (hasChanged && path === "/drain_listeners")
    view.log.info("Draining listeners", drainFlags(drainRequestOf(parameters)));
  if (hasChanged && !tellsOthers.has(path)) view.changeOthers(`${path}?${query}`);
  return made;
}

/** Changes what a POST to `url`, path and query, changes. */
export function changeBy(view: AdminPagesView, url: string): void {
  const [path = "", query = ""] = url.split("?", 2);
  void pages[path]?.answer(view, new URLSearchParams(query));
}

function drainRequestOf(query: URLSearchParams): DrainRequest {
  return {
    isGraceful: query.has("graceful"),
    inboundOnly: query.has("inboundonly"),
    skipsExit: query.has("skip_exit"),
  };
}

function drainFlags({ isGraceful, inboundOnly, skipsExit }: DrainRequest): Readonly<Record<string, boolean>> {
  return { graceful: isGraceful, inboundonly: inboundOnly, skip_exit: skipsExit };
}

function setHealth(isHealthy: boolean): Page["answer"] {
  return (view) => {
    view.setHealthy(isHealthy);
    return done();
  };
}

function dumpPage(view: AdminPagesView, query: URLSearchParams): Answer {
  for (const name of ["mask", "resource", "name_regex"])
    if (query.has(name)) return text(400, `Cannot serve /config_dump: parameter ${name} is not supported\n`);
  return json(configDump(view.dump(), { includesEndpoints: query.has("include_eds") }));
}

function loggingPage(view: AdminPagesView, query: URLSearchParams): Answer {
  const other = [...query.keys()].find((name) => name !== "level");
  if (other !== undefined) return text(400, `Cannot set log level of ${other}: there is one logger, wanted level=\n`);
  const level = query.get("level");
  if (level !== null && !view.setLogLevel(level))
    return text(400, `Cannot set log level ${level}: wanted ${view.logLevels}\n`);
  return text(200, `active loggers:\n  wherry: ${view.logLevel()}\n`);
}

function memoryPage(): Answer {
  const { heapUsed, heapTotal, rss, external } = process.memoryUsage();
  return json({
    allocated: String(heapUsed + external),
    heap_size: String(heapTotal),
    pageheap_unmapped: "0",
    pageheap_free: String(heapTotal - heapUsed),
    total_thread_cache: "0",
    total_physical_bytes: String(rss),
  });
}

async function statsPage(view: AdminPagesView, parameters: URLSearchParams): Promise<Answer> {
  const query = parseStatsQuery(parameters);
  if (typeof query === "string") return text(400, `${query}\n`);
  const body = renderStats(await view.stats(), query);
  if (query.format === "json") return { status: 200, type: "application/json", body };
  const type = query.format === "prometheus" ? "text/plain; version=0.0.4; charset=utf-8" : "text/plain; charset=UTF-8";
  return { status: 200, type, body };
}

function helpText(): string {
  return Object.entries(pages)
    .map(([path, { help, method }]) => `  ${path}${method === "POST" ? " (POST)" : ""}: ${help}\n`)
    .join("");
}

function helpHTML(): string {
  const rows = Object.entries(pages).map(
    ([path, { help, method }]) =>
      `<tr><td>${method === "GET" ? `<a href="${path.slice(1)}">${path}</a>` : path}</td><td>${method}</td><td>${help}</td></tr>`,
  );
  return `<!doctype html><title>wherry admin</title><table>\n${rows.join("\n")}\n</table>\n`;
}

function json(value: unknown): Answer {
  return { status: 200, type: "application/json", body: `${JSON.stringify(value, undefined, 1)}\n` };
}

function text(status: number, body: string): Answer {
  return { status, type: "text/plain; charset=UTF-8", body };
}
