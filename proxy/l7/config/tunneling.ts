/**
 * TcpProxy's tunneling_config → TunnelRequest: what asks an upstream for the tunnel of a TCP connection. Pure.
 *
 *   Reader of a TcpProxy ─▶ readTunneling() ─▶ tcp-tunnel.ts
 *
 * Source: envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy.TunnelingConfig.
 */
import { compileTemplate } from "../accesslog/template.ts";
import type { TunnelRequest } from "../tunnel-request.ts";
import { readHeaderAdds } from "./headers.ts";
import type { Reader } from "./reader.ts";

/** Undefined: connections go to the cluster as they are. */
export function readTunneling(config: Reader): TunnelRequest | undefined {
  const tunneling = config.object("tunneling_config");
  if (tunneling === undefined) return undefined;
  const text = tunneling.wantText("hostname");
  const hostname = compileTemplate(text, (why) => tunneling.bad("hostname", why));
  const adds = readHeaderAdds(tunneling, "headers_to_add");
  tunneling
    .allow("use_post", [false], "tunnels are asked for by CONNECT")
    .allow("propagate_response_headers", [false], "nobody reads the upstream's headers")
    .allow("propagate_response_trailers", [false], "nobody reads the upstream's trailers")
    .done();
  return { hostname, mutations: { adds, removes: [] } };
}
