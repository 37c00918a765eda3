/**
 * UDP on one address of a Service: a session for each caller, to one endpoint, until it is quiet for `idleMs`.
 *
 *   datagram ─▶ session of its source, or a new one ─▶ endpoint ─▶ answers go back from the Service's address
 *
 * A session whose endpoint is gone ends, as the nftables mode deletes its flow. Bounded: `sessionsMax` a frontend; the
 * one that was quiet for longest goes when there are more.
 */
import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { once } from "node:events";
import type { Clock } from "#lib/clock.ts";
import type { Target } from "../l4/categories.ts";
import { familyOf } from "../l4/ip.ts";
import { Balancer } from "./balancer.ts";
import type { Frontend } from "./frontends.ts";

const sessionsMax = 4096;
/** As the kernel's nf_conntrack_udp_timeout_stream. */
const idleMs = 120_000;
const sweepMs = 10_000;
/** Datagrams that wait for a session's socket, at most. */
const waitingMax = 64;

interface Session {
  readonly socket: Socket;
  readonly target: Target;
  /** Until it is connected. */
  waiting: Buffer[] | undefined;
  usedMs: number;
}

export class UDPFrontend {
  readonly #frontend: Frontend;
  readonly #balancer: Balancer;
  readonly #clock: Clock;
  readonly #socket: Socket;
  readonly #sessions = new Map<string, Session>();
  #isClosed = false;

  constructor(frontend: Frontend, clock: Clock) {
    this.#frontend = frontend;
    this.#balancer = new Balancer(frontend);
    this.#clock = clock;
    this.#socket = createSocket(typeOf(frontend.address));
  }

  /** Rejects with the system's error. */
  async listen(): Promise<void> {
    const { address, port } = this.#frontend;
    this.#socket.bind({ address, port, exclusive: true });
    await once(this.#socket, "listening");
    this.#socket.on("message", (data, from) => this.#receive(data, from));
    // An answer that could not be sent is lost, as datagrams may be.
    this.#socket.on("error", () => undefined);
    this.#socket.unref();
    this.#sweepLater();
  }

  update(frontend: Frontend): void {
    this.#balancer.update(frontend);
    for (const [key, { target }] of this.#sessions) if (!this.#balancer.has(target)) this.#end(key);
  }

  /** Sessions end with the frontend: their answers have no address to come from. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const key of this.#sessions.keys()) this.#end(key);
    this.#socket.close();
  }

  #receive(data: Buffer, from: RemoteInfo): void {
    // Port 0 is no address to answer to; forged datagrams have it.
    if (from.port === 0) return;
    const key = `${from.address} ${from.port}`;
    const session = this.#sessions.get(key) ?? this.#begin(key, from);
    if (session === undefined) return;
    // The order of the map is that of the last use.
    this.#sessions.delete(key);
    this.#sessions.set(key, session);
    session.usedMs = this.#clock.monotonicMs();
    if (session.waiting === undefined) session.socket.send(data);
    else if (session.waiting.length < waitingMax) session.waiting.push(data);
  }

  #begin(key: string, from: RemoteInfo): Session | undefined {
    if (!this.#balancer.admits(from.address)) return undefined;
    const target = this.#balancer.pick(from.address, this.#clock.monotonicMs());
    if (target === undefined) return undefined;
    const socket = createSocket(typeOf(target.address));
    const session: Session = { socket, target, waiting: [], usedMs: 0 };
    socket.unref();
    // Nobody is there: the next datagram finds another endpoint.
    socket.on("error", () => this.#end(key));
    socket.on("message", (answer) => {
      session.usedMs = this.#clock.monotonicMs();
      if (!this.#isClosed) this.#socket.send(answer, from.port, from.address);
    });
    socket.connect(target.port, target.address, () => {
      for (const data of session.waiting ?? []) socket.send(data);
      session.waiting = undefined;
    });
    const [oldest] = this.#sessions.keys();
    if (this.#sessions.size >= sessionsMax && oldest !== undefined) this.#end(oldest);
    this.#sessions.set(key, session);
    return session;
  }

  #end(key: string): void {
    const session = this.#sessions.get(key);
    if (session === undefined) return;
    this.#sessions.delete(key);
    session.socket.close();
  }

  #sweepLater(): void {
    this.#clock.after(sweepMs, () => {
      if (this.#isClosed) return;
      const nowMs = this.#clock.monotonicMs();
      for (const [key, { usedMs }] of this.#sessions) if (nowMs - usedMs > idleMs) this.#end(key);
      this.#sweepLater();
    });
  }
}

function typeOf(address: string): "udp4" | "udp6" {
  return familyOf(address) === "IPv4" ? "udp4" : "udp6";
}
