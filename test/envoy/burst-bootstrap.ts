/** One bootstrap with a listener and a cluster for each burst, for Envoy and for Wherry alike. */
import type { BurstCase } from "./burst-cases.ts";
import type { HoldingUpstream } from "./holding-upstream.ts";
import type { Fields } from "./types.ts";

const types = "type.googleapis.com/envoy.";

interface BurstWorld {
  readonly upstreams: ReadonlyMap<string, HoldingUpstream>;
  readonly logPath: (at: number) => string;
}

export function burstBootstrap(cases: readonly BurstCase[], { upstreams, logPath }: BurstWorld): Fields {
  return {
    node: { id: "burst", cluster: "bursts" },
    admin: { address: socketAddress(0) },
    static_resources: {
      listeners: cases.map((_one, at) => listenerOf(at, logPath(at))),
      clusters: cases.map((one, at) => clusterOf(one, at, upstreams.get(one.name)!)),
    },
  };
}

function listenerOf(at: number, path: string): Fields {
  const format = "%REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS%\n";
  const manager = {
    "@type": `${types}extensions.filters.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: `burst-${at}`,
    delayed_close_timeout: "0s",
    access_log: [
      {
        name: "log",
        typed_config: {
          "@type": `${types}extensions.access_loggers.file.v3.FileAccessLog`,
          path,
          log_format: { text_format_source: { inline_string: format } },
        },
      },
    ],
    route_config: {
      name: "routes",
      virtual_hosts: [{ name: "host", domains: ["*"], routes: routesTo(`burst-${at}`) }],
    },
    http_filters: [
      {
        name: "envoy.filters.http.router",
        typed_config: { "@type": `${types}extensions.filters.http.router.v3.Router` },
      },
    ],
  };
  return {
    name: `burst-${at}`,
    address: socketAddress(0),
    filter_chains: [{ filters: [{ name: "envoy.filters.network.http_connection_manager", typed_config: manager }] }],
  };
}

function routesTo(cluster: string): readonly Fields[] {
  const isHigh = { name: "x-priority", string_match: { exact: "high" } };
  return [
    { match: { prefix: "/", headers: [isHigh] }, route: { cluster, priority: "HIGH" } },
    { match: { prefix: "/" }, route: { cluster } },
  ];
}

function clusterOf({ protocol, cluster = {}, http2 = {} }: BurstCase, at: number, upstream: HoldingUpstream): Fields {
  const lb_endpoints = upstream.ports.map((port) => ({ endpoint: { address: socketAddress(port) } }));
  const optionsName = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
  const explicit_http_config = protocol === "http2" ? { http2_protocol_options: http2 } : { http_protocol_options: {} };
  return {
    name: `burst-${at}`,
    type: "STATIC",
    connect_timeout: "1s",
    load_assignment: { cluster_name: `burst-${at}`, endpoints: [{ lb_endpoints }] },
    typed_extension_protocol_options: {
      [optionsName]: { "@type": `type.googleapis.com/${optionsName}`, explicit_http_config },
    },
    ...cluster,
  };
}

function socketAddress(port: number): Fields {
  return { socket_address: { address: "127.0.0.1", port_value: port } };
}
