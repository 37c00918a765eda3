/**
 * The pages of a node that Prometheus and health checks read, at the reference implementations' ports.
 *
 *   10249 /metrics            the node proxy's, the egress', the agent's own
 *   9153 /metrics             the resolver's
 *   10256 /healthz, /livez    503 until the node proxy has programmed every Service, and while it cannot
 *   10250 /metrics, /metrics/cadvisor, /metrics/resource    the kubelet's, beside its API and like it with a certificate
 */
import type { Server } from "node:http";
import type { Server as HTTPSServer } from "node:https";
import { Counter, renderPage } from "#api/metrics/exposition.ts";
import { renderContainers, renderKubelet } from "#api/metrics/node-stats.ts";
import { createProcessMetrics } from "#api/metrics/process.ts";
import { addPages, createPageServer, healthPage, metricsPage } from "#api/metrics/server.ts";
import type { StatsSummary } from "#api/wire/stats.ts";
import type { Clock } from "#lib/clock.ts";
import { HealthMetrics } from "../proxy/health-metrics.ts";
import type { EgressCounters } from "./border.ts";

const metricsPort = 10_249;
const healthPort = 10_256;
const dnsMetricsPort = 9153;

export interface NodePagesOptions {
  readonly clock: Clock;
  /** The node's address. */
  readonly host: string;
  readonly proxy: { readonly healthy: boolean; readonly metrics: { collect(): string } };
  readonly requests: { collect(): string };
  readonly dns: { collect(): string };
  /** Of the requests to the API server. */
  readonly client: { collect(): string };
  readonly egress: Readonly<EgressCounters>;
}

/** Serves the pages of the node proxy and the resolver. Resolves when all ports listen. */
export async function serveNodePages(options: NodePagesOptions): Promise<void> {
  const { clock, host, proxy, requests, dns, client, egress } = options;
  const answers = new HealthMetrics();
  const renderProcess = createProcessMetrics(clock);
  const collect = (): string =>
    [proxy.metrics, answers, requests, client].map((each) => each.collect()).join("") +
    renderEgress(egress) +
    renderProcess();
  const health = healthPage(() => (proxy.healthy ? undefined : "Services are not programmed"));
  const healthPages = { "/healthz": answers.counted("healthz", health), "/livez": answers.counted("livez", health) };
  await listen(createPageServer({ "/metrics": metricsPage(collect) }), host, metricsPort);
  await listen(createPageServer({ "/metrics": metricsPage(() => dns.collect()) }), host, dnsMetricsPort);
  await listen(createPageServer(healthPages), host, healthPort);
}

/** Adds the kubelet's pages to its API. */
export function addKubeletPages(api: HTTPSServer, stats: () => Promise<StatsSummary>): void {
  addPages(api, {
    "/metrics": metricsPage(async () => renderKubelet(await stats())),
    "/metrics/cadvisor": metricsPage(async () => renderContainers(await stats())),
    "/metrics/resource": metricsPage(async () => renderContainers(await stats())),
  });
}

function renderEgress({ connected, refused, receivedBytes, sentBytes }: EgressCounters): string {
  const counter = (name: string, help: string, value: number): Counter => {
    const made = new Counter({ name, help });
    made.add({}, value);
    return made;
  };
  return renderPage([
    counter("wherry_egress_connections_total", "Connections that were joined to a destination outside.", connected),
    counter("wherry_egress_refused_total", "Connections to outside that were refused.", refused),
    counter("wherry_egress_received_bytes_total", "Bytes from pods to outside.", receivedBytes),
    counter("wherry_egress_sent_bytes_total", "Bytes from outside to pods.", sentBytes),
  ]);
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port }, () => {
      server.off("error", reject);
      resolve();
    });
  });
}
