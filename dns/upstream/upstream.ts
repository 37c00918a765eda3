/**
 * One upstream resolver: how it is asked, and whether it is well.
 *
 *   plugins/forward.ts ─▶ Upstream.ask ─▶ udp.ts, stream.ts, https.ts ─▶ Reply
 *
 * Up => Down (more than `failsMax` probes failed in a row) => Up (a probe was answered). Probes start with the first
 * failed question and end with the first answered probe, as in CoreDNS.
 */
import type { Socket } from "node:net";
import { connect as connectTLS } from "node:tls";
import type { Clock, Timer } from "#lib/clock.ts";
import type { Logger } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";
import { Histogram } from "../metrics.ts";
import type { UpstreamAddress, UpstreamTransport } from "../transport.ts";
import { classIN, rcodeNames, types } from "../wire/constants.ts";
import { encodeQuery } from "../wire/message.ts";
import { parseQuery, type Query } from "../wire/query.ts";
import type { Reply } from "./exchange.ts";
import { StreamExchange } from "./stream.ts";
import type { Ask, UDPExchange } from "./udp.ts";

export type UpstreamProto = "dns" | "tls" | "https";

/** Where an upstream is. */
export interface UpstreamSpec extends UpstreamAddress {
  readonly proto: UpstreamProto;
  /** `1.1.1.1:53`, `tls://1.1.1.1:853`: logs and the metric label `to`. */
  readonly text: string;
  /** For https: the whole URL. */
  readonly url?: string;
}

export interface UpstreamOptions {
  readonly spec: UpstreamSpec;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly transport: UpstreamTransport;
  readonly udp: UDPExchange;
  readonly tls: { readonly servername?: string; readonly cert?: string; readonly key?: string; readonly ca?: string };
  readonly health: HealthOptions;
  /** Idle connections are closed after, in ms. */
  readonly expireMs: number;
}

export interface HealthOptions {
  /** Between probes, in ms. */
  readonly everyMs: number;
  /** Failed probes before it is down; 0: never. */
  readonly failsMax: number;
  readonly isRecursionDesired: boolean;
  /** What probes ask the NS of, a key. */
  readonly domain: string;
}

export const requestDurationBounds: readonly number[] = Array.from({ length: 16 }, (_, k) => 0.00025 * 2 ** k);
/** What a probe may take, in ms. */
const probeTimeoutMs = 1000;

export class Upstream {
  readonly spec: UpstreamSpec;
  readonly #options: UpstreamOptions;
  readonly #stream: StreamExchange;
  readonly durations: Map<string, Histogram> = new Map();
  #fails = 0;
  #probe: Timer | undefined;
  #isClosed = false;
  #keepsCase = true;
  healthFailures = 0;

  constructor(options: UpstreamOptions) {
    this.#options = options;
    this.spec = options.spec;
    const { clock, random, expireMs } = options;
    this.#stream = new StreamExchange({ clock, random, idleMs: expireMs, open: () => this.#connect() });
  }

  get isDown(): boolean {
    const { failsMax } = this.#options.health;
    return failsMax > 0 && this.#fails > failsMax;
  }

  get connections(): { readonly hits: number; readonly misses: number } {
    return this.#stream;
  }

  /** The upstream's answer, or undefined. `isStream`: over TCP where UDP would do. */
  async ask(
    query: Query,
    isStream: boolean,
    timeoutMs: number,
  ): Promise<Extract<Reply, { kind: "message" }> | undefined> {
    const startMs = this.#options.clock.monotonicMs();
    const reply = await this.#askOnce({ query, keepsCase: this.#keepsCase, timeoutMs }, isStream);
    if (reply?.kind !== "message") {
      this.noteFailure();
      return undefined;
    }
    const rcode = rcodeNames[reply.message.rcode] ?? String(reply.message.rcode);
    let histogram = this.durations.get(rcode);
    if (histogram === undefined) this.durations.set(rcode, (histogram = new Histogram(requestDurationBounds)));
    histogram.observe((this.#options.clock.monotonicMs() - startMs) / 1000);
    return reply;
  }

  /** Starts probing: questions went unanswered. */
  noteFailure(): void {
    if (this.#probe !== undefined || this.#isClosed || this.#options.health.failsMax === 0) return;
    this.#scheduleProbe();
  }

  close(): void {
    this.#isClosed = true;
    this.#probe?.cancel();
    this.#stream.close();
  }

  async #askOnce(ask: Ask, isStream: boolean): Promise<Reply | undefined> {
    const { spec, udp } = this.#options;
    if (spec.proto === "https") return (await import("./https.ts")).askHTTPS(spec.url ?? "", ask, this.#options);
    if (spec.proto === "tls" || isStream) return this.#settleCase(await this.#stream.ask(ask));
    const reply = await udp.ask(spec, ask);
    if (reply?.kind !== "caseLost") return reply;
    // Over TCP nobody else can answer: a lost case is the upstream's own habit there, and a forgery is void.
    const again = await this.#stream.ask(ask);
    if (again !== undefined) return this.#settleCase(again);
    // An upstream without TCP must be believed, but not for the reply that may have been forged.
    const plain = await udp.ask(spec, { ...ask, keepsCase: false });
    return plain?.kind === "message" ? this.#settleCase({ ...plain, kind: "caseLost" }) : plain;
  }

  /** Believes what came over a connection, and remembers that this upstream loses the case of names. */
  #settleCase(reply: Reply | undefined): Reply | undefined {
    if (reply?.kind !== "caseLost") return reply;
    if (this.#keepsCase) {
      this.#options.log.info("Upstream does not keep the case of names: it is no longer drawn", {
        upstream: this.spec.text,
      });
    }
    this.#keepsCase = false;
    return { kind: "message", message: reply.message };
  }

  async #connect(): Promise<Socket> {
    const { spec, transport, tls } = this.#options;
    const socket = await transport.tcp(spec.address, spec.port);
    if (spec.proto !== "tls") return socket;
    socket.on("error", () => socket.destroy());
    const servername = tls.servername ?? "";
    // Without a name to check, the certificate must name the address.
    return connectTLS({ ...tls, socket, host: spec.address, ...(servername === "" ? {} : { servername }) });
  }

  #scheduleProbe(): void {
    const { clock, health } = this.#options;
    this.#probe = clock.after(health.everyMs, () => {
      void this.#runProbe();
    });
  }

  async #runProbe(): Promise<void> {
    const { health, log } = this.#options;
    const query = parseQuery(
      encodeQuery({
        id: 0,
        name: health.domain,
        type: types.ns,
        class: classIN,
        isRecursionDesired: health.isRecursionDesired,
        payloadBytes: 0,
      }),
    );
    if (query.kind !== "query") return;
    const wasDown = this.isDown;
    const reply = await this.#askOnce({ query, keepsCase: false, timeoutMs: probeTimeoutMs }, false);
    this.#probe = undefined;
    if (this.#isClosed) return;
    if (reply !== undefined) {
      this.#fails = 0;
      if (wasDown) log.info("Upstream answers again", { upstream: this.spec.text });
      return;
    }
    this.#fails++;
    this.healthFailures++;
    if (!wasDown && this.isDown) log.warn("Upstream does not answer: others are asked", { upstream: this.spec.text });
    this.#scheduleProbe();
  }
}
