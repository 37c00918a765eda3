/**
 * The UDP side of DNS.
 *
 *   datagram ─▶ respond ─▶ response ─▶ same socket
 *
 * By the dozen (udp-batch.ts) where the system can, one by one otherwise. Nothing queues here: what the kernel does not
 * take is counted and lost, and the downstream asks again. By the dozen, an answer leaves from the address that was
 * asked; one by one, a socket of all addresses leaves that to routing, and a line in the log says so.
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { closeSync } from "node:fs";
import { messageOf } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import { toBytes } from "../address.ts";
import type { ServerCounters } from "../metrics.ts";
import type { Prebuilt } from "./prebuilt.ts";
import type { Response, Respond } from "./respond.ts";
import { UDPBatchServer } from "./udp-batch.ts";

/** An address to bind, or the descriptor of a bound socket. */
export type BindAt = { readonly fd: number } | { readonly address: string; readonly port: number };

export interface UDPOptions {
  readonly respond: Respond;
  /** Responses that `respond` gave before; used by the dozen only. */
  readonly prebuilt?: Prebuilt;
  readonly counters: ServerCounters;
  readonly log: Logger;
  /** Whether datagrams are taken one by one even where they need not be. Default false. */
  readonly isPlain?: boolean;
}

export interface UDPListener {
  readonly port: number;
  /** The descriptor is closed, too, also one that was given. */
  close(): Promise<void>;
}

/** Bytes that the kernel may hold for us: queries wait there while we are busy. */
const receiveBytes = 1024 * 1024;

/** Serves datagrams until closed. Rejects when the socket cannot be bound. */
export async function listenUDP(at: BindAt, options: UDPOptions): Promise<UDPListener> {
  const lib = options.isPlain === true ? undefined : await loadDatagrams(options.log);
  const fd = "fd" in at ? at.fd : bindBy(lib, at);
  const batched = lib === undefined || fd === undefined ? undefined : listenBatched(lib, fd, options);
  return batched ?? listenPlain(fd === undefined ? at : { fd }, options);
}

/** Undefined where the descriptor's datagrams cannot be taken so. */
function listenBatched(lib: Datagrams, fd: number, options: UDPOptions): UDPListener | undefined {
  const batch = lib.tryBatch(fd);
  if (batch === undefined) return undefined;
  const server = new UDPBatchServer({ ...options, batch });
  lib.setReceiveBytes(fd, receiveBytes);
  const unwatch = lib.whenReadable(fd, () => server.take());
  const close = async (): Promise<void> => {
    server.close();
    unwatch();
    closeSync(fd);
  };
  return { port: lib.describeSocket(fd).port, close };
}

async function listenPlain(at: BindAt, { respond, counters, log }: UDPOptions): Promise<UDPListener> {
  const isIPv6 = "address" in at && at.address.includes(":");
  const socket = createSocket({
    type: isIPv6 ? "udp6" : "udp4",
    // Where answers go is an address already: the default would cost a turn of the event loop each.
    lookup: (address, _options, done) => done(null, address, isIPv6 ? 6 : 4),
  });
  let isClosed = false;
  const send = (response: Response, port: number, address: string): void => {
    // Port 0 is no address to answer to; forged datagrams have it.
    if (!Buffer.isBuffer(response) || isClosed || port === 0) return;
    socket.send(response, port, address);
  };
  socket.on("message", (message, { address, port }) => {
    const response = respond(message, "udp", address, port);
    if (!(response instanceof Promise)) return send(response, port, address);
    void response.then((late) => send(late, port, address));
  });
  try {
    const listening = once(socket, "listening");
    socket.bind("fd" in at ? at : { ...at, exclusive: true });
    await listening;
  } catch (error) {
    socket.close();
    throw error;
  }
  // After binding, an error is one of a single datagram: counted, and the others go on.
  socket.on("error", () => counters.sendFailures++);
  socket.setRecvBufferSize(receiveBytes);
  const { address, port } = socket.address();
  if (address === "0.0.0.0" || address === "::")
    log.warn("Answers over UDP may leave from another address than was asked: bind each address", { port });
  const close = async (): Promise<void> => {
    isClosed = true;
    const down = once(socket, "close");
    socket.close();
    await down;
  };
  return { port, close };
}

type Datagrams = typeof import("#lib/datagrams.ts") & typeof import("#lib/datagram-socket.ts");

/** Undefined where the system calls cannot be had. */
async function loadDatagrams(log: Logger): Promise<Datagrams | undefined> {
  try {
    return { ...(await import("#lib/datagrams.ts")), ...(await import("#lib/datagram-socket.ts")) };
  } catch (error) {
    log.warn("Takes datagrams one by one, at twice the price", { error: messageOf(error) });
    return undefined;
  }
}

/** A descriptor bound to the address; undefined: left to node:dgram, as addresses with a scope are. */
function bindBy(lib: Datagrams | undefined, { address, port }: { address: string; port: number }): number | undefined {
  const bytes = toBytes(address);
  return bytes === undefined ? undefined : lib?.bindDatagrams(bytes, port);
}
