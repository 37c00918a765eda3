/**
 * One address of a cluster with its connections. Identity matters: an endpoint that stays over an update keeps its
 * pool.
 */
import { type ConnectionBudget, Pool } from "./pool.ts";
import type { EngineDeps, SocketAddress } from "./types.ts";

export class Endpoint implements SocketAddress {
  readonly address: string;
  readonly port: number;
  /** Istio's `istio.workload` metadata, or empty. */
  readonly workload: string;
  readonly pool: Pool;

  constructor(spec: EndpointSpec, budget: ConnectionBudget, deps: EngineDeps) {
    this.address = spec.address;
    this.port = spec.port;
    this.workload = spec.workload;
    this.pool = new Pool(spec, budget, deps);
  }
}

/** An endpoint as configured. */
export interface EndpointSpec extends SocketAddress {
  readonly workload: string;
  /** May be picked: health UNKNOWN or HEALTHY. */
  readonly isServing: boolean;
  /** 0 is used while it has serving endpoints, then 1, and so on. */
  readonly priority: number;
}
