/**
 * Which protocol a port speaks: `appProtocol`, else the prefix of the port's name, else found out per connection.
 * Source: istio.io, "Protocol Selection".
 */
import type { ServicePort } from "#api/core/service.ts";

/** auto: the first bytes of each connection decide. */
export type PortProtocol = "http" | "tcp" | "auto";

const declared: ReadonlyMap<string, PortProtocol> = new Map([
  ["http", "http"],
  ["kubernetes.io/ws", "http"],
  ["http2", "http"],
  ["grpc", "http"],
  ["grpc-web", "http"],
  ["kubernetes.io/h2c", "http"],
  ["kubernetes.io/wss", "tcp"],
  ["https", "tcp"],
  ["tls", "tcp"],
  ["tcp", "tcp"],
  ["mongo", "tcp"],
  ["mysql", "tcp"],
  ["redis", "tcp"],
]);

/**
 * Ports of protocols in which the server speaks first: waiting for the client's first bytes would only delay them.
 * As linkerd's default opaque ports: SMTP, MySQL, Galera, PostgreSQL, Redis, Elasticsearch transport, Memcached.
 */
const serverFirstPorts: ReadonlySet<number> = new Set([25, 587, 3306, 4444, 5432, 6379, 9300, 11211]);

/** The protocol of a Service's port, or of a container's port by its name. */
export function protocolOf(port: Pick<ServicePort, "appProtocol" | "name" | "port">): PortProtocol {
  const byAppProtocol = declared.get((port.appProtocol ?? "").toLowerCase());
  if (byAppProtocol !== undefined) return byAppProtocol;
  // An application protocol that we do not know is no HTTP that we know.
  if ((port.appProtocol ?? "") !== "") return "tcp";
  const name = (port.name ?? "").toLowerCase();
  const byName = declared.get(name.startsWith("grpc-web") ? "grpc-web" : (name.split("-", 1)[0] ?? ""));
  return byName ?? (serverFirstPorts.has(port.port) ? "tcp" : "auto");
}
