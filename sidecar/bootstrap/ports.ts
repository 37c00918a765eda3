/**
 * The addresses that a stand-alone sidecar listens on: listeners in force → bound servers.
 *
 *   snapshot ─▶ bind(listeners) ─▶ listen() ─▶ onSocket(socket, name of the listener)
 *   hot-restart.ts ─▶ Inherited ─▶ bind(): listens on what the process before had bound
 *   sockets() ─▶ hot-restart.ts: to the process that follows
 *
 * Invariants: one server an address; what left is closed, its connections end by themselves; changes are made one after
 * the other. bind() rejects with the address when one cannot be bound, and keeps the others.
 */
import { closeSync } from "node:fs";
import { type Server, type Socket, createServer, isIPv6 } from "node:net";
import { errnoOf, messageOf } from "#lib/errors.ts";
import { descriptorOf } from "#lib/linux.ts";
import type { SocketAddress } from "#proxy/l7/types.ts";
import { SidecarError } from "../errors.ts";
import type { ListeningSocket } from "../hot-restart.ts";

export interface BoundListener extends SocketAddress {
  readonly name: string;
  /** For messages. */
  readonly what: string;
  /** At an IPv6 address: IPv4, too. */
  readonly takesIPv4: boolean;
}

export interface PortsOptions {
  readonly onSocket: (socket: Socket, name: string) => void;
  /** Sockets of the process before. */
  readonly inherited: Inherited;
}

/** Descriptors that listen already, by what they listen for; each is taken once. */
export class Inherited {
  readonly #fds: Map<string, number>;

  constructor(fds: ReadonlyMap<string, number>) {
    this.#fds = new Map(fds);
  }

  take(key: string): number | undefined {
    const fd = this.#fds.get(key);
    this.#fds.delete(key);
    return fd;
  }

  /** What nobody took is closed: it would take connections that nobody accepts. */
  close(): void {
    for (const fd of this.#fds.values()) closeSync(fd);
    this.#fds.clear();
  }
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

  /** For the process that follows. */
  sockets(): readonly ListeningSocket[] {
    return [...this.#bound].flatMap(([key, { server }]) => listening(key, server));
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
      else if (!this.#isClosed) this.#bound.set(key, await this.#open(key, listener));
    }
  }

  async #open(key: string, listener: BoundListener): Promise<Bound> {
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: false });
    const bound: Bound = { server, name: listener.name };
    await listen(server, listener, { what: listener.what, fd: this.#options.inherited.take(key) });
    server.on("connection", (socket: Socket) => this.#options.onSocket(socket, bound.name));
    return bound;
  }
}

/** A server as the process that follows gets it; none where it does not listen. */
export function listening(key: string, server: Server): readonly ListeningSocket[] {
  const fd = descriptorOf(server as unknown as Socket);
  return fd === undefined ? [] : [{ key, fd }];
}

export interface ListenOptions {
  /** For messages. */
  readonly what: string;
  /** Of a socket that listens there already. */
  readonly fd?: number | undefined;
}

/** Resolves when the server listens; rejects with the address and what is wrong with it. */
export async function listen(
  server: Server,
  { address, port, takesIPv4 = false }: SocketAddress & { readonly takesIPv4?: boolean },
  { what, fd }: ListenOptions,
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => {
      const where = `${isIPv6(address) ? `[${address}]` : address}:${port}`;
      const hint = errnoOf(error) === "EADDRINUSE" ? " (is another process listening there?)" : "";
      const message = `Cannot bind ${what} ${where}: ${errnoOf(error) ?? messageOf(error)}${hint}`;
      reject(new SidecarError("CANNOT_LISTEN", message, { cause: error }));
    });
    const backlog = 4096;
    const at = { host: address, port, backlog, ipv6Only: isIPv6(address) && !takesIPv4 };
    server.listen(fd === undefined ? at : { fd, backlog }, resolve);
  });
}

export function addressOf(server: Server): SocketAddress {
  const at = server.address();
  return typeof at === "object" && at !== null ? { address: at.address, port: at.port } : { address: "", port: 0 };
}
