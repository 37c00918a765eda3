/**
 * How queries reach upstreams: plain sockets when alone, inherited sockets of the host's network inside a node agent.
 *
 *   plugins/forward ─▶ UpstreamTransport ─▶ node:dgram or DatagramPort, node:net
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect, isIPv6, type Socket } from "node:net";

export interface UpstreamAddress {
  readonly address: string;
  readonly port: number;
}

export interface UpstreamTransport {
  /** Whether the sockets of `udp` are connected to their upstream. Otherwise they are for all of its family. */
  readonly isConnected: boolean;
  /** Bound UDP sockets for queries to an upstream; the caller closes them. Empty: there are none. */
  udp(to: UpstreamAddress): Promise<readonly UpstreamSocket[]>;
  /** A TCP connection, made or under way; rejects when there can be none. */
  tcp(address: string, port: number): Socket | Promise<Socket>;
}

export interface UpstreamSocket {
  /** `done` is told an error where the question was not sent. */
  send(bytes: Buffer, to: UpstreamAddress, done: (error: Error | null) => void): void;
  /** To be called before anything is sent. */
  hear(listener: UpstreamListener): void;
  close(): void;
}

export interface UpstreamListener {
  readonly message: (bytes: Buffer, from: UpstreamAddress) => void;
  /** Of a connected socket: nobody listens. */
  readonly failed: () => void;
  /** Of another: what begins with these bytes did not arrive. */
  readonly undelivered: (bytes: Buffer, to: UpstreamAddress) => void;
}

/** Sockets of one upstream, each on a port that the kernel chose: more to guess for who forges answers. */
const socketsPerUpstream = 16;

/** A socket that hears of one upstream only, and that nobody listens there. */
async function connectSocket(to: UpstreamAddress): Promise<UpstreamSocket> {
  const family = isIPv6(to.address) ? 6 : 4;
  // Where answers come from is an address already: no lookup.
  const lookup = (address: string, _options: unknown, done: (error: null, address: string, family: number) => void) =>
    done(null, address, family);
  const socket = createSocket({ type: family === 6 ? "udp6" : "udp4", lookup });
  try {
    const connected = once(socket, "connect");
    socket.connect(to.port, to.address);
    await connected;
  } catch (error) {
    socket.close();
    throw error;
  }
  return {
    send: (bytes, _to, done) => socket.send(bytes, done),
    hear({ message, failed }) {
      socket.on("message", message);
      socket.on("error", failed);
    },
    close: () => socket.close(),
  };
}

function connectTo(address: string, port: number): Socket {
  return connect({ host: address, port });
}

export const plainTransport: UpstreamTransport = {
  isConnected: true,
  async udp(to) {
    const made = await Promise.allSettled(Array.from({ length: socketsPerUpstream }, () => connectSocket(to)));
    const sockets = made.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
    const [failure] = made.flatMap((each) => (each.status === "rejected" ? [each.reason as Error] : []));
    if (failure === undefined) return sockets;
    // The caller has none of them and tries again: those that were bound must not pile up.
    for (const socket of sockets) socket.close();
    throw failure;
  },
  tcp: connectTo,
};

/**
 * UDP through these bound IPv4 sockets, given as descriptors; TCP by `tcp`. They stay unconnected: they are few, of the
 * host's network, and no others can be made here. Connected, each upstream would have a share of their ports (easier to
 * guess) and of their routes (a laptop that changes its network keeps the old address until somebody connects again).
 * What did not arrive is told by the kernel all the same, by the question's own bytes.
 */
export function inheritedTransport(descriptors: readonly number[], tcp: UpstreamTransport["tcp"]): UpstreamTransport {
  return {
    isConnected: false,
    async udp({ address }) {
      if (isIPv6(address)) return [];
      const { DatagramPort } = await import("#lib/datagram-port.ts");
      return descriptors.map((fd): UpstreamSocket => {
        const socket = new DatagramPort(fd);
        return {
          send: (bytes, to, done) => socket.send(bytes, to.port, to.address, done),
          hear({ message, undelivered }) {
            socket.on("message", message);
            socket.on("undelivered", (to, port, bytes) => undelivered(bytes, { address: to, port }));
          },
          close: () => socket.close(),
        };
      });
    },
    tcp,
  };
}
