/**
 * The UDP side of DNS.
 *
 *   datagram ─▶ respond ─▶ response ─▶ same socket
 *
 * Nothing queues here: what the kernel does not take is counted and lost, and the downstream asks again.
 */
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import type { ServerCounters } from "../metrics.ts";
import type { Response, Respond } from "./respond.ts";

/** An address to bind, or the descriptor of a bound socket. */
export type BindAt = { readonly fd: number } | { readonly address: string; readonly port: number };

/** Bytes that the kernel may hold for us: queries wait there while we are busy. */
const receiveBytes = 1024 * 1024;

/** Serves datagrams until closed. Rejects when the socket cannot be bound. */
export async function listenUDP(at: BindAt, respond: Respond, counters: ServerCounters): Promise<Socket> {
  const isIPv6 = "address" in at && at.address.includes(":");
  const socket = createSocket({
    type: isIPv6 ? "udp6" : "udp4",
    // Where answers go is an address already: the default would cost a turn of the event loop each.
    lookup: (address, _options, done) => done(null, address, isIPv6 ? 6 : 4),
  });
  let isClosed = false;
  socket.once("close", () => (isClosed = true));
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
  return socket;
}
