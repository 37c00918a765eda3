/**
 * Health check node ports: load balancers in front ask each node whether it has endpoints of a Service with
 * externalTrafficPolicy Local, and send only where it has.
 *
 *   state.ts ─ set(name, port, count) ─▶ one HTTP server a port ─▶ 200 or 503
 *
 * Invariant: a port listens exactly while a Service has it. Terminating endpoints do not count: the load balancer
 * shall go elsewhere while they still serve what they have (KEP-1669).
 * Source: kubernetes pkg/proxy/healthcheck/service_health.go: status, header and body.
 */
import { createServer, type Server } from "node:http";
import type { ServiceResource } from "#api/wire/service.ts";
import { messageOf } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import { localReadyCount } from "./l4/categories.ts";
import type { NodeFacts } from "./l4/facts.ts";
import { isOurs } from "./l4/service-key.ts";

export interface HealthPort {
  /** 1 to 65535. */
  readonly port: number;
  /** Ready endpoints on this node. */
  readonly localEndpoints: number;
}

export interface HealthPortsOptions {
  /** Where to listen; undefined is everywhere. */
  readonly host?: string;
  readonly log: Logger;
  /** Whether the node proxy itself is well: a node whose rules are stale shall get nothing new. */
  readonly isHealthy: () => boolean;
}

/** The port that a Service wants; undefined for one without. */
export function wantedHealthPort(service: ServiceResource, facts: NodeFacts): HealthPort | undefined {
  const { type, externalTrafficPolicy, healthCheckNodePort } = service;
  const isWanted = isOurs(service) && type === "LoadBalancer" && externalTrafficPolicy === "Local";
  if (!isWanted || healthCheckNodePort === 0) return undefined;
  return { port: healthCheckNodePort, localEndpoints: localReadyCount(service, facts) };
}

interface Listening extends HealthPort {
  readonly server: Server;
}

export class HealthPorts {
  readonly #options: HealthPortsOptions;
  readonly #services = new Map<string, Listening>();

  constructor(options: HealthPortsOptions) {
    this.#options = options;
  }

  /** What a Service wants now; undefined for none. `name` is `namespace/name`. */
  set(name: string, wanted: HealthPort | undefined): void {
    const known = this.#services.get(name);
    if (known !== undefined && known.port === wanted?.port) {
      this.#services.set(name, { ...wanted, server: known.server });
      return;
    }
    known?.server.close();
    this.#services.delete(name);
    if (wanted !== undefined) this.#services.set(name, { ...wanted, server: this.#listen(name, wanted.port) });
  }

  /** Stops listening. */
  close(): void {
    for (const { server } of this.#services.values()) server.close();
    this.#services.clear();
  }

  #listen(name: string, port: number): Server {
    const [namespace = "", service = ""] = name.split("/");
    const server = createServer((request, response) => {
      request.resume();
      const localEndpoints = this.#services.get(name)?.localEndpoints ?? 0;
      const serviceProxyHealthy = this.#options.isHealthy();
      response.writeHead(localEndpoints > 0 && serviceProxyHealthy ? 200 : 503, {
        "content-type": "application/json",
        "x-content-type-options": "nosniff",
        "x-load-balancing-endpoint-weight": String(localEndpoints),
        connection: "close",
      });
      response.end(JSON.stringify({ service: { namespace, name: service }, localEndpoints, serviceProxyHealthy }));
    });
    server.maxConnections = 1000;
    server.requestTimeout = 10_000;
    // The port is a user's choice: what has it already keeps it, and the Service is none the worse otherwise.
    server.on("error", (error) =>
      this.#options.log.warn("Cannot listen on health check node port", {
        service: name,
        port,
        error: messageOf(error),
      }),
    );
    server.listen({ port, ...(this.#options.host === undefined ? {} : { host: this.#options.host }) });
    server.unref();
    return server;
  }
}
