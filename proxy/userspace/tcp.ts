/**
 * TCP on one address of a Service: each connection is joined to one of an endpoint.
 *
 *   downstream ─▶ accept ─▶ Balancer ─▶ connect (another endpoint when one refuses) ─▶ bytes both ways
 *
 * Half-close: the end of one direction ends that one alone. Back-pressure: a slow reader stops the other side's
 * reading. A reset is passed on as one. Connections outlive a change of endpoints, as they do in nftables mode.
 * Bounded: `connectionsMax` a frontend, more are refused; `triesMax` endpoints a connection.
 */
import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import type { Clock } from "#lib/clock.ts";
import type { Target } from "../l4/categories.ts";
import { Balancer } from "./balancer.ts";
import type { Frontend } from "./frontends.ts";

const connectionsMax = 10_000;
const triesMax = 3;
/** For one endpoint to answer, in ms. */
const connectMs = 3000;

export class TCPFrontend {
  readonly #frontend: Frontend;
  readonly #balancer: Balancer;
  readonly #clock: Clock;
  readonly #server: Server;
  readonly #open = new Set<Socket>();

  constructor(frontend: Frontend, clock: Clock) {
    this.#frontend = frontend;
    this.#balancer = new Balancer(frontend);
    this.#clock = clock;
    this.#server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => void this.#serve(socket));
    this.#server.maxConnections = connectionsMax;
  }

  /** Rejects with the system's error. */
  async listen(): Promise<void> {
    const { address, port } = this.#frontend;
    this.#server.listen({ host: address, port });
    await once(this.#server, "listening");
    this.#server.on("error", () => this.#server.close());
    this.#server.unref();
  }

  update(frontend: Frontend): void {
    this.#balancer.update(frontend);
  }

  /** Accepts no more. `isFinal`: ends what is open, too. */
  close(isFinal: boolean): void {
    this.#server.close();
    if (isFinal) for (const socket of this.#open) socket.destroy();
  }

  async #serve(downstream: Socket): Promise<void> {
    this.#track(downstream);
    const source = downstream.remoteAddress ?? "";
    if (!this.#balancer.admits(source)) return void downstream.resetAndDestroy();
    const tried: Target[] = [];
    while (tried.length < triesMax && !downstream.destroyed) {
      const target = this.#balancer.pick(source, this.#clock.monotonicMs(), tried);
      if (target === undefined) break;
      tried.push(target);
      const upstream = await this.#dial(target);
      if (upstream !== undefined) return join(downstream, upstream);
    }
    // No byte was read: the caller sees a refusal, if a late one.
    downstream.resetAndDestroy();
  }

  async #dial({ address, port }: Target): Promise<Socket | undefined> {
    const upstream = connect({ host: address, port, allowHalfOpen: true, noDelay: true });
    const timer = this.#clock.after(connectMs, () => upstream.destroy(new Error("no answer")));
    try {
      await once(upstream, "connect");
      this.#track(upstream);
      return upstream;
    } catch {
      // Refused, or late: the next endpoint is tried.
      upstream.destroy();
      return undefined;
    } finally {
      timer.cancel();
    }
  }

  #track(socket: Socket): void {
    this.#open.add(socket);
    socket.on("error", () => socket.destroy());
    socket.once("close", () => this.#open.delete(socket));
  }
}

function join(downstream: Socket, upstream: Socket): void {
  if (downstream.destroyed) return void upstream.resetAndDestroy();
  for (const [from, to] of [
    [downstream, upstream],
    [upstream, downstream],
  ] as const) {
    from.once("error", () => to.resetAndDestroy());
    // Closed without its end: the other side shall not take it for one.
    from.once("close", () => (from.readableEnded ? undefined : to.resetAndDestroy()));
    from.pipe(to);
  }
}
