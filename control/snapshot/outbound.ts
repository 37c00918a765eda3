/**
 * Listeners for connections that leave a pod: one for each cluster IP and port, and the catch-all. Pure.
 *
 *   app ─▶ 15001 virtualOutbound ─▶ (original destination) ─▶ `<ip>_<port>` ─▶ routes or cluster; else PassthroughCluster
 *
 * The same for every sidecar, so made once.
 */
import type { Service } from "#api/core/service.ts";
import type { Listener } from "#api/xds/envoy.ts";
import { hostOfService, tcpPortsOf } from "./cluster.ts";
import { filterChainsOf, inspectorsFor, originalDst } from "./filter-chain.ts";
import { listenerName, outboundClusterName, outboundRouteName, passthroughCluster } from "./names.ts";
import { protocolOf } from "./protocol.ts";
import { clusterIPsOf } from "#api/wire/service-join.ts";

/** Where the pod's nftables rules redirect outgoing connections. */
const outboundPort = 15001;

/** The listeners of a Service's addresses. Headless Services have none: their clients connect to endpoints. */
export function outboundListenersOf(service: Service): readonly Listener[] {
  const host = hostOfService(service);
  return clusterIPsOf(service).flatMap((address) =>
    tcpPortsOf(service).map((port): Listener => {
      const protocol = protocolOf(port);
      return {
        name: listenerName(address, port.port),
        address: { socket_address: { address, port_value: port.port } },
        bind_to_port: false,
        traffic_direction: "OUTBOUND",
        ...(protocol === "auto" ? inspectorsFor() : {}),
        filter_chains: filterChainsOf(protocol, {
          statPrefix: `outbound_${listenerName(address, port.port)}`,
          routes: { rds: outboundRouteName(host, port.port) },
          cluster: outboundClusterName(host, port.port),
        }),
      };
    }),
  );
}

/** The listener that takes every outgoing connection and keeps those that no other listener wants. */
export const virtualOutbound: Listener = {
  name: "virtualOutbound",
  address: { socket_address: { address: "0.0.0.0", port_value: outboundPort } },
  use_original_dst: true,
  traffic_direction: "OUTBOUND",
  listener_filters: [originalDst],
  default_filter_chain: {
    name: "virtualOutbound-catchall-tcp",
    filters: filterChainsOf("tcp", {
      statPrefix: passthroughCluster,
      routes: { rds: "" },
      cluster: passthroughCluster,
    }).flatMap(({ filters }) => filters),
  },
};
