/**
 * What listens on one address: UDP and TCP together for `dns://`, TLS for `tls://`, HTTP for `https://`.
 *
 *   ListenAt ─▶ listen ─▶ udp.ts, stream.ts, https.ts ─▶ Respond
 *
 * Either everything of an address is open, or nothing.
 */
import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import type { Clock } from "#lib/clock.ts";
import { errnoOf, messageOf } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import type { Scheme } from "../corefile/parse.ts";
import { DNSError } from "../errors.ts";
import type { ServerCounters } from "../metrics.ts";
import type { Prebuilt } from "./prebuilt.ts";
import type { Respond } from "./respond.ts";
import { connectionsMaxDefault, idleMsDefault, type StreamOptions, StreamServer } from "./stream.ts";
import { listenUDP, type UDPListener } from "./udp.ts";

/** Descriptors of bound sockets (the TCP one listening), or an address. Port 0 lets the kernel choose, both alike. */
export type ListenAt =
  | { readonly udpFd: number; readonly tcpFd: number }
  | { readonly port: number; readonly address?: string };

/** PEM texts. */
export interface TLSFiles {
  readonly cert: string;
  readonly key: string;
  /** Clients must have a certificate of these. */
  readonly ca?: string;
  readonly requestCert?: boolean;
}

export interface ListenerOptions {
  readonly scheme: Scheme;
  readonly respond: Respond;
  /** Responses to the same messages, for UDP. */
  readonly prebuilt?: Prebuilt;
  readonly counters: ServerCounters;
  readonly clock: Clock;
  readonly log: Logger;
  readonly tls?: TLSFiles;
  readonly tcp?: Pick<StreamOptions, "connectionsMax" | "idleMs">;
}

export interface Listener {
  readonly port: number;
  close(): Promise<void>;
}

/** TCP connections that may wait for accept. */
const backlog = 4096;

/** Ports drawn before port 0 is given up: the one that TCP got may be taken for UDP. */
const drawsMax = 10;

/** Serves until closed. Rejects with CannotListen; then nothing is left open. */
export async function listen(at: ListenAt, options: ListenerOptions): Promise<Listener> {
  for (let draw = 1; ; draw++) {
    try {
      return await listenOnce(at, options);
    } catch (error) {
      const isTaken = error instanceof Error && errnoOf(error.cause) === "EADDRINUSE";
      if (!isTaken || !("port" in at) || at.port !== 0 || draw === drawsMax) throw error;
    }
  }
}

async function listenOnce(at: ListenAt, options: ListenerOptions): Promise<Listener> {
  const { scheme, respond, prebuilt, counters, clock, log } = options;
  const proto = scheme === "dns" ? "tcp" : scheme;
  const streams = new StreamServer({ respond, counters, clock, proto, ...options.tcp });
  const open: OpenSockets = { server: await createStreamServer(streams, options), udp: undefined, streams };
  try {
    const port = await listenStream(open.server, at);
    if (scheme === "dns") {
      const bindAt = "port" in at ? { address: at.address ?? "0.0.0.0", port } : { fd: at.udpFd };
      open.udp = await listenUDP(bindAt, { respond, counters, log, ...(prebuilt === undefined ? {} : { prebuilt }) });
    }
    // After binding, an error is one of a single accept: counted, and the others go on.
    open.server.on("error", () => counters.sendFailures++);
    return { port, close: () => closeAll(open) };
  } catch (cause) {
    await closeAll(open);
    const place = "port" in at ? `${at.address ?? "0.0.0.0"}:${at.port}` : `descriptors ${at.udpFd}, ${at.tcpFd}`;
    throw new DNSError("CannotListen", `Cannot listen on ${place}: ${messageOf(cause)}`, { cause });
  }
}

interface OpenSockets {
  readonly server: Server;
  udp: UDPListener | undefined;
  readonly streams: StreamServer;
}

async function createStreamServer(streams: StreamServer, options: ListenerOptions): Promise<Server> {
  const { scheme, respond, counters, tls, clock } = options;
  const accept = (socket: Socket): void => streams.accept(socket);
  if (scheme === "dns") return createServer({ allowHalfOpen: true }, accept);
  const { connectionsMax = connectionsMaxDefault, idleMs = idleMsDefault } = options.tcp ?? {};
  if (scheme === "https")
    return (await import("./https.ts")).createDoHServer({ respond, tls, connectionsMax, idleMs, counters, clock });
  const { createServer: createTLSServer } = await import("node:tls");
  const server = createTLSServer({ ...tls, ALPNProtocols: ["dot"], handshakeTimeout: idleMs }, accept);
  // `accept` hears of a connection when its handshake is done: those before it count, too.
  server.maxConnections = connectionsMax;
  server.on("drop", () => counters.connectionsRefused++);
  // A handshake that fails is its client's; one that takes too long is not ended by Node itself.
  server.on("tlsClientError", (_error, socket) => socket.destroy());
  server.on("connection", (socket: Socket) => {
    streams.carriers.add(socket);
    socket.once("close", () => streams.carriers.delete(socket));
  });
  return server;
}

/** TCP comes before UDP: with port 0 it chooses, and UDP takes the same number. */
async function listenStream(server: Server, at: ListenAt): Promise<number> {
  const listening = once(server, "listening");
  server.listen("port" in at ? { port: at.port, host: at.address ?? "0.0.0.0", backlog } : { fd: at.tcpFd, backlog });
  await listening;
  const bound = server.address();
  return typeof bound === "object" && bound !== null ? bound.port : 0;
}

async function closeAll({ server, udp, streams }: OpenSockets): Promise<void> {
  for (const socket of [...streams.connections, ...streams.carriers]) socket.destroy();
  await udp?.close();
  // One that never came up cannot be closed, and needs not be.
  if (!server.listening) return;
  const down = once(server, "close");
  server.close();
  if ("closeAllConnections" in server && typeof server.closeAllConnections === "function") server.closeAllConnections();
  await down;
}
