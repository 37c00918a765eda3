/**
 * Questions over TCP or TLS to one upstream: one connection, pipelined (RFC 7766 §6.2.1), opened when needed, closed
 * when idle.
 *
 *   ask(query) ─▶ frame ─▶ connection ─▶ Reply
 *
 * Invariant: a connection that ends fails those who wait on it at once; the next question opens another.
 */
import type { Socket } from "node:net";
import type { Clock, Timer } from "#lib/clock.ts";
import type { Random } from "#lib/random.ts";
import { encodeUpstreamQuery, nameToSend, type Reply, WaitingTable } from "./exchange.ts";
import type { Ask } from "./udp.ts";

export interface StreamExchangeOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly open: () => Socket | Promise<Socket>;
  /** Without questions, in ms. */
  readonly idleMs: number;
}

interface Link {
  readonly socket: Socket;
  readonly table: WaitingTable;
  /** When bytes came last, by the monotonic clock. */
  lastReadMs: number;
}

export class StreamExchange {
  readonly #options: StreamExchangeOptions;
  #link: Promise<Link> | undefined;
  /** Of `#link`. */
  #socket: Socket | undefined;
  #idle: Timer | undefined;
  /** Questions that found an open connection, and that did not. */
  hits = 0;
  misses = 0;

  constructor(options: StreamExchangeOptions) {
    this.#options = options;
  }

  /** The reply, or undefined after the time is over or when the connection failed. */
  async ask({ query, keepsCase, timeoutMs }: Ask): Promise<Reply | undefined> {
    const { clock, random } = this.#options;
    if (this.#link === undefined) this.misses++;
    else this.hits++;
    this.#link ??= this.#connect();
    let link: Link;
    try {
      link = await this.#link;
    } catch {
      // The upstream's state says so in the log (upstream.ts).
      return undefined;
    }
    this.#keepAlive();
    const name = nameToSend(query, keepsCase, random);
    const sentMs = clock.monotonicMs();
    return new Promise((resolve) => {
      const waiting = link.table.add({ nameAsSent: name, type: query.type, class: query.class }, (reply) => {
        timer.cancel();
        resolve(reply.kind === "malformed" ? undefined : reply);
      });
      const timer = clock.after(timeoutMs, () => {
        if (waiting !== undefined) link.table.remove(waiting);
        // Not a byte since we asked: the other end may be gone without a word, and another connection find it.
        if (link.lastReadMs < sentMs) link.socket.destroy();
        resolve(undefined);
      });
      if (waiting === undefined) return;
      const bytes = encodeUpstreamQuery(query, waiting.id, name);
      link.socket.write(Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes]));
    });
  }

  close(): void {
    this.#idle?.cancel();
    const link = this.#link;
    this.#link = undefined;
    link?.then(
      ({ socket }) => socket.destroy(),
      () => undefined,
    );
  }

  async #connect(): Promise<Link> {
    const table = new WaitingTable(this.#options.random);
    try {
      const socket = await this.#options.open();
      socket.setNoDelay(true);
      const link: Link = { socket, table, lastReadMs: 0 };
      let pending: Buffer = Buffer.alloc(0);
      socket.on("data", (chunk: Buffer) => {
        link.lastReadMs = this.#options.clock.monotonicMs();
        pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
        let at = 0;
        while (at + 2 <= pending.length && at + 2 + pending.readUInt16BE(at) <= pending.length) {
          const end = at + 2 + pending.readUInt16BE(at);
          table.settle(pending.subarray(at + 2, end));
          at = end;
        }
        if (at > 0) pending = Buffer.from(pending.subarray(at));
      });
      const fail = (): void => {
        // Another may have taken its place already.
        if (this.#socket === socket) this.#link = undefined;
        socket.destroy();
        table.failAll();
      };
      this.#socket = socket;
      socket.on("error", fail);
      socket.on("close", fail);
      socket.on("end", fail);
      socket.unref();
      return link;
    } catch (error) {
      this.#link = undefined;
      throw error;
    }
  }

  #keepAlive(): void {
    this.#idle?.cancel();
    this.#idle = this.#options.clock.after(this.#options.idleMs, () => this.close());
  }
}
