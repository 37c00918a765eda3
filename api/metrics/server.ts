/**
 * HTTP pages for Prometheus and health checks, and the same pages on a server that serves others, too.
 *
 *   GET path ─▶ Page ─▶ 200 text, 503 when it says so, 404 with the paths there are
 *
 * Off the hot path, so node:http. Invariant: only GET and HEAD; a page that throws is 500 and ends nothing.
 */
import { type IncomingMessage, type Server, type ServerResponse, createServer } from "node:http";
import type { Server as HTTPSServer } from "node:https";
import { messageOf } from "#lib/errors.ts";
import { expositionType } from "./exposition.ts";

export interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

export type Page = () => Answer | Promise<Answer>;
/** By path. */
export type Pages = Readonly<Record<string, Page>>;

/** A page of metrics. */
export function metricsPage(collect: () => string | Promise<string>): Page {
  return async () => ({ status: 200, type: expositionType, body: await collect() });
}

/** "ok" while it is well, else 503 with why. */
export function healthPage(problem: () => string | undefined): Page {
  return () => {
    const why = problem();
    return { status: why === undefined ? 200 : 503, type: "text/plain", body: `${why ?? "ok"}\n` };
  };
}

/** Not listening yet. */
export function createPageServer(pages: Pages): Server {
  const server = createServer((request, response) => {
    // A body is of no use to any page; unread it would hold up the next request.
    request.resume();
    if (!servePage(pages, request, response)) refuse(pages, request, response);
  });
  server.maxHeadersCount = 100;
  server.maxConnections = 1000;
  server.requestTimeout = 10_000;
  return server;
}

/** Adds pages to a server that has a request listener; what is not a page goes to that as before. */
export function addPages(server: Server | HTTPSServer, pages: Pages): void {
  const listeners = server.listeners("request") as ((request: IncomingMessage, response: ServerResponse) => void)[];
  server.removeAllListeners("request");
  server.on("request", (request, response) => {
    if (servePage(pages, request, response)) return;
    for (const listener of listeners) listener.call(server, request, response);
  });
}

/** Whether it is one of the pages; then it is answered. */
function servePage(pages: Pages, request: IncomingMessage, response: ServerResponse): boolean {
  const page = pages[pathOf(request)];
  if (page === undefined || (request.method !== "GET" && request.method !== "HEAD")) return false;
  Promise.resolve()
    .then(page)
    .catch((error: unknown) => ({ status: 500, type: "text/plain", body: `Cannot serve page: ${messageOf(error)}\n` }))
    .then((answer) => send(request, response, answer))
    // Writing failed: this client is gone, and nothing more can be said to it.
    .catch(() => response.destroy());
  return true;
}

function refuse(pages: Pages, request: IncomingMessage, response: ServerResponse): void {
  const isKnown = pages[pathOf(request)] !== undefined;
  const known = Object.keys(pages).map((path) => `  GET ${path}\n`);
  const body = isKnown
    ? `Cannot serve page: method ${request.method ?? ""}, wanted GET\n`
    : `Cannot serve page: unknown path, wanted one of\n${known.join("")}`;
  send(request, response, { status: isKnown ? 405 : 404, type: "text/plain", body });
}

function send(request: IncomingMessage, response: ServerResponse, { status, type, body }: Answer): void {
  response.writeHead(status, { "content-type": type, "content-length": Buffer.byteLength(body) });
  response.end(request.method === "HEAD" ? undefined : body);
}

function pathOf({ url }: IncomingMessage): string {
  return (url ?? "/").split("?", 1)[0]!;
}
