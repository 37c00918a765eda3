/** What is not supported is refused by its path, and what says only what is done anyway is taken. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { compileCluster } from "./cluster.ts";
import { compileListener } from "./listener.ts";
import { compileRoutes } from "./route.ts";

type Fields = Readonly<Record<string, unknown>>;

const prefix = "type.googleapis.com/envoy.extensions.filters";
const address = { socket_address: { address: "127.0.0.1", port_value: 80 } };
const router = { name: "router", typed_config: { "@type": `${prefix}.http.router.v3.Router` } };
const routes = { virtual_hosts: [{ name: "all", domains: ["*"], routes: [] }] };

const manager = (more: Fields): unknown => {
  const typed_config = {
    "@type": `${prefix}.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: "x",
    http_filters: [router],
    ...(more["rds"] === undefined ? { route_config: routes } : {}),
    ...more,
  };
  const chain = { filters: [{ name: "hcm", typed_config }] };
  return compileListener({ name: "l", address, filter_chains: [chain] });
};
const tunnel = (more: Fields): unknown => {
  const typed_config = { "@type": `${prefix}.network.tcp_proxy.v3.TcpProxy`, cluster: "c", ...more };
  return compileListener({ name: "l", address, filter_chains: [{ filters: [{ name: "tcp", typed_config }] }] });
};
const filter = (typed_config: Fields): unknown => manager({ http_filters: [{ name: "f", typed_config }, router] });
const cluster = (more: Fields): unknown => compileCluster({ name: "c", ...more });
const route = (action: Fields, host: Fields = {}): unknown =>
  compileRoutes({
    virtual_hosts: [
      {
        name: "all",
        domains: ["*"],
        ...host,
        routes: [
          { match: { prefix: "/" }, route: { ...(action["weighted_clusters"] ? {} : { cluster: "c" }), ...action } },
        ],
      },
    ],
  });
const compressing = (library: Fields, more: Fields = {}): unknown =>
  filter({
    "@type": `${prefix}.http.compressor.v3.Compressor`,
    compressor_library: {
      name: "gzip",
      typed_config: {
        "@type": "type.googleapis.com/envoy.extensions.compression.gzip.compressor.v3.Gzip",
        ...library,
      },
    },
    ...more,
  });
const routed = (setting: Fields): unknown => route({}, { typed_per_filter_config: { f: setting } });
const dns = (more: Fields): unknown => {
  const lb_endpoints = [{ endpoint: { address } }];
  const load_assignment = { cluster_name: "c", endpoints: [{ lb_endpoints }] };
  return cluster({ type: "STRICT_DNS", load_assignment, ...more });
};
const checked = (more: Fields): unknown => {
  const times = { timeout: "1s", interval: "1s", unhealthy_threshold: 1, healthy_threshold: 1 };
  return cluster({ health_checks: [{ ...times, tcp_health_check: {}, ...more }] });
};
const redis = (more: Fields): unknown =>
  filter({
    "@type": "type.googleapis.com/wherry.v1.RedisRateLimit",
    domain: "d",
    url: "redis://localhost",
    limits: [{ descriptors: [{ key: "k" }], requests_per_unit: 1, unit: "SECOND" }],
    ...more,
  });
const limiting = (more: Fields): unknown =>
  filter({
    "@type": `${prefix}.http.ratelimit.v3.RateLimit`,
    domain: "d",
    rate_limit_service: { grpc_service: { envoy_grpc: { cluster_name: "rls" } } },
    ...more,
  });

const refused: readonly (readonly [path: string, () => unknown])[] = [
  ["stat_prefix", () => manager({ stat_prefix: "" })],
  ["stat_prefix", () => tunnel({})],
  ["http_filters", () => manager({ http_filters: [] })],
  ["generate_request_id", () => manager({ generate_request_id: false })],
  [
    "session_state.typed_config.@type",
    () =>
      filter({
        "@type": `${prefix}.http.stateful_session.v3.StatefulSession`,
        session_state: { name: "s", typed_config: { "@type": "type.googleapis.com/x" } },
      }),
  ],
  [
    "hash_policy[0].cookie.attributes[0].name",
    () => route({ hash_policy: [{ cookie: { name: "c", attributes: [{ name: "Same Site" }] } }] }),
  ],
  [
    "hash_policy[0].cookie.attributes[0].value",
    () => route({ hash_policy: [{ cookie: { name: "c", attributes: [{ name: "a", value: "b; c=d" }] } }] }),
  ],
  ["request_direction_config.common_config.enabled", () => compressing({}, { request_direction_config: {} })],
  ["compressor_library.typed_config.window_bits", () => compressing({ window_bits: 16 })],
  ["compressor_library.typed_config.memory_level", () => compressing({ memory_level: 0 })],
  ["content_length", () => compressing({}, { content_length: 100 })],
  ["max_request_bytes", () => filter({ "@type": `${prefix}.http.buffer.v3.Buffer` })],
  ["max_request_bytes", () => filter({ "@type": `${prefix}.http.buffer.v3.Buffer`, max_request_bytes: 0 })],
  [
    'typed_per_filter_config["f"].buffer',
    () => routed({ "@type": `${prefix}.http.buffer.v3.BufferPerRoute`, disabled: true, buffer: {} }),
  ],
  ["forward_client_cert_details", () => manager({ forward_client_cert_details: "APPEND_FORWARD" })],
  ["forward_client_cert_details", () => manager({ forward_client_cert_details: "SANITIZE_SET" })],
  ["add_user_agent", () => manager({ add_user_agent: true })],
  ["delayed_close_timeout", () => manager({ delayed_close_timeout: "60s" })],
  ["drain_timeout", () => manager({ drain_timeout: "60s" })],
  ["stream_error_on_invalid_http_message", () => manager({ stream_error_on_invalid_http_message: true })],
  ["tracing", () => manager({ tracing: { provider: { name: "zipkin" } } })],
  ["access_log_options", () => manager({ access_log_options: { flush_access_log_on_new_request: true } })],
  ["local_reply_config.mappers[0].filter", () => manager({ local_reply_config: { mappers: [{}] } })],
  ["rds.config_source.ads", () => manager({ rds: { route_config_name: "r", config_source: { path: "/r" } } })],
  ["http_protocol_options.allow_absolute_url", () => manager({ http_protocol_options: { allow_absolute_url: false } })],
  [
    "header_key_format.proper_case_words",
    () => manager({ http_protocol_options: { header_key_format: { proper_case_words: {} } } }),
  ],
  ["hpack_table_size", () => manager({ http2_protocol_options: { hpack_table_size: 0 } })],
  ["max_outbound_frames", () => manager({ http2_protocol_options: { max_outbound_frames: 5 } })],
  ["connection_keepalive", () => manager({ http2_protocol_options: { connection_keepalive: { interval: "5s" } } })],
  [
    "start_child_span",
    () => manager({ http_filters: [{ ...router, typed_config: { ...router.typed_config, start_child_span: true } }] }),
  ],
  ["hedge_policy.initial_requests", () => route({ hedge_policy: { initial_requests: 2 } })],
  [
    "rate_limits[0].actions[0].metadata",
    () => route({ rate_limits: [{ actions: [{ metadata: { descriptor_key: "k" } }] }] }),
  ],
  [
    "rate_limits[0].disable_key",
    () => route({ rate_limits: [{ disable_key: "k", actions: [{ remote_address: {} }] }] }),
  ],
  [
    "rate_limits",
    () =>
      route(
        { weighted_clusters: { clusters: [{ name: "c", weight: 1 }] } },
        { rate_limits: [{ actions: [{ destination_cluster: {} }] }] },
      ),
  ],
  ["respect_dns_ttl", () => dns({ respect_dns_ttl: true })],
  [
    "dns_failure_refresh_rate.max_interval",
    () => dns({ dns_failure_refresh_rate: { base_interval: "1s", max_interval: "9s" } }),
  ],
  ["no_traffic_interval", () => checked({ no_traffic_interval: "60s" })],
  ["reuse_connection", () => checked({ reuse_connection: true })],
  [
    "enforcing_local_origin_success_rate",
    () =>
      cluster({
        outlier_detection: { split_external_local_origin_errors: true, enforcing_local_origin_success_rate: 100 },
      }),
  ],
  ["url", () => redis({ url: "http://localhost" })],
  ["limits[0].unit", () => redis({ limits: [{ descriptors: [{ key: "k" }], unit: "YEAR" }] })],
  ["enable_x_ratelimit_headers", () => limiting({ enable_x_ratelimit_headers: "DRAFT_VERSION_03" })],
  ["http_filters[0].typed_config.@type", () => filter({})],
  ["http_filters", () => manager({ http_filters: [{ ...router, disabled: true }] })],
  ["request_type", () => limiting({ request_type: "internal" })],
  ["grpc_service.google_grpc", () => limiting({ rate_limit_service: { grpc_service: { google_grpc: {} } } })],
];

const taken: readonly (readonly [what: string, () => unknown])[] = [
  ["a tunnel", () => tunnel({ stat_prefix: "x" })],
  [
    "the defaults of a manager",
    () =>
      manager({
        generate_request_id: true,
        drain_timeout: "5s",
        delayed_close_timeout: "1s",
        proxy_100_continue: true,
        forward_client_cert_details: "SANITIZE",
      }),
  ],
  ["routes from the control plane", () => manager({ rds: { route_config_name: "r", config_source: { ads: {} } } })],
  ["a service that limits", () => limiting({ request_type: "both", stage: 1, failure_mode_deny: true })],
  ["limits in Redis", () => redis({ timeout: "0.05s" })],
  ["failures at one rate", () => dns({ dns_failure_refresh_rate: { base_interval: "1s", max_interval: "1s" } })],
  ["copies", () => route({ request_mirror_policies: [{ cluster: "d" }] })],
];

describe("Configuration", () => {
  for (const [path, compile] of refused)
    it(`refuses ${path}`, () => {
      assert.throws(
        compile,
        (error: Error) => error.message.includes(`.${path}: `) || error.message.includes(` ${path}: `),
      );
    });

  for (const [what, compile] of taken) it(`takes ${what}`, () => assert.doesNotThrow(compile));
});
