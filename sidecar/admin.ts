/**
 * The admin pages: Envoy's on 15000 (loopback of the pod), metrics and readiness on 15020.
 *
 *   accepted sockets ─▶ node:http ─▶ AdminView (read) ─▶ text or JSON
 *
 * Off the hot path, so node:http. Invariant: only GET, but for /drain_listeners, which is POST as in Envoy; nothing is
 * answered that was not in the configuration or the metrics.
 * Source: Envoy's operations/admin; Istio's pilot-agent for 15020.
 */
import { type IncomingMessage, type Server, type ServerResponse, createServer } from "node:http";
import { typeUrls } from "#api/xds/envoy.ts";
import type { LiveConfig } from "#proxy/l7/listener.ts";
import type { NamedResource } from "./state.ts";

export interface AdminView {
  readonly podName: string;
  readonly namespace: string;
  isReady(): boolean;
  live(): LiveConfig;
  resources(typeUrl: string): readonly NamedResource[];
  metrics(): string;
  /** Since the start, in s. */
  uptimeSeconds(): number;
  drainListeners(): void;
}

type Answer = { readonly status: number; readonly type: string; readonly body: string };
type Page = (view: AdminView) => Answer;

/** Server for 15020. Not listening: sockets come by `emit("connection", socket)`. */
export function createMetricsServer(view: AdminView): Server {
  return createPages(view, {
    "GET /stats/prometheus": metricsPage,
    "GET /metrics": metricsPage,
    "GET /healthz/ready": readyPage,
  });
}

/** Server for 15000. Not listening: sockets come by `emit("connection", socket)`. */
export function createAdminServer(view: AdminView): Server {
  return createPages(view, {
    "GET /stats/prometheus": metricsPage,
    "GET /ready": readyPage,
    "GET /config_dump": (view) => json({ configs: configDump(view) }),
    "GET /clusters": (view) => text(200, clusters(view)),
    "GET /listeners": (view) => text(200, listeners(view)),
    "GET /server_info": (view) => json(serverInfo(view)),
    "POST /drain_listeners": (view) => {
      view.drainListeners();
      return text(200, "OK\n");
    },
  });
}

function createPages(view: AdminView, pages: Readonly<Record<string, Page>>): Server {
  const server = createServer((request, response) => respond(request, response, () => answer(request, view, pages)));
  server.maxHeadersCount = 100;
  // Its own checks of idle connections start with listen(), which is never called here.
  server.timeout = 30_000;
  return server;
}

function answer(request: IncomingMessage, view: AdminView, pages: Readonly<Record<string, Page>>): Answer {
  const path = (request.url ?? "/").split("?", 1)[0]!;
  const page = pages[`${request.method ?? "GET"} ${path}`];
  if (page !== undefined) return page(view);
  const isKnown = Object.keys(pages).some((key) => key.endsWith(` ${path}`));
  if (isKnown) return text(405, `Cannot serve ${path}: wrong method\n`);
  const known = Object.keys(pages).map((key) => `  ${key}\n`);
  return text(404, `Cannot serve path: unknown, wanted one of\n${known.join("")}`);
}

function respond(request: IncomingMessage, response: ServerResponse, make: () => Answer): void {
  // A body is of no use to any page; unread it would hold up the next request.
  request.resume();
  const { status, type, body } = make();
  response.writeHead(status, { "content-type": type, "content-length": Buffer.byteLength(body) }).end(body);
}

function metricsPage(view: AdminView): Answer {
  return { status: 200, type: "text/plain; version=0.0.4; charset=utf-8", body: view.metrics() };
}

function readyPage(view: AdminView): Answer {
  return view.isReady() ? text(200, "LIVE\n") : text(503, "PRE_INITIALIZING: no whole configuration yet\n");
}

function configDump(view: AdminView): readonly object[] {
  return [typeUrls.listener, typeUrls.route, typeUrls.cluster, typeUrls.endpoint].map((typeUrl) => ({
    "@type": typeUrl,
    resources: view.resources(typeUrl),
  }));
}

/** Envoy's text form, the lines that have a meaning here. */
function clusters(view: AdminView): string {
  const lines: string[] = [];
  for (const cluster of view.live().clusters.values()) {
    lines.push(`${cluster.name}::type::${cluster.spec.type}`, `${cluster.name}::cx_active::${cluster.connectionCount}`);
    for (const { address, port } of cluster.serving)
      lines.push(`${cluster.name}::${address}:${port}::health_flags::healthy`);
  }
  return `${lines.join("\n")}\n`;
}

function listeners(view: AdminView): string {
  return [...view.live().listeners.values()].map(({ name, address, port }) => `${name}::${address}:${port}\n`).join("");
}

function serverInfo(view: AdminView): object {
  return {
    version: "wherry",
    state: view.isReady() ? "LIVE" : "PRE_INITIALIZING",
    uptime_current_epoch: `${Math.floor(view.uptimeSeconds())}s`,
    node: { id: `${view.podName}.${view.namespace}`, cluster: view.namespace },
  };
}

function json(value: unknown): Answer {
  return { status: 200, type: "application/json", body: `${JSON.stringify(value, undefined, 1)}\n` };
}

function text(status: number, body: string): Answer {
  return { status, type: "text/plain", body };
}
