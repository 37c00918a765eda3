/**
 * Node ports on loopback, where `nodePortAddresses` has `localhost` (KEP-6032): the kernel does not route what is meant
 * for loopback to a pod, so connections are taken by sockets of this process and joined to an endpoint's.
 *
 *   state.ts ─ set(name, Service) ─▶ 127.0.0.1 and ::1, one listener a TCP node port ─▶ userspace/tcp.ts
 *
 * Invariant: a port listens exactly while a Service has it and there is an endpoint; without one the kernel refuses, as
 * it does on the node's other addresses. All endpoints may be used, whatever the external policy: callers are the node
 * itself. TCP alone; endpoints see the node.
 */
import type { ServiceResource } from "#api/wire/service.ts";
import type { Clock } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import { categorize, isPort } from "./l4/categories.ts";
import type { NodeFacts } from "./l4/facts.ts";
import { isOurs } from "./l4/service-key.ts";
import type { Frontend } from "./userspace/frontends.ts";
import { TCPFrontend } from "./userspace/tcp.ts";

/** Loopback's address of each family. */
export const loopbacks = { IPv4: "127.0.0.1", IPv6: "::1" } as const;

export interface LocalhostPortsOptions {
  readonly facts: NodeFacts;
  readonly clock: Clock;
  readonly log: Logger;
}

/** What a Service is answered by on loopback: by `127.0.0.1 30080`. Pure. */
export function planLocalhost(service: ServiceResource, facts: NodeFacts): ReadonlyMap<string, Frontend> {
  const hasNodePorts = service.type === "NodePort" || service.type === "LoadBalancer";
  if (!isOurs(service) || !hasNodePorts) return new Map();
  const found = new Map<string, Frontend>();
  for (const port of service.ports) {
    if (port.protocol !== "TCP" || !isPort(port.nodePort)) continue;
    for (const [family, address] of [
      ["IPv4", loopbacks.IPv4],
      ["IPv6", loopbacks.IPv6],
    ] as const) {
      const { cluster } = categorize(service, port, family, facts);
      if (cluster.length === 0) continue;
      const at = { transport: "tcp", address, port: port.nodePort } as const;
      const { affinitySeconds } = service;
      found.set(`${address} ${port.nodePort}`, { ...at, targets: cluster, affinitySeconds, sources: undefined });
    }
  }
  return found;
}

export class LocalhostPorts {
  readonly #options: LocalhostPortsOptions;
  #facts: NodeFacts;
  /** By Service, then by what it is reached by. */
  readonly #services = new Map<string, Map<string, TCPFrontend>>();

  constructor(options: LocalhostPortsOptions) {
    this.#options = options;
    this.#facts = options.facts;
  }

  /** Plans by another zone from now on; Services that have hints are to be set again. */
  setZone(zone: string): void {
    this.#facts = { ...this.#facts, zone };
  }

  /** What a Service is now; undefined when it is gone. `name` is `namespace/name`. */
  set(name: string, service: ServiceResource | undefined): void {
    const wanted = service === undefined ? new Map<string, Frontend>() : planLocalhost(service, this.#facts);
    const listening = this.#services.get(name) ?? new Map<string, TCPFrontend>();
    if (wanted.size > 0) this.#services.set(name, listening);
    else this.#services.delete(name);
    for (const [key, frontend] of listening) {
      if (wanted.has(key)) continue;
      // What is connected stays, as it does by the node's other addresses.
      frontend.close(false);
      listening.delete(key);
    }
    for (const [key, frontend] of wanted) {
      const known = listening.get(key);
      if (known === undefined) listening.set(key, this.#listen(name, frontend));
      else known.update(frontend);
    }
  }

  /** Stops listening, and ends what is connected. */
  close(): void {
    for (const listening of this.#services.values()) for (const frontend of listening.values()) frontend.close(true);
    this.#services.clear();
  }

  #listen(service: string, frontend: Frontend): TCPFrontend {
    const { clock, log } = this.#options;
    const { address, port } = frontend;
    const made = new TCPFrontend(frontend, clock);
    // What has the port already keeps it, and the Service is none the worse on the node's other addresses.
    made
      .listen()
      .catch((error: unknown) =>
        log.warn("Cannot listen on node port", { service, address, port, error: messageOf(error) }),
      );
    return made;
  }
}
