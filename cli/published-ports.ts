/**
 * Ports of the host that this node answers: a gateway's by its own proxy, a Service's by a relay to its ClusterIP.
 *
 *   host socket (inherited) ─▶ accept ─▶ gateway listener of this node, in turn      or ─▶ connect ClusterIP, splice
 *
 * Every node holds every published socket and accepts only while it has something behind it, so a gateway that moves to
 * another node takes its port along.
 */
import { type Server, type Socket, connect, createServer } from "node:net";
import { messageOf } from "#lib/errors.ts";
import { backlogDefault, takeDescriptor } from "#lib/linux.ts";
import type { Logger } from "#lib/log.ts";
import type { PublishedPort } from "./ipc.ts";
import { publishedSocketName } from "./launcher/publish.ts";

/** Takes a connection for a port of a gateway. */
type Accept = (socket: Socket, listenerPort: number) => void;

/** Connections through relays at a time; more are closed at once. */
const relayedMax = 4096;
/** Time without bytes after which a relayed connection is closed, in ms. Envoy's idle_timeout of tcp_proxy. */
const relayIdleMs = 3_600_000;

export class PublishedPorts {
  readonly #ports: readonly PublishedPort[];
  readonly #sockets: ReadonlyMap<string, number>;
  readonly #log: Logger;
  readonly #servers = new Map<number, Server>();
  readonly #gateways = new Map<string, Accept[]>();
  readonly #relays = new Map<number, { readonly address: string; readonly port: number }>();
  #turn = 0;
  #relayed = 0;
  #refused = 0;

  constructor(ports: readonly PublishedPort[], sockets: ReadonlyMap<string, number>, log: Logger) {
    this.#ports = ports;
    this.#sockets = sockets;
    this.#log = log;
  }

  /** A gateway ("namespace/name") is served on this node from now on. Call the result when it no longer is. */
  attachGateway(gateway: string, accept: Accept): () => void {
    const accepts = this.#gateways.get(gateway) ?? [];
    this.#gateways.set(gateway, [...accepts, accept]);
    this.#settle();
    return () => {
      const left = (this.#gateways.get(gateway) ?? []).filter((other) => other !== accept);
      this.#gateways.set(gateway, left);
      this.#settle();
    };
  }

  /** Where a Service's port leads; undefined: nowhere. */
  setRelay(hostPort: number, address: string | undefined, port: number): void {
    if (address === undefined) this.#relays.delete(hostPort);
    else this.#relays.set(hostPort, { address, port });
    this.#settle();
  }

  /** Accepts where there is something behind, and nowhere else. */
  #settle(): void {
    for (const port of this.#ports) {
      const wanted = port.kind === "svc" ? this.#relays.has(port.hostPort) : this.#acceptsOf(port).length > 0;
      const server = this.#servers.get(port.hostPort);
      if (wanted && server === undefined) this.#open(port);
      if (!wanted && server !== undefined) {
        this.#servers.delete(port.hostPort);
        server.close();
      }
    }
  }

  #acceptsOf({ namespace, name }: PublishedPort): readonly Accept[] {
    return this.#gateways.get(`${namespace}/${name}`) ?? [];
  }

  #open(port: PublishedPort): void {
    const fd = this.#sockets.get(publishedSocketName(port.hostPort));
    if (fd === undefined) return;
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => this.#accept(port, socket));
    server.on("error", (error) =>
      this.#log.error("Cannot serve published port", { port: port.hostPort, error: error.message }),
    );
    // The server closes its descriptor in the end; ours stays for the next time.
    server.listen({ fd: takeDescriptor(process.pid, fd) }, backlogDefault);
    this.#servers.set(port.hostPort, server);
  }

  #accept(port: PublishedPort, socket: Socket): void {
    if (port.kind === "svc") return this.#relay(port, socket);
    const accepts = this.#acceptsOf(port);
    const accept = accepts[this.#turn++ % accepts.length];
    if (accept === undefined) socket.destroy();
    else accept(socket, port.port);
  }

  #relay({ hostPort }: PublishedPort, downstream: Socket): void {
    const to = this.#relays.get(hostPort);
    if (to === undefined || this.#relayed >= relayedMax) {
      this.#refused += 1;
      this.#log.warn("Published connection refused", { port: hostPort, open: this.#relayed, refused: this.#refused });
      return void downstream.destroy();
    }
    this.#relayed += 1;
    const upstream = connect({ host: to.address, port: to.port, allowHalfOpen: true, noDelay: true });
    const end = (error?: Error): void => {
      if (error !== undefined) this.#log.debug("Relay ended", { port: hostPort, error: messageOf(error) });
      upstream.destroy();
      downstream.destroy();
    };
    upstream.on("error", end);
    downstream.on("error", end);
    downstream.once("close", () => {
      this.#relayed -= 1;
      end();
    });
    // A peer that vanished without a word must not hold its place for ever.
    for (const socket of [downstream, upstream]) socket.setTimeout(relayIdleMs, () => end());
    downstream.pipe(upstream);
    upstream.pipe(downstream);
  }
}
