/**
 * Ports of Services on the host: which are wanted, and what became of each.
 *
 *   control/controllers/host-ports.ts ─ wanted ─▶ launcher (binds 127.0.0.1) ─ outcomes ─▶ status and events
 */

export interface HostPort {
  /** Port on the host's loopback, TCP. */
  readonly hostPort: number;
  readonly namespace: string;
  /** Name of the Service. */
  readonly name: string;
  /** A node port, or a port of a load balancer. */
  readonly kind: "nodePort" | "loadBalancer";
  /** Where its connections go: the Service's clusterIP and port. */
  readonly address: string;
  readonly port: number;
}

export interface HostPortOutcome {
  readonly hostPort: number;
  readonly namespace: string;
  readonly name: string;
  /** Why it could not be bound; undefined when it is. */
  readonly problem: string | undefined;
}
