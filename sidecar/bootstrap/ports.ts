/**
 * The addresses that a stand-alone sidecar listens on: listeners in force → bound servers.
 *
 *   snapshot ─▶ bind(listeners) ─▶ listen() ─▶ onSocket(socket, name of the listener)
 *
 * Invariants: one server an address; what left is closed, its connections end by themselves; changes are made one after
 * the other. bind() rejects with the address when one cannot be bound, and keeps the others.
 */
import { type Server, type Socket, createServer, isIPv6 } from "node:net";
import { errnoOf, messageOf } from "#lib/errors.ts";
import type { SocketAddress } from "#proxy/l7/types.ts";
import { SidecarError } from "../errors.ts";

export interface BoundListener extends SocketAddress {
  readonly name: string;
}

export interface PortsOptions {
  readonly onSocket: (socket: Socket, name: string) => void;
}

interface Bound {
  readonly server: Server;
  name: string;
}

export class Ports {
  readonly #options: PortsOptions;
  readonly #bound = new Map<string, Bound>();
  #last: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(options: PortsOptions) {
    this.#options = options;
  }

  /** Where each listener listens: what was asked for, with the port that the kernel chose for 0. */
  get addresses(): ReadonlyMap<string, SocketAddress> {
    return new Map([...this.#bound.values()].map(({ name, server }) => [name, addressOf(server)] as const));
  }

  /** Resolves when exactly these are bound. */
  async bind(listeners: readonly BoundListener[]): Promise<void> {
    const step = this.#last.then(() => this.#change(listeners));
    // The next change must not fail because this one did; its own caller is told.
    this.#last = step.catch(() => undefined);
    await step;
  }

  /** Takes no more connections; those that are open go on. */
  close(): void {
    this.#isClosed = true;
    for (const { server } of this.#bound.values()) server.close();
    this.#bound.clear();
  }

  async #change(listeners: readonly BoundListener[]): Promise<void> {
    const wanted = new Map(
      listeners.map((one) => [`${one.address} ${one.port} ${one.port === 0 ? one.name : ""}`, one]),
    );
    for (const [key, { server }] of this.#bound) {
      if (wanted.has(key)) continue;
      server.close();
      this.#bound.delete(key);
    }
    for (const [key, listener] of wanted) {
      const known = this.#bound.get(key);
      if (known !== undefined) known.name = listener.name;
      else if (!this.#isClosed) this.#bound.set(key, await this.#open(listener));
    }
  }

  async #open(listener: BoundListener): Promise<Bound> {
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: false });
    const bound: Bound = { server, name: listener.name };
    await listen(server, listener, `listener ${listener.name}`);
    server.on("connection", (socket: Socket) => this.#options.onSocket(socket, bound.name));
    return bound;
  }
}

/** Resolves when the server listens; rejects with the address and what is wrong with it. */
export async function listen(server: Server, { address, port }: SocketAddress, what: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => {
      const where = `${isIPv6(address) ? `[${address}]` : address}:${port}`;
      const hint = errnoOf(error) === "EADDRINUSE" ? " (is another process listening there?)" : "";
      const message = `Cannot bind ${what} ${where}: ${errnoOf(error) ?? messageOf(error)}${hint}`;
      reject(new SidecarError("CANNOT_LISTEN", message, { cause: error }));
    });
    server.listen({ host: address, port, backlog: 4096 }, resolve);
  });
}

export function addressOf(server: Server): SocketAddress {
  const at = server.address();
  return typeof at === "object" && at !== null ? { address: at.address, port: at.port } : { address: "", port: 0 };
}
