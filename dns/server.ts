/**
 * The sockets of DNS: UDP datagrams, and TCP connections with pipelined messages (RFC 7766).
 *
 *   datagram, framed message ─▶ respond(bytes, proto) ─▶ response ─▶ same socket
 *
 * Bounded: `connectionsMax` connections (beyond it the new one is closed), `idleMs` without traffic, one partial message
 * a connection; a downstream that does not read its answers is not read from.
 */
import { createSocket, type Socket as DatagramSocket } from "node:dgram";
import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import { messageOf } from "#lib/errors.ts";
import { DNSError } from "./errors.ts";
import type { DNSMetrics, Proto } from "./metrics.ts";

/** Responses written before the downstream must take them: one message may be 64 KiB, and queries for it are tiny. */
const batchBytesMax = 64 * 1024;

/** The response to one message; undefined for none. */
export type Respond = (message: Buffer, proto: Proto) => Buffer | undefined;

/** Descriptors of bound sockets (the TCP one listening), or an address. Port 0 lets the kernel choose, both alike. */
export type ListenAt =
  | { readonly udpFd: number; readonly tcpFd: number }
  | { readonly port: number; readonly address?: string };

export interface ServerOptions {
  readonly respond: Respond;
  readonly metrics: DNSMetrics;
  /** TCP connections at a time. Default 1000. */
  readonly connectionsMax?: number;
  /** Without traffic, in ms. Default 10 000, CoreDNS' idle timeout. */
  readonly idleMs?: number;
}

export interface DNSServer {
  readonly port: number;
  close(): Promise<void>;
}

/** Serves until closed. Rejects with CannotListen when either socket cannot be had; then neither is left open. */
export async function listen(at: ListenAt, options: ServerOptions): Promise<DNSServer> {
  const connections = new Set<Socket>();
  const tcp = createServer({ allowHalfOpen: true }, (socket) => serveConnection(socket, connections, options));
  const udp = createSocket("udp4");
  udp.on("message", (message, from) => {
    const response = options.respond(message, "udp");
    if (response === undefined) return;
    udp.send(response, from.port, from.address, (error) => {
      if (error !== null) options.metrics.sendFailures++;
    });
  });
  try {
    const port = await bindBoth(at, tcp, udp);
    // After binding, an error is one of a single datagram or accept: counted, and the others go on.
    udp.on("error", () => options.metrics.sendFailures++);
    tcp.on("error", () => options.metrics.sendFailures++);
    return { port, close: () => closeAll(tcp, udp, connections) };
  } catch (cause) {
    await closeAll(tcp, udp, connections);
    const place = "port" in at ? `${at.address ?? "0.0.0.0"}:${at.port}` : `descriptors ${at.udpFd}, ${at.tcpFd}`;
    throw new DNSError("CannotListen", `Cannot listen on ${place}: ${messageOf(cause)}`, { cause });
  }
}

/** TCP first: with port 0 it chooses, and UDP takes the same number. */
async function bindBoth(at: ListenAt, tcp: Server, udp: DatagramSocket): Promise<number> {
  tcp.listen("port" in at ? { port: at.port, host: at.address ?? "0.0.0.0" } : { fd: at.tcpFd });
  await once(tcp, "listening");
  const bound = tcp.address();
  const port = typeof bound === "object" && bound !== null ? bound.port : 0;
  // With a descriptor "listening" comes within bind().
  const listening = once(udp, "listening");
  udp.bind("port" in at ? { port, address: at.address ?? "0.0.0.0" } : { fd: at.udpFd });
  await listening;
  return port;
}

async function closeAll(tcp: Server, udp: DatagramSocket, connections: ReadonlySet<Socket>): Promise<void> {
  for (const socket of connections) socket.destroy();
  const udpDown = once(udp, "close");
  udp.close();
  await udpDown;
  // One that never came up cannot be closed, and needs not be.
  if (!tcp.listening) return;
  const tcpDown = once(tcp, "close");
  tcp.close();
  await tcpDown;
}

function serveConnection(socket: Socket, connections: Set<Socket>, options: ServerOptions): void {
  if (connections.size >= (options.connectionsMax ?? 1000)) {
    options.metrics.connectionsRefused++;
    socket.destroy();
    return;
  }
  connections.add(socket);
  let pending: Buffer = Buffer.alloc(0);
  const pump = (): void => {
    for (;;) {
      const { responses, rest } = answerFrames(pending, options.respond);
      pending = rest;
      if (responses.length === 0) return;
      if (!socket.write(Buffer.concat(responses))) return void socket.pause();
    }
  };
  socket.setNoDelay(true);
  socket.setTimeout(options.idleMs ?? 10_000, () => socket.destroy());
  socket.once("close", () => connections.delete(socket));
  // A reset by the downstream; "close" follows and cleans up.
  socket.on("error", () => socket.destroy());
  socket.on("end", () => socket.end());
  socket.on("drain", () => {
    pump();
    if (!socket.writableNeedDrain) socket.resume();
  });
  socket.on("data", (chunk: Buffer) => {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    if (!socket.writableNeedDrain) pump();
  });
}

/**
 * Answers whole messages in order, up to `batchBytesMax` of responses. Frames: a length of two bytes, then the message
 * (RFC 1035 §4.2.2).
 */
function answerFrames(bytes: Buffer, respond: Respond): { responses: Buffer[]; rest: Buffer } {
  const responses: Buffer[] = [];
  let at = 0;
  let responseBytes = 0;
  while (at + 2 <= bytes.length && responseBytes < batchBytesMax) {
    const end = at + 2 + bytes.readUInt16BE(at);
    if (end > bytes.length) break;
    const response = respond(bytes.subarray(at + 2, end), "tcp");
    at = end;
    if (response === undefined) continue;
    responses.push(Buffer.from([response.length >> 8, response.length & 255]), response);
    responseBytes += response.length;
  }
  // A copy, so that a few bytes do not hold a large chunk.
  return { responses, rest: at === 0 ? bytes : Buffer.from(bytes.subarray(at)) };
}
