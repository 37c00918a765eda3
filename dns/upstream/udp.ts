/**
 * Questions over UDP, through a few sockets that all upstreams share.
 *
 *   ask(query, upstream) ─▶ a socket by chance ─▶ reply of that address and port ─▶ Reply
 *
 * Replies from elsewhere are dropped and counted. Sockets that cannot be had are tried again with the next question.
 */
import type { Socket } from "node:dgram";
import { isIPv6 } from "node:net";
import type { Clock } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";
import type { UpstreamTransport } from "../transport.ts";
import type { Query } from "../wire/query.ts";
import { encodeUpstreamQuery, nameToSend, type Reply, WaitingTable } from "./exchange.ts";

export interface UpstreamAddress {
  readonly address: string;
  readonly port: number;
}

export interface Ask {
  readonly query: Query;
  /** Whether the name's case may be drawn by chance. */
  readonly keepsCase: boolean;
  readonly timeoutMs: number;
}

export interface UDPOptions {
  readonly transport: UpstreamTransport;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/** One socket, with the questions sent through it by upstream. */
interface Port {
  readonly socket: Socket;
  readonly tables: Map<string, WaitingTable>;
}

export class UDPExchange {
  readonly #options: UDPOptions;
  /** Being opened: who asks meanwhile waits for the same sockets. */
  readonly #opening = new Map<4 | 6, Promise<readonly Port[]>>();
  readonly #opened = new Map<4 | 6, readonly Port[]>();
  /** Families whose last attempt failed: logged once, however many questions come. */
  readonly #failed = new Set<4 | 6>();
  #isClosed = false;
  /** Replies that nobody waited for: late, or forged. */
  unexpected = 0;

  constructor(options: UDPOptions) {
    this.#options = options;
  }

  /** The reply, or undefined after the time is over or when it could not be sent. */
  async ask(to: UpstreamAddress, { query, keepsCase, timeoutMs }: Ask): Promise<Reply | undefined> {
    const { random, clock } = this.#options;
    const family = isIPv6(to.address) ? 6 : 4;
    const ports = this.#opened.get(family) ?? (await this.#open(family));
    const port = ports[Math.floor(random.next() * ports.length)];
    if (port === undefined || this.#isClosed) return undefined;
    const key = `${to.address} ${to.port}`;
    let table = port.tables.get(key);
    if (table === undefined) port.tables.set(key, (table = new WaitingTable(random)));
    const name = nameToSend(query, keepsCase, random);
    const known = table;
    return new Promise((resolve) => {
      const waiting = known.add({ nameAsSent: name, type: query.type, class: query.class }, (reply) => {
        timer.cancel();
        resolve(reply);
      });
      const giveUp = (): void => {
        if (waiting !== undefined) known.remove(waiting);
        timer.cancel();
        resolve(undefined);
      };
      const timer = clock.after(timeoutMs, giveUp);
      if (waiting === undefined) return giveUp();
      const bytes = encodeUpstreamQuery(query, waiting.id, name);
      port.socket.send(bytes, to.port, to.address, (error) => {
        if (error !== null) giveUp();
      });
    });
  }

  close(): void {
    this.#isClosed = true;
    for (const ports of this.#opened.values()) {
      for (const { socket, tables } of ports) {
        socket.close();
        for (const table of tables.values()) table.failAll();
      }
    }
    this.#opened.clear();
  }

  #open(family: 4 | 6): Promise<readonly Port[]> {
    const known = this.#opening.get(family);
    if (known !== undefined) return known;
    const opening = this.#bind(family).finally(() => this.#opening.delete(family));
    this.#opening.set(family, opening);
    return opening;
  }

  async #bind(family: 4 | 6): Promise<readonly Port[]> {
    if (this.#isClosed) return [];
    let sockets: readonly Socket[];
    try {
      sockets = await this.#options.transport.udp(family);
    } catch (error) {
      if (!this.#failed.has(family)) {
        const fields = { family, error: messageOf(error) };
        this.#options.log.warn("Cannot open sockets to upstreams: the next query tries again", fields);
      }
      this.#failed.add(family);
      return [];
    }
    this.#failed.delete(family);
    if (this.#isClosed) {
      for (const socket of sockets) socket.close();
      return [];
    }
    const ports = sockets.map((socket): Port => {
      const tables = new Map<string, WaitingTable>();
      socket.on("message", (bytes, { address, port }) => {
        if (tables.get(`${address} ${port}`)?.settle(bytes) !== true) this.unexpected++;
      });
      // Of one datagram (an ICMP error, say): its question runs into its deadline.
      socket.on("error", () => this.unexpected++);
      return { socket, tables };
    });
    this.#opened.set(family, ports);
    return ports;
  }
}
