/**
 * Cluster DNS: Services in, answers out.
 *
 *   ADS wherry.v1.Service ─▶ apply() ─▶ zone.ts ◀─ chain.ts ◀─ wire/query.ts ◀─ server.ts ◀─ pods
 *
 * Invariants: no message, however malformed, ends the process or goes without its rcode; while `markSynced()` was not called,
 * missing names are SERVFAIL. Losing the control plane changes nothing here.
 */
import type { ServiceResource } from "#api/wire/service.ts";
import type { Clock } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import { answerBy, createChain, type Plugin } from "./chain.ts";
import { DNSError } from "./errors.ts";
import { DNSMetrics, type Proto } from "./metrics.ts";
import { type DNSServer, listen, type ListenAt, type ServerOptions } from "./server.ts";
import { rcodes } from "./wire/constants.ts";
import { toText } from "./wire/name.ts";
import { parseQuery, type Query } from "./wire/query.ts";
import { encodeReject, encodeResponse, udpLimit } from "./wire/response.ts";
import { Zone, type ZoneOptions } from "./zone.ts";

export interface DNSOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly zone?: ZoneOptions;
  /** Bounds of the TCP side (server.ts). */
  readonly tcp?: Pick<ServerOptions, "connectionsMax" | "idleMs">;
}

/** One Service of a push; an ADS resource is one. `name` is `namespace/name`. */
export interface NamedService {
  readonly name: string;
  readonly resource: ServiceResource;
}

export interface DNS {
  /** Takes a delta. An ADS client's handler. The next query sees it. */
  apply(updated: readonly NamedService[], removed: readonly string[]): void;
  /** Says that every Service there is has been applied once: from now on a missing name is NXDOMAIN. */
  markSynced(): void;
  readonly synced: boolean;
  /** The response to one message, undefined for none. What the sockets call. */
  respond(message: Buffer, proto: Proto): Buffer | undefined;
  /** Serves UDP and TCP. The port. Once; rejects with CannotListen, AlreadyListening. */
  listen(at: ListenAt): Promise<number>;
  close(): Promise<void>;
  readonly metrics: DNSMetrics;
}

/** Wherry's ranges, whose reverse names are ours. */
const defaultZone: ZoneOptions = { reverseCIDRs: ["10.96.0.0/16", "10.244.0.0/16"] };

/** Cluster DNS. Serves nothing before `listen`. */
export function createDNS(options: DNSOptions): DNS {
  return new ClusterDNS(options);
}

class ClusterDNS implements DNS {
  readonly metrics = new DNSMetrics("dns://:53");
  readonly #options: DNSOptions;
  readonly #zone: Zone;
  readonly #zoneLabel: string;
  readonly #chain: readonly Plugin[];
  #server: DNSServer | undefined;
  #isListening = false;
  #isSynced = false;
  #hasRefused = false;

  constructor(options: DNSOptions) {
    this.#options = options;
    this.#zone = new Zone({ ...defaultZone, ...options.zone });
    this.#zoneLabel = `${this.#zone.domain}.`;
    this.#chain = createChain({
      zone: this.#zone,
      isSynced: () => this.#isSynced,
      onRefused: (query) => this.#noteRefused(query),
    });
  }

  get synced(): boolean {
    return this.#isSynced;
  }

  apply(updated: readonly NamedService[], removed: readonly string[]): void {
    this.#zone.apply(updated, removed, this.#options.clock.nowMs() / 1000);
  }

  markSynced(): void {
    this.#isSynced = true;
  }

  respond(message: Buffer, proto: Proto): Buffer | undefined {
    const startMs = this.#options.clock.monotonicMs();
    const query = parseQuery(message);
    if (query.kind !== "query") {
      const response = query.kind === "reject" ? encodeReject(query) : undefined;
      const rcode = query.kind === "reject" ? query.rcode : -1;
      this.#observe({ message, response, proto, rcode, startMs, type: 0, zone: "dropped", plugin: "" });
      return response;
    }
    const { plugin, answer } = this.#answer(query);
    const response = encodeResponse(query, answer, proto === "udp" ? udpLimit(query) : 65_535);
    const zone = plugin === "kubernetes" ? this.#zoneLabel : ".";
    this.#observe({ message, response, proto, rcode: answer.rcode, startMs, type: query.type, zone, plugin });
    return response;
  }

  async listen(at: ListenAt): Promise<number> {
    if (this.#isListening) throw new DNSError("AlreadyListening", "Cannot listen: already listening, wanted once");
    this.#isListening = true;
    try {
      const respond = (message: Buffer, proto: Proto): Buffer | undefined => this.respond(message, proto);
      this.#server = await listen(at, { respond, metrics: this.metrics, ...this.#options.tcp });
      return this.#server.port;
    } catch (error) {
      this.#isListening = false;
      throw error;
    }
  }

  async close(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    await server?.close();
    this.#isListening = false;
  }

  /** A bug in a plugin costs its query, not the process. */
  #answer(query: Query): ReturnType<typeof answerBy> {
    try {
      return answerBy(this.#chain, query);
    } catch (error) {
      this.metrics.panics++;
      this.#options.log.error("Cannot answer", { name: toText(query.name), type: query.type, error: messageOf(error) });
      return answerBy([], query);
    }
  }

  #noteRefused(query: Query): void {
    if (this.#hasRefused) return;
    this.#hasRefused = true;
    const fields = { name: toText(query.name), rcode: rcodes.refused };
    this.#options.log.info("Refuses names outside the cluster: no upstream is configured (said once)", fields);
  }

  #observe(seen: {
    readonly message: Buffer;
    readonly response: Buffer | undefined;
    readonly proto: Proto;
    readonly rcode: number;
    readonly startMs: number;
    readonly type: number;
    readonly zone: string;
    readonly plugin: string;
  }): void {
    const { message, response, startMs, ...labels } = seen;
    this.metrics.observe({
      ...labels,
      requestBytes: message.length,
      responseBytes: response?.length ?? 0,
      seconds: (this.#options.clock.monotonicMs() - startMs) / 1000,
    });
  }
}
