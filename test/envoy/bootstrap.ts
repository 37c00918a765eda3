/**
 * One bootstrap with a listener for each group of cases, for Envoy and for Wherry alike.
 *
 * Clusters: "a" and "b" answer with what they saw, "refused" has nobody who listens, "empty" has no endpoint.
 */
import type { CaseGroup, Fields } from "./types.ts";

export interface BootstrapOptions {
  readonly groups: readonly CaseGroup[];
  readonly ports: { readonly a: number; readonly b: number; readonly refused: number };
  /** Where each group's access log goes. */
  readonly logPath: (group: string) => string;
}

const types = "type.googleapis.com/envoy.";
const managerType = `${types}extensions.filters.network.http_connection_manager.v3.HttpConnectionManager`;

export function bootstrapOf({ groups, ports, logPath }: BootstrapOptions): Fields {
  return {
    admin: { address: socketAddress(0) },
    static_resources: {
      listeners: groups.map((group) => listenerOf(group, logPath(group.name))),
      clusters: [
        clusterOf("a", [ports.a]),
        clusterOf("b", [ports.b]),
        clusterOf("refused", [ports.refused]),
        clusterOf("empty", []),
      ],
    },
  };
}

function listenerOf(group: CaseGroup, logPath: string): Fields {
  const manager = {
    "@type": managerType,
    stat_prefix: "case",
    // Answers that end their connection are not waited for.
    delayed_close_timeout: "0s",
    ...group.manager,
    access_log: [
      {
        name: "log",
        typed_config: {
          "@type": `${types}extensions.access_loggers.file.v3.FileAccessLog`,
          path: logPath,
          log_format: { text_format_source: { inline_string: "%RESPONSE_FLAGS% %ROUTE_NAME% %UPSTREAM_CLUSTER%\n" } },
        },
      },
    ],
    route_config: { name: "routes", ...group.table, virtual_hosts: group.hosts ?? [hostOf(group)] },
    http_filters: [
      ...(group.filters ?? []),
      {
        name: "envoy.filters.http.router",
        typed_config: { "@type": `${types}extensions.filters.http.router.v3.Router` },
      },
    ],
  };
  return {
    name: group.name,
    address: socketAddress(0),
    filter_chains: [{ filters: [{ name: "envoy.filters.network.http_connection_manager", typed_config: manager }] }],
  };
}

function hostOf({ host = {}, routes = [] }: CaseGroup): Fields {
  return { name: "host", domains: ["*"], routes, ...host };
}

function clusterOf(name: string, ports: readonly number[]): Fields {
  const lb_endpoints = ports.map((port) => ({ endpoint: { address: socketAddress(port) } }));
  return {
    name,
    type: "STATIC",
    connect_timeout: "1s",
    load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints }] },
  };
}

function socketAddress(port: number): Fields {
  return { socket_address: { address: "127.0.0.1", port_value: port } };
}
