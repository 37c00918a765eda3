/**
 * Which Service ports are balanced per request. Pure; docs/design/012-l7-services.md says why so.
 *
 *   appProtocol, annotation ─▶ isPerRequest ─▶ l4/port-plan.ts (redirects), server.ts (serves)
 */
import type { ServiceResource, ServiceResourcePort } from "#api/wire/service.ts";

/** Protocols of HTTP without TLS. Source: Kubernetes' standard application protocols, and IANA's service name. */
const httpProtocols: ReadonlySet<string> = new Set(["http", "kubernetes.io/h2c", "kubernetes.io/ws"]);

/**
 * Whether requests to the port are balanced, instead of connections: TCP, and declared HTTP or asked for by annotation.
 * Session affinity keeps a caller at an endpoint, which is the opposite.
 */
export function isPerRequest({ l7, affinitySeconds }: ServiceResource, port: ServiceResourcePort): boolean {
  if (port.protocol !== "TCP" || affinitySeconds > 0 || l7 === "false") return false;
  return l7 === "true" || httpProtocols.has(port.appProtocol.toLowerCase());
}
