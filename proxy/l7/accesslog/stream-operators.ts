/** Operators that tell of a request as a whole: its connections, times, sizes and end. Source: Envoy's StreamInfo. */
import { isIPv6 } from "node:net";
import { hostname } from "node:os";
import { forwardedAddress } from "../route/client-address.ts";
import { flagNames } from "./flags.ts";
import type { FormatRecord, OperatorSpec } from "./types.ts";

export const streamOperators: Readonly<Record<string, OperatorSpec>> = {
  PROTOCOL: ({ protocol, head }) => protocol ?? head?.protocol,
  RESPONSE_CODE: ({ status }) => status,
  RESPONSE_CODE_DETAILS: ({ details }) => details,
  RESPONSE_FLAGS: ({ flag }) => flag,
  RESPONSE_FLAGS_LONG: ({ flag }) => flagNames.get(flag) ?? flag,
  BYTES_RECEIVED: ({ requestBytes }) => requestBytes,
  BYTES_SENT: ({ responseBytes }) => responseBytes,
  DURATION: ({ durationMs, elapsedMs }) => Math.floor(elapsedMs ?? durationMs),
  REQUEST_DURATION: ({ requestMs }) => whole(requestMs),
  RESPONSE_DURATION: ({ responseMs }) => whole(responseMs),
  RESPONSE_TX_DURATION: ({ responseMs, durationMs, elapsedMs }) =>
    responseMs === undefined || elapsedMs !== undefined ? undefined : Math.floor(durationMs - responseMs),
  UPSTREAM_HOST: ({ endpoint }) => endpoint && hostPort(endpoint.address, endpoint.port),
  UPSTREAM_HOST_NAME: ({ endpoint }) => endpoint && (hostNameOf(endpoint) ?? hostPort(endpoint.address, endpoint.port)),
  UPSTREAM_HOST_NAME_WITHOUT_PORT: ({ endpoint }) => endpoint && (hostNameOf(endpoint) ?? endpoint.address),
  // Unlike the host, these are known of a connection that came about.
  UPSTREAM_REMOTE_ADDRESS: ({ endpoint, upstream }) =>
    endpoint && upstream && hostPort(endpoint.address, endpoint.port),
  UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT: ({ endpoint, upstream }) => upstream && endpoint?.address,
  UPSTREAM_REMOTE_PORT: ({ endpoint, upstream }) => upstream && endpoint?.port,
  UPSTREAM_CLUSTER: ({ cluster }) => cluster?.name,
  UPSTREAM_CLUSTER_RAW: ({ cluster }) => cluster?.name,
  UPSTREAM_LOCAL_ADDRESS: ({ upstream }) => hostPort(plainAddress(upstream), upstream?.socket?.localPort),
  UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT: ({ upstream }) => plainAddress(upstream),
  UPSTREAM_LOCAL_PORT: ({ upstream }) => upstream?.socket?.localPort,
  UPSTREAM_PROTOCOL: ({ upstream }) => upstream?.protocol,
  UPSTREAM_REQUEST_ATTEMPT_COUNT: ({ attempts }) => attempts,
  UPSTREAM_TRANSPORT_FAILURE_REASON: ({ upstreamFailure }) => upstreamFailure,
  // Envoy has some where a network filter or a TLS error ends a connection that served requests; here none does.
  CONNECTION_TERMINATION_DETAILS: () => undefined,
  LOCAL_REPLY_BODY: ({ localReplyBody }) => localReplyBody ?? "",
  DOWNSTREAM_REMOTE_ADDRESS: (record) => {
    const { address, port } = clientOf(record);
    return hostPort(address, port);
  },
  DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT: (record) => clientOf(record).address || undefined,
  DOWNSTREAM_REMOTE_PORT: (record) => clientOf(record).port,
  DOWNSTREAM_DIRECT_REMOTE_ADDRESS: ({ connection: { remoteAddress, remotePort } }) =>
    hostPort(remoteAddress, remotePort),
  DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT: ({ connection }) => connection.remoteAddress || undefined,
  DOWNSTREAM_DIRECT_REMOTE_PORT: ({ connection }) => connection.remotePort,
  DOWNSTREAM_DIRECT_LOCAL_ADDRESS: ({ connection: { localAddress, localPort } }) => hostPort(localAddress, localPort),
  DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT: ({ connection }) => connection.localAddress,
  DOWNSTREAM_DIRECT_LOCAL_PORT: ({ connection }) => connection.localPort,
  DOWNSTREAM_LOCAL_ADDRESS: ({ connection: { localAddress, localPort } }) => hostPort(localAddress, localPort),
  DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT: ({ connection }) => connection.localAddress,
  DOWNSTREAM_LOCAL_PORT: ({ connection }) => connection.localPort,
  REQUESTED_SERVER_NAME: ({ connection }) => connection.serverName || undefined,
  CONNECTION_ID: ({ connection }) => connection.id,
  FILTER_CHAIN_NAME: ({ connection }) => connection.chainName || undefined,
  HOSTNAME: () => (machine ??= hostname()),
  ROUTE_NAME: ({ routeName }) => routeName || undefined,
  VIRTUAL_HOST_NAME: ({ virtualHostName }) => virtualHostName || undefined,
};

/** The downstream as far as proxies in front are believed; they tell no port, which is 0 then, as in Envoy. */
function clientOf({ connection, head, received = head }: FormatRecord): { address: string; port: number | undefined } {
  const { trust, remoteAddress, remotePort } = connection;
  const forwarded = trust && received && forwardedAddress(received.headers, trust);
  return forwarded === undefined ? { address: remoteAddress, port: remotePort } : { address: forwarded, port: 0 };
}

function whole(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : Math.floor(ms);
}

function hostPort(address: string | undefined, port: number | undefined): string | undefined {
  if (address === undefined || address === "") return undefined;
  const host = isIPv6(address) ? `[${address}]` : address;
  return port === undefined ? host : `${host}:${port}`;
}

type Upstream = FormatRecord["upstream"];

/** Without the prefix that a dual-stack socket gives IPv4. */
function plainAddress(upstream: Upstream): string | undefined {
  return upstream?.socket?.localAddress?.replace(/^::ffff:/, "");
}

/** The name that an endpoint was configured with. */
function hostNameOf({ address, hostname: name }: NonNullable<FormatRecord["endpoint"]>): string | undefined {
  return name === undefined || name === "" || name === address ? undefined : name;
}

/** Asked for once. */
let machine: string | undefined;
