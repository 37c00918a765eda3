/**
 * Keep-alive connections to one endpoint: the most recently used first, so that the rest can go idle and be closed.
 *
 *   exchange.ts ─▶ take() or open() ─▶ UpstreamConnection ─▶ (response complete) give() ─▶ idle ─▶ closed after 3 s
 *
 * Invariants: what take() returns is open and not in use; at most `idleMax` idle.
 */
import { type ConnectionOwner, UpstreamConnection, type UpstreamHandler, idleMsMax } from "./upstream.ts";
import type { EngineDeps, SocketAddress } from "./types.ts";

/** Most idle connections an endpoint; the oldest is closed beyond. */
export const idleMax = 256;

/** Connections of a whole cluster. */
export interface ConnectionBudget {
  open: number;
  readonly max: number;
}

export class Pool implements ConnectionOwner {
  readonly deps: EngineDeps;
  readonly #address: SocketAddress;
  readonly #budget: ConnectionBudget;
  readonly #idle: UpstreamConnection[] = [];
  #closed = false;

  constructor(address: SocketAddress, budget: ConnectionBudget, deps: EngineDeps) {
    this.#address = address;
    this.#budget = budget;
    this.deps = deps;
  }

  get idleCount(): number {
    return this.#idle.length;
  }

  /** An idle connection, or undefined when there is none fresh enough. */
  take(nowMs: number): UpstreamConnection | undefined {
    for (;;) {
      const connection = this.#idle.pop();
      if (connection === undefined || connection.isFresh(nowMs - idleMsMax)) return connection;
      connection.destroy();
    }
  }

  /** A new connection, or undefined when the cluster has all it may. */
  open(handler: UpstreamHandler, method: string, connectTimeoutMs: number): UpstreamConnection | undefined {
    if (this.#budget.open >= this.#budget.max) {
      this.deps.counters.upstreamOverflows++;
      return undefined;
    }
    const connection = new UpstreamConnection(this, handler, method);
    this.#budget.open++;
    this.deps.counters.upstreamOpen++;
    connection.connect(this.#address, connectTimeoutMs);
    return connection;
  }

  /** Takes back a connection whose response is complete. */
  give(connection: UpstreamConnection): void {
    if (this.#closed) return connection.destroy();
    this.#idle.push(connection);
    if (this.#idle.length > idleMax) this.#idle.shift()?.destroy();
  }

  /** The connection's socket is closed. */
  forget(connection: UpstreamConnection): void {
    this.#budget.open--;
    this.deps.counters.upstreamOpen--;
    this.removeIdle(connection);
  }

  removeIdle(connection: UpstreamConnection): void {
    const at = this.#idle.lastIndexOf(connection);
    if (at >= 0) this.#idle.splice(at, 1);
  }

  /** Closes the idle connections, and those in use when their response is complete. */
  close(): void {
    this.#closed = true;
    for (const connection of this.#idle.splice(0)) connection.destroy();
  }
}
