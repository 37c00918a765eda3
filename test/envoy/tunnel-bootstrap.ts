/** One bootstrap with a listener and a cluster for each tunnel, for Envoy and for Wherry alike. */
import type { TunnelCase } from "./tunnel-cases.ts";
import type { Fields } from "./types.ts";

const types = "type.googleapis.com/envoy.";
const filters = `${types}extensions.filters`;

interface TunnelWorld {
  /** Of each case's upstream. */
  readonly ports: readonly number[];
  readonly logPath: (at: number) => string;
}

export function tunnelBootstrap(cases: readonly TunnelCase[], { ports, logPath }: TunnelWorld): Fields {
  return {
    node: { id: "tunnel", cluster: "tunnels" },
    admin: { address: socketAddress(0) },
    static_resources: {
      listeners: cases.map((one, at) => ({
        name: `tunnel-${at}`,
        address: socketAddress(0),
        filter_chains: [
          { filters: [one.downstream === "tcp" ? proxyOf(one, at, logPath(at)) : managerOf(one, at, logPath(at))] },
        ],
      })),
      clusters: cases.map((one, at) => clusterOf(one, at, ports[at]!)),
    },
  };
}

function proxyOf({ tunneling }: TunnelCase, at: number, path: string): Fields {
  const config = {
    "@type": `${filters}.network.tcp_proxy.v3.TcpProxy`,
    stat_prefix: `tunnel-${at}`,
    cluster: `tunnel-${at}`,
    tunneling_config: { hostname: "host.example:443", ...tunneling },
    access_log: [logTo(path)],
  };
  return { name: "envoy.filters.network.tcp_proxy", typed_config: config };
}

function managerOf({ upstream, isWebSocket = false }: TunnelCase, at: number, path: string): Fields {
  const connect = { upgrade_type: "CONNECT", ...(upstream === "tcp" ? { connect_config: {} } : {}) };
  const cluster = `tunnel-${at}`;
  const routes = [
    { match: { connect_matcher: {} }, route: { cluster, upgrade_configs: [connect] } },
    { match: { prefix: "/" }, route: { cluster, timeout: "1s" } },
  ];
  const config = {
    "@type": `${filters}.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: cluster,
    delayed_close_timeout: "0s",
    http2_protocol_options: { allow_connect: true },
    ...(isWebSocket ? { upgrade_configs: [{ upgrade_type: "websocket" }] } : {}),
    access_log: [logTo(path)],
    route_config: { name: "routes", virtual_hosts: [{ name: "host", domains: ["*"], routes }] },
    http_filters: [
      { name: "envoy.filters.http.router", typed_config: { "@type": `${filters}.http.router.v3.Router` } },
    ],
  };
  return { name: "envoy.filters.network.http_connection_manager", typed_config: config };
}

function logTo(path: string): Fields {
  return {
    name: "log",
    typed_config: {
      "@type": `${types}extensions.access_loggers.file.v3.FileAccessLog`,
      path,
      log_format: { text_format_source: { inline_string: "%RESPONSE_CODE% %RESPONSE_FLAGS%\n" } },
    },
  };
}

function clusterOf({ upstream }: TunnelCase, at: number, port: number): Fields {
  const optionsName = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
  const explicit_http_config =
    upstream === "http2" ? { http2_protocol_options: { allow_connect: true } } : { http_protocol_options: {} };
  return {
    name: `tunnel-${at}`,
    type: "STATIC",
    connect_timeout: "1s",
    load_assignment: {
      cluster_name: `tunnel-${at}`,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: socketAddress(port) } }] }],
    },
    typed_extension_protocol_options: {
      [optionsName]: { "@type": `type.googleapis.com/${optionsName}`, explicit_http_config },
    },
  };
}

function socketAddress(port: number): Fields {
  return { socket_address: { address: "127.0.0.1", port_value: port } };
}
