/**
 * Where traces go and how many, as flags of `up` and `demo`.
 *
 *   --otlp-endpoint, --trace-sampling, --trace-propagation ─▶ parseTracing() ─▶ SidecarHostConfig, EgressPolicy
 *
 * An endpoint on this host's loopback is reached from inside as any allowed port of it: under `addresses.host`.
 */
import { isIPv4, isInCIDR } from "../../proxy/l4/ipv4.ts";
import {
  type Propagation,
  type TracingConfig,
  propagationDefault,
  samplingPercentDefault,
} from "../../sidecar/tracing-config.ts";
import { CliError } from "../errors.ts";
import { addresses } from "../ipc.ts";
import type { EgressPolicy } from "../launcher/egress-policy.ts";

/** The flags as commander gives them; it has checked the propagation. */
export interface TracingOptions {
  readonly otlpEndpoint?: string;
  readonly traceSampling?: string;
  readonly tracePropagation?: Propagation;
}

/** Flag, commander's value, help. */
export const tracingFlags: readonly (readonly [flag: string, help: string])[] = [
  [
    "--otlp-endpoint <url>",
    "send traces there, by OTLP over HTTP; on this host's loopback, pods may reach its port, too",
  ],
  ["--trace-sampling <percent>", `share of requests that are traced (default ${samplingPercentDefault})`],
];

/** Undefined without an endpoint: nothing is traced. Throws CliError Usage. */
export function parseTracing(options: TracingOptions): TracingConfig | undefined {
  const { otlpEndpoint, traceSampling, tracePropagation } = options;
  if (otlpEndpoint === undefined) {
    if (traceSampling === undefined && tracePropagation === undefined) return undefined;
    throw new CliError("Usage", "Cannot trace requests: no --otlp-endpoint, wanted where the spans go");
  }
  const url = URL.parse(otlpEndpoint);
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:"))
    throw new CliError("Usage", `Cannot use --otlp-endpoint ${otlpEndpoint}: wanted http://HOST:PORT`);
  const samplingPercent = traceSampling === undefined ? samplingPercentDefault : Number(traceSampling);
  if (traceSampling?.trim() === "" || !(samplingPercent >= 0 && samplingPercent <= 100))
    throw new CliError("Usage", `Cannot use --trace-sampling ${traceSampling}: wanted a share from 0 to 100`);
  if (isLoopback(url)) url.hostname = addresses.host;
  const endpoint = url.href.replace(/\/+$/, "");
  return { endpoint, samplingPercent, propagation: tracePropagation ?? propagationDefault };
}

/** The policy that lets spans out: the endpoint's port, where that is on this host. */
export function allowTracing(policy: EgressPolicy, tracing: TracingConfig | undefined): EgressPolicy {
  const url = tracing === undefined ? null : URL.parse(tracing.endpoint);
  if (url?.hostname !== addresses.host) return policy;
  return { ...policy, hostPorts: [...policy.hostPorts, portOf(url)] };
}

function portOf({ port, protocol }: URL): number {
  if (port !== "") return Number(port);
  return protocol === "https:" ? 443 : 80;
}

function isLoopback({ hostname }: URL): boolean {
  if (isIPv4(hostname)) return isInCIDR(hostname, "127.0.0.0/8");
  return hostname === "localhost" || hostname === "[::1]";
}
