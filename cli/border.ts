/**
 * The border, the half inside: TCP connections to outside the cluster, which the node redirects here, and those of
 * the host to published ports, which the launcher hands in.
 *
 *   pod ─▶ node's nftables (redirect) ─▶ here ─ egressConnect ─▶ launcher
 *                                          ⇅ splice ◀─ connected socket ─┘
 *   host ─▶ launcher ─ hostConnection with the accepted socket ─▶ here ⇄ splice ⇄ clusterIP
 *
 * Invariants: a connection that is refused is reset at once and the reason logged; at most `openMax` are open, the next
 * are refused; both ends keep half-close and back-pressure.
 */
import { readFileSync } from "node:fs";
import { type Server, type Socket, connect, createServer } from "node:net";
import type { Clock } from "#lib/clock.ts";
import { descriptorOf, originalDestination } from "#lib/linux.ts";
import type { Logger } from "#lib/log.ts";
import { type SpliceCounts, prepareSocket, resetSocket, splice } from "#proxy/l7/tcp.ts";
import { TimerWheel } from "#proxy/l7/timer-wheel.ts";
import { CliError } from "./errors.ts";
import type { EgressAnswer, EgressCancel, EgressRequest, HostConnection } from "./ipc.ts";

/** Connections of one node, at most: each takes two descriptors, and the agent needs some for itself. */
const openMax = Math.min(20_000, Math.floor((openFilesMax() - 1024) / 2));
/** Longest wait for the launcher's answer, in ms: it connects for 10 s at most, when it is its turn. */
const answerMs = 60_000;
/** Time without bytes before a connection is closed, in ms. */
const idleMs = 3_600_000;

export interface EgressCounters {
  /** Connections that were joined to their destination. */
  connected: number;
  /** Connections that were reset: refused by policy, unreachable, or too many. */
  refused: number;
  /** Bytes from pods to outside. */
  receivedBytes: number;
  /** Bytes from outside to pods. */
  sentBytes: number;
}

export interface BorderOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly send: (request: EgressRequest | EgressCancel) => void;
}

/** Told once: the connected socket, or why there is none. */
type Waiter = (outcome: Socket | string) => void;

export class Border {
  readonly server: Server;
  readonly counters: EgressCounters = { connected: 0, refused: 0, receivedBytes: 0, sentBytes: 0 };
  /** Of connections of the host to published ports: received from the host. */
  readonly #published: SpliceCounts = { receivedBytes: 0, sentBytes: 0 };
  readonly #options: BorderOptions;
  readonly #wheel: TimerWheel;
  readonly #waiting = new Map<number, Waiter>();
  #open = 0;
  #lastId = 0;

  /** Give `server` a socket to listen on. */
  constructor(options: BorderOptions) {
    this.#options = options;
    this.#wheel = new TimerWheel(options.clock);
    this.server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => this.#accept(socket));
  }

  /** The launcher's answer, with the connected socket if there is one. */
  receive(answer: EgressAnswer, upstream: Socket | undefined): void {
    const waiter = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if (waiter === undefined) upstream?.destroy();
    else if (answer.kind === "egressRefused") waiter(answer.reason);
    else waiter(upstream ?? "the connected socket was lost on the way");
  }

  /** A connection of the host's network to one of the resolver's upstreams; rejects when there is none. */
  connectUpstream(address: string, port: number): Promise<Socket> {
    return new Promise((resolve, reject) => {
      this.#ask({ from: "", address, port }, (outcome) => {
        if (typeof outcome !== "string") resolve(outcome);
        else reject(new CliError("Failed", `Cannot connect to upstream ${address}:${port}: ${outcome}`));
      });
    });
  }

  /** Connects a connection that the host accepted to an address of the cluster. */
  join({ address, port }: HostConnection, downstream: Socket): void {
    this.#count(downstream);
    if (this.#open > openMax) return resetSocket(downstream);
    const upstream = connect({ host: address, port, allowHalfOpen: true });
    upstream.pause();
    const giveUp = (): void => void upstream.destroy();
    const fail = (error: Error): void => {
      const destination = `${address}:${port}`;
      this.#options.log.debug("Published port not connected", { destination, reason: error.message });
      resetSocket(downstream);
    };
    downstream.on("error", ignore);
    downstream.once("close", giveUp);
    upstream.once("error", fail);
    upstream.once("connect", () => {
      downstream.off("close", giveUp);
      upstream.off("error", fail);
      this.#splice(downstream, upstream, this.#published);
    });
  }

  #accept(socket: Socket): void {
    socket.on("error", ignore);
    this.#count(socket);
    const fd = descriptorOf(socket);
    const destination = fd === undefined ? undefined : originalDestination(fd);
    if (destination === undefined) return this.#refuse(socket, "it was not on its way out of the cluster");
    if (this.#open > openMax) return this.#refuse(socket, `${openMax} connections are open already`);
    const cancel = this.#ask({ from: socket.remoteAddress ?? "?", ...destination }, (outcome) => {
      socket.off("close", cancel);
      if (typeof outcome === "string") return this.#refuse(socket, outcome);
      this.counters.connected += 1;
      this.#splice(socket, outcome, this.counters);
    });
    socket.once("close", cancel);
  }

  /** Asks the launcher for a connection. What is returned ends the wait: nobody is told any more. */
  #ask(request: Omit<EgressRequest, "kind" | "id">, waiter: Waiter): () => void {
    this.#lastId += 1;
    const id = this.#lastId;
    const { clock, send } = this.#options;
    const cancel = (): void => {
      timer.cancel();
      if (this.#waiting.delete(id)) send({ kind: "egressCancel", id });
    };
    const timer = clock.after(answerMs, () => {
      cancel();
      waiter("the launcher did not answer");
    });
    this.#waiting.set(id, (outcome) => {
      timer.cancel();
      waiter(outcome);
    });
    send({ kind: "egressConnect", id, ...request });
    return cancel;
  }

  #count(socket: Socket): void {
    this.#open += 1;
    socket.once("close", () => (this.#open -= 1));
  }

  #refuse(socket: Socket, reason: string): void {
    this.counters.refused += 1;
    const fd = descriptorOf(socket);
    const { address, port } = (fd === undefined ? undefined : originalDestination(fd)) ?? { address: "?", port: 0 };
    const from = socket.remoteAddress ?? "?";
    this.#options.log.warn("Egress refused", { from, destination: `${address}:${port}`, reason });
    resetSocket(socket);
  }

  #splice(downstream: Socket, upstream: Socket, counts: SpliceCounts): void {
    for (const socket of [downstream, upstream]) {
      socket.off("error", ignore);
      prepareSocket(socket);
    }
    const { clock } = this.#options;
    const nowMs = (): number => clock.monotonicMs();
    splice(downstream, upstream, { wheel: this.#wheel, nowMs, idleMs, counts, onEnd: () => undefined });
  }
}

/** Until a connection is spliced, an error is followed by "close", which is all there is to know. */
const ignore = (): void => undefined;

function openFilesMax(): number {
  const soft = /^Max open files +(\S+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1] ?? "";
  return soft === "unlimited" ? Infinity : Number(soft);
}
