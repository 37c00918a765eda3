/**
 * How queries reach upstreams: plain sockets when alone, inherited sockets of the host's network inside a node agent.
 *
 *   plugins/forward ─▶ UpstreamTransport ─▶ dgram, net
 */
import { createSocket, type Socket as DatagramSocket } from "node:dgram";
import { once } from "node:events";
import { connect, isIPv6, type Socket } from "node:net";

export interface UpstreamTransport {
  /** Whether the sockets of `udp` are connected to their upstream. Otherwise they are for all of its family. */
  readonly isConnected: boolean;
  /** Bound UDP sockets for queries to an upstream; the caller closes them. Empty: there are none. */
  udp(to: { readonly address: string; readonly port: number }): Promise<readonly DatagramSocket[]>;
  /** A TCP connection, made or under way; rejects when there can be none. */
  tcp(address: string, port: number): Socket | Promise<Socket>;
}

/** Sockets of one upstream, each on a port that the kernel chose: more to guess for who forges answers. */
const socketsPerUpstream = 16;

/** Where answers come from is an address already: no lookup. */
function createUpstreamSocket(family: 4 | 6): DatagramSocket {
  return createSocket({
    type: family === 4 ? "udp4" : "udp6",
    lookup: (address, _options, done) => done(null, address, isIPv6(address) ? 6 : 4),
  });
}

function connectTo(address: string, port: number): Socket {
  return connect({ host: address, port });
}

export const plainTransport: UpstreamTransport = {
  isConnected: true,
  async udp({ address, port }) {
    const sockets = Array.from({ length: socketsPerUpstream }, () => createUpstreamSocket(isIPv6(address) ? 6 : 4));
    try {
      await Promise.all(
        sockets.map((socket) => {
          const connected = once(socket, "connect");
          socket.connect(port, address);
          return connected;
        }),
      );
    } catch (error) {
      // The caller has none of them and tries again: those that were bound must not pile up.
      for (const socket of sockets) socket.close();
      throw error;
    }
    return sockets;
  },
  tcp: connectTo,
};

/**
 * UDP through these bound IPv4 sockets, given as descriptors; TCP by `tcp`. They stay unconnected: they are few, of the
 * host's network, and no others can be made here. Connected, each upstream would have a share of their ports (easier to
 * guess) and of their routes (a laptop that changes its network keeps the old address until somebody connects again).
 * That nobody listens is therefore learned by deadlines and probes: questions of an outage's first seconds wait for
 * theirs. The kernel would tell it of unconnected sockets, too (IP_RECVERR), but Node.js 26 aborts when libuv hands such
 * a report to node:dgram.
 */
export function inheritedTransport(descriptors: readonly number[], tcp: UpstreamTransport["tcp"]): UpstreamTransport {
  return {
    isConnected: false,
    udp({ address }) {
      if (isIPv6(address)) return Promise.resolve([]);
      return Promise.all(
        descriptors.map(async (fd) => {
          const socket = createUpstreamSocket(4);
          const listening = once(socket, "listening");
          socket.bind({ fd });
          await listening;
          return socket;
        }),
      );
    },
    tcp,
  };
}
