/**
 * Joins connections to one address on this side of a network namespace.
 *
 *   listening socket of the host (inherited) ─▶ accept ─▶ connect, both ways, with half-close
 *
 * Bounded: `openMax` connections at a time; more are closed at once.
 */
import { type Server, type Socket, connect, createServer } from "node:net";

const openMax = 256;
/** Time without bytes before a connection is closed, in ms. */
const idleMs = 600_000;

/** Not listening yet. */
export function createRelay(to: { readonly host: string; readonly port: number }): Server {
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (downstream) => join(downstream, to));
  server.maxConnections = openMax;
  return server;
}

function join(downstream: Socket, to: { readonly host: string; readonly port: number }): void {
  const upstream = connect({ ...to, allowHalfOpen: true, noDelay: true });
  const end = (): void => {
    downstream.destroy();
    upstream.destroy();
  };
  upstream.on("error", end);
  downstream.on("error", end);
  // A peer that vanished without a word must not hold its place for ever.
  downstream.setTimeout(idleMs, end);
  downstream.once("close", end);
  downstream.pipe(upstream);
  upstream.pipe(downstream);
}
