/**
 * What a cluster may reach outside, as flags of `up` and `demo`.
 *
 *   --outbound-traffic-policy, --allow-host-port ─▶ parseEgress() ─▶ launcher/egress-policy.ts
 */
import { CliError } from "./errors.ts";
import type { EgressPolicy } from "./launcher/egress-policy.ts";

/** The flags as commander gives them; it has checked the policy's name. */
export interface EgressOptions {
  readonly outboundTrafficPolicy: EgressPolicy["outbound"];
  readonly allowHostPort: readonly string[];
}

/** Throws CliError Usage for what is no port. */
export function parseEgress({ outboundTrafficPolicy, allowHostPort }: EgressOptions): EgressPolicy {
  const hostPorts = allowHostPort.map((text) => {
    const port = /^[0-9]{1,5}$/.test(text) ? Number(text) : 0;
    if (port >= 1 && port <= 65_535) return port;
    throw new CliError("Usage", `Cannot use --allow-host-port ${text}: wanted a port from 1 to 65535`);
  });
  return { outbound: outboundTrafficPolicy, hostPorts };
}
