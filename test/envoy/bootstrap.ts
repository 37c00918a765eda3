/**
 * One bootstrap with a listener for each group of cases, for Envoy and for Wherry alike.
 *
 * Clusters: "a" and "b" answer with what they saw, "pair" has both, "refused" has nobody who listens, "empty" has no
 * endpoint, "rls" limits rates, "full" takes no request, "ejecting" loses its endpoint with the first error; "ring" and
 * "maglev" choose between "a" and "b" by hash.
 */
import type { CaseGroup, Fields } from "./types.ts";

export interface BootstrapOptions {
  readonly groups: readonly CaseGroup[];
  readonly ports: { readonly a: number; readonly b: number; readonly rls: number; readonly refused: number };
  /** Where each group's access log goes. */
  readonly logPath: (group: string) => string;
}

const types = "type.googleapis.com/envoy.";
const managerType = `${types}extensions.filters.network.http_connection_manager.v3.HttpConnectionManager`;

export function bootstrapOf({ groups, ports, logPath }: BootstrapOptions): Fields {
  return {
    node: { id: "case", cluster: "cases" },
    admin: { address: socketAddress(0) },
    static_resources: {
      listeners: groups.map((group) => listenerOf(group, logPath(group.name))),
      clusters: [
        clusterOf("a", [ports.a]),
        clusterOf("b", [ports.b]),
        clusterOf("pair", [ports.a, ports.b]),
        clusterOf("refused", [ports.refused]),
        clusterOf("empty", []),
        clusterOf("rls", [ports.rls], { http2_protocol_options: {} }),
        clusterOf("full", [ports.a], { circuit_breakers: { thresholds: [{ max_requests: 0 }] } }),
        clusterOf("ejecting", [ports.a], {
          outlier_detection: { consecutive_5xx: 1, max_ejection_percent: 100, base_ejection_time: "600s" },
          common_lb_config: { healthy_panic_threshold: { value: 0 } },
        }),
        hashedOf("ring", ports, { lb_policy: "RING_HASH", ring_hash_lb_config: { minimum_ring_size: 128 } }),
        hashedOf("maglev", ports, { lb_policy: "MAGLEV", maglev_lb_config: { table_size: 251 } }),
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

/** Endpoints are told apart by their names: ports differ from run to run. */
function hashedOf(name: string, { a, b }: BootstrapOptions["ports"], more: Fields): Fields {
  const lb_endpoints = Object.entries({ a, b }).map(([hostname, port]) => ({
    endpoint: { hostname, address: socketAddress(port) },
  }));
  const common_lb_config = { consistent_hashing_lb_config: { use_hostname_for_hashing: true } };
  const load_assignment = { cluster_name: name, endpoints: [{ lb_endpoints }] };
  // Envoy goes by names in clusters that resolve names.
  return { ...clusterOf(name, [], { type: "STRICT_DNS", common_lb_config, ...more }), load_assignment };
}

function clusterOf(name: string, ports: readonly number[], more: Fields = {}): Fields {
  const lb_endpoints = ports.map((port) => ({ endpoint: { address: socketAddress(port) } }));
  return {
    name,
    type: "STATIC",
    connect_timeout: "1s",
    load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints }] },
    ...more,
  };
}

function socketAddress(port: number): Fields {
  return { socket_address: { address: "127.0.0.1", port_value: port } };
}
