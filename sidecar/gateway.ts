/**
 * The ports that a gateway binds: listeners in force → listening servers.
 *
 *   sidecar.ts (snapshot) ─▶ bind(listeners) ─▶ listen(port) ─▶ onSocket(socket, port)
 *
 * Invariants: one server a port; a port whose listener left is closed, its connections end by themselves; changes are
 * made one after the other, in the order of the snapshots.
 */
import type { Server, Socket } from "node:net";
import { messageOf } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import type { CompiledListener } from "#proxy/l7/config/listener.ts";

export interface GatewayPortsOptions {
  readonly listen: (port: number) => Promise<Server>;
  readonly log: Logger;
  readonly onSocket: (socket: Socket, port: number) => void;
}

export class GatewayPorts {
  readonly #options: GatewayPortsOptions;
  readonly #servers = new Map<number, Server>();
  #last: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(options: GatewayPortsOptions) {
    this.#options = options;
  }

  /**
   * Resolves when exactly the ports of `listeners` are bound; rejects when one cannot be (it is tried again next time).
   */
  async bind(listeners: readonly CompiledListener[]): Promise<void> {
    const ports = new Set(listeners.map(({ port }) => port));
    const step = this.#last.then(() => this.#change(ports));
    // The next change must not fail because this one did; its own caller is told.
    this.#last = step.catch((error: unknown) =>
      this.#options.log.debug("Gateway ports are not all bound", { error: messageOf(error) }),
    );
    await step;
  }

  close(): void {
    this.#isClosed = true;
    for (const server of this.#servers.values()) server.close();
    this.#servers.clear();
  }

  async #change(ports: ReadonlySet<number>): Promise<void> {
    for (const [port, server] of this.#servers) {
      if (ports.has(port)) continue;
      server.close();
      this.#servers.delete(port);
    }
    for (const port of ports) {
      if (this.#servers.has(port) || this.#isClosed) continue;
      const server = await this.#options.listen(port);
      server.on("connection", (socket: Socket) => this.#options.onSocket(socket, port));
      // Closed while it was being bound.
      if (this.#isClosed) server.close();
      else this.#servers.set(port, server);
    }
  }
}
