/**
 * How a cluster's connections speak: HttpProtocolOptions and the older fields of Cluster → UpstreamOptions. Pure.
 *
 *   Reader of a Cluster ─▶ readUpstream() ─▶ pool.ts
 *
 * Source: envoy.extensions.upstreams.http.v3.HttpProtocolOptions, envoy.config.cluster.v3.Cluster.
 */
import { type UpstreamOptions, type UpstreamProtocol, upstreamOptionsDefault } from "../options.ts";
import { readFixedHTTP1, readHTTP2 } from "./http.ts";
import type { Reader } from "./reader.ts";

const optionsName = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/** `isTLS`: the cluster has a TLS transport, without which ALPN has nobody to ask. */
export function readUpstream(cluster: Reader, isTLS: boolean): UpstreamOptions {
  const [entry, second] = cluster.entries("typed_extension_protocol_options");
  const requestsMax = cluster.integer("max_requests_per_connection", 0) ?? 0;
  if (entry === undefined) return readLegacy(cluster, requestsMax);
  const [name, options] = entry;
  if (second !== undefined || name !== optionsName)
    throw cluster.unsupported("typed_extension_protocol_options", `wanted ${optionsName} alone`);
  options.oneOf("@type", [`type.googleapis.com/${optionsName}`]);
  const common = readCommon(options.object("common_http_protocol_options"));
  const choices = ["explicit_http_config", "use_downstream_protocol_config", "auto_config"] as const;
  const chosen = choices.filter((one) => options.isSet(one));
  if (chosen.length !== 1)
    throw options.bad("explicit_http_config", "wanted exactly one of explicit_http_config and its alternatives");
  const config = options.wantObject(chosen[0]!);
  const protocol = protocolOf(chosen[0]!, config);
  if (protocol === "auto" && !isTLS) throw options.bad("auto_config", "ALPN wants a TLS transport_socket");
  const http1 = config.object("http_protocol_options");
  const http2 = config.object("http2_protocol_options");
  const sendsTrailers = http1?.flag("enable_trailers") ?? false;
  readFixedHTTP1(http1);
  http1?.done();
  config.done();
  options.done();
  return {
    protocol,
    idleMs: common.idleMs,
    requestsMax: common.requestsMax ?? requestsMax,
    sendsTrailers,
    http2: http2 === undefined ? upstreamOptionsDefault.http2 : readHTTP2(http2),
  };
}

function readLegacy(cluster: Reader, requestsMax: number): UpstreamOptions {
  const isHTTP2 = cluster.isSet("http2_protocol_options");
  const http2 = cluster.object("http2_protocol_options");
  const common = readCommon(cluster.object("common_http_protocol_options"));
  const http1 = cluster.object("http_protocol_options");
  const sendsTrailers = http1?.flag("enable_trailers") ?? false;
  http1?.done();
  const selection = cluster.oneOf("protocol_selection", ["USE_CONFIGURED_PROTOCOL", "USE_DOWNSTREAM_PROTOCOL"]);
  const configured: UpstreamProtocol = isHTTP2 ? "http2" : "http1";
  return {
    protocol: selection === "USE_DOWNSTREAM_PROTOCOL" ? "downstream" : configured,
    idleMs: common.idleMs,
    requestsMax: common.requestsMax ?? requestsMax,
    sendsTrailers,
    http2: http2 === undefined ? upstreamOptionsDefault.http2 : readHTTP2(http2),
  };
}

function protocolOf(choice: string, config: Reader): UpstreamProtocol {
  if (choice === "auto_config") return "auto";
  if (choice === "use_downstream_protocol_config") return "downstream";
  return config.isSet("http2_protocol_options") ? "http2" : "http1";
}

function readCommon(reader: Reader | undefined): { idleMs: number | undefined; requestsMax: number | undefined } {
  if (reader === undefined) return { idleMs: undefined, requestsMax: undefined };
  const idleMs = reader.durationMs("idle_timeout");
  const requestsMax = reader.integer("max_requests_per_connection", 0);
  reader.done();
  return { idleMs, requestsMax };
}
