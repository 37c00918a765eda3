/**
 * Lets a connection that a server accepted read into memory of ours, as `net.connect({ onread })` lets one that we made.
 *
 *   downstream.ts ─▶ readInto(accepted, onread) ─▶ a socket of the same connection
 *
 * node:net gives servers no such option, and what it does instead (64 KiB of memory, a chunk through a stream, a tick
 * to ask for more) is a sixth of our share of a short request. So the handle, which is no public part of node:net, is
 * given to a socket with the option. Where there is no such handle (TLS, tests' streams) the accepted socket is what
 * comes back, and reads as ever. Invariants: the accepted socket closes when the other one does; its server counts it
 * until then; it has nothing read or written under way when its handle goes.
 */
import { type OnReadOpts, Server, Socket, type SocketConstructorOpts } from "node:net";

interface Handle {
  reading: boolean;
  readStop(): number;
}

/** What node:net's sockets have, and do not say. */
interface Internals {
  _handle?: Handle | null;
  _server?: Server | null;
  server?: Server | null;
}

/** A paused socket of the connection of `accepted`, whose reads go to `onread`; or `accepted`. */
export function readInto(accepted: Socket, onread: OnReadOpts): Socket {
  const before = accepted as Internals;
  const { _handle: handle, _server: server } = before;
  const isPlain = accepted.constructor === Socket && typeof handle?.readStop === "function" && server instanceof Server;
  if (!isPlain || accepted.destroyed || accepted.readableLength > 0 || accepted.writableLength > 0) return accepted;
  before._handle = null;
  before._server = null;
  const options = { handle, onread, allowHalfOpen: true, pauseOnCreate: true };
  const socket = new Socket(options as unknown as SocketConstructorOpts);
  Object.assign(socket, { server, _server: server } satisfies Internals);
  socket.once("close", () => accepted.destroy());
  return socket;
}
