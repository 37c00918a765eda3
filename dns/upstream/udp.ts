/**
 * Questions over UDP, through a few sockets of each upstream, or such that all upstreams of a family share.
 *
 *   ask(query, upstream) ─▶ a socket by chance ─▶ reply of that address and port ─▶ Reply
 *
 * A connected socket hears (ICMP) that nobody listens: who waits on it gets nothing, at once. One that is shared hears
 * which question did not arrive: that one gets nothing, where the report has its id, which who forges would have to
 * guess. Replies from elsewhere are dropped and counted. Sockets that cannot be had are tried again with the next
 * question; connected ones that hear nothing for long are replaced.
 */
import { isIPv6 } from "node:net";
import type { Clock } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";
import type { UpstreamAddress, UpstreamSocket, UpstreamTransport } from "../transport.ts";
import type { Query } from "../wire/query.ts";
import { encodeUpstreamQuery, nameToSend, type Reply, WaitingTable } from "./exchange.ts";

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
  readonly socket: UpstreamSocket;
  readonly tables: Map<string, WaitingTable>;
}

/** Sockets that were opened together. */
interface PortSet {
  readonly ports: readonly Port[];
  /** By the monotonic clock, as `heardMs`, when a reply came last. */
  readonly openedMs: number;
  heardMs: number;
}

/** How long connected sockets are kept that hear nothing: their own address may be gone, as after a change of network. */
const silentMs = 10_000;

export class UDPExchange {
  readonly #options: UDPOptions;
  /** Being opened: who asks meanwhile waits for the same sockets. */
  readonly #opening = new Map<string, Promise<PortSet>>();
  /** By upstream, or by family where they are shared. */
  readonly #opened = new Map<string, PortSet>();
  /** Those that others took the place of, for as long as answers may come. */
  readonly #retired = new Set<PortSet>();
  /** Those whose last attempt failed: logged once, however many questions come. */
  readonly #failed = new Set<string>();
  #isClosed = false;
  /** Replies that nobody waited for: late, or forged. */
  unexpected = 0;

  constructor(options: UDPOptions) {
    this.#options = options;
  }

  /** The reply, or undefined after the time is over or when it could not be sent. */
  async ask(to: UpstreamAddress, { query, keepsCase, timeoutMs }: Ask): Promise<Reply | undefined> {
    const { random, clock, transport } = this.#options;
    const key = `${to.address} ${to.port}`;
    const place = transport.isConnected ? key : isIPv6(to.address) ? "IPv6" : "IPv4";
    const set = this.#opened.get(place) ?? (await this.#open(place, to));
    const { ports } = set;
    const port = ports[Math.floor(random.next() * ports.length)];
    if (port === undefined || this.#isClosed) return undefined;
    let table = port.tables.get(key);
    if (table === undefined) port.tables.set(key, (table = new WaitingTable(random)));
    const name = nameToSend(query, keepsCase, random);
    const known = table;
    const sentMs = clock.monotonicMs();
    return new Promise((resolve) => {
      const waiting = known.add({ nameAsSent: name, type: query.type, class: query.class }, (reply) => {
        timer.cancel();
        resolve(reply.kind === "malformed" ? undefined : reply);
      });
      const giveUp = (): void => {
        if (waiting !== undefined) known.remove(waiting);
        if (transport.isConnected && set.heardMs < sentMs) this.#retire(place, set);
        timer.cancel();
        resolve(undefined);
      };
      const timer = clock.after(timeoutMs, giveUp);
      if (waiting === undefined) return giveUp();
      const bytes = encodeUpstreamQuery(query, waiting.id, name);
      const sent = (error: Error | null): void => {
        if (error === null) return;
        giveUp();
        // It may be what became of an earlier question.
        if (transport.isConnected) known.failAll();
      };
      port.socket.send(bytes, to, sent);
    });
  }

  close(): void {
    this.#isClosed = true;
    for (const set of [...this.#opened.values(), ...this.#retired]) closeAll(set);
    this.#opened.clear();
    this.#retired.clear();
  }

  /** Has the next question open others, when these are silent for long. */
  #retire(place: string, set: PortSet): void {
    const { clock } = this.#options;
    if (this.#opened.get(place) !== set || clock.monotonicMs() - set.openedMs < silentMs) return;
    this.#opened.delete(place);
    this.#retired.add(set);
    clock.after(silentMs, () => {
      if (this.#retired.delete(set)) closeAll(set);
    });
  }

  #open(place: string, to: UpstreamAddress): Promise<PortSet> {
    const known = this.#opening.get(place);
    if (known !== undefined) return known;
    const opening = this.#bind(place, to).finally(() => this.#opening.delete(place));
    this.#opening.set(place, opening);
    return opening;
  }

  async #bind(place: string, to: UpstreamAddress): Promise<PortSet> {
    const nowMs = this.#options.clock.monotonicMs();
    const none: PortSet = { ports: [], openedMs: nowMs, heardMs: nowMs };
    if (this.#isClosed) return none;
    let sockets: readonly UpstreamSocket[];
    try {
      sockets = await this.#options.transport.udp(to);
    } catch (error) {
      if (!this.#failed.has(place)) {
        const fields = { upstreams: place, error: messageOf(error) };
        this.#options.log.warn("Cannot open sockets to upstreams: the next query tries again", fields);
      }
      this.#failed.add(place);
      return none;
    }
    this.#failed.delete(place);
    if (this.#isClosed) {
      for (const socket of sockets) socket.close();
      return none;
    }
    const set: PortSet = { ...none, ports: sockets.map((socket) => this.#toPort(socket, () => set)) };
    this.#opened.set(place, set);
    return set;
  }

  #toPort(socket: UpstreamSocket, setOf: () => PortSet): Port {
    const { clock } = this.#options;
    const tables = new Map<string, WaitingTable>();
    const tableOf = ({ address, port }: UpstreamAddress): WaitingTable | undefined => tables.get(`${address} ${port}`);
    socket.hear({
      message: (bytes, from) => {
        if (tableOf(from)?.settle(bytes) === true) setOf().heardMs = clock.monotonicMs();
        else this.unexpected++;
      },
      failed: () => {
        for (const table of tables.values()) table.failAll();
      },
      undelivered: (bytes, to) => {
        if (tableOf(to)?.fail(bytes) !== true) this.unexpected++;
      },
    });
    return { socket, tables };
  }
}

function closeAll({ ports }: PortSet): void {
  for (const { socket, tables } of ports) {
    socket.close();
    for (const table of tables.values()) table.failAll();
  }
}
