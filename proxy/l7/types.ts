/**
 * What the engine is given: time, sockets, counters. Everything with an effect comes in through these.
 *
 *   sidecar/ (makes them) ─▶ listener.ts, downstream.ts, pool.ts, tcp-proxy.ts
 */
import type { OnReadOpts, Socket } from "node:net";
import type { Logger } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";
import type { TimerWheel } from "./timer-wheel.ts";

export interface SocketAddress {
  /** IPv4 or IPv6, without brackets. */
  readonly address: string;
  readonly port: number;
}

/** How an upstream socket must be made; the names are those of node:net's connect options. */
export interface DialOptions {
  readonly allowHalfOpen: true;
  readonly noDelay: true;
  /** Who takes the bytes instead of "data", and into which memory they are read. */
  readonly onread?: OnReadOpts;
}

export const dialOptions: DialOptions = { allowHalfOpen: true, noDelay: true };

/** A socket that is connecting and will emit "connect". It may fail by throwing or by "error" and "close". */
export type Dial = (address: string, port: number, options: DialOptions) => Socket;

export interface EngineDeps {
  readonly dial: Dial;
  readonly wheel: TimerWheel;
  /** Monotonic time, in ms. */
  readonly nowMs: () => number;
  /** Wall-clock time, in ms since 1970. */
  readonly wallMs: () => number;
  /** Runs once after a delay, in ms. */
  readonly after: (delayMs: number, callback: () => void) => void;
  readonly log: Logger;
  readonly random: Random;
  readonly counters: EngineCounters;
  /** What this proxy belongs to, as the bootstrap's node says; "source_cluster" of rate limits. */
  readonly serviceCluster?: string;
  /**
   * What the application behind an inbound listener did not take ends without an answer, for the caller's sidecar to
   * try elsewhere. Default: it is answered, as by Envoy.
   */
  readonly handsBack?: boolean;
}

/** Plain numbers, read by the metrics page. */
export interface EngineCounters {
  downstreamOpen: number;
  /** Refused because the listener set holds `connectionsMax`. */
  downstreamRefused: number;
  /** Refused because the original destination was the proxy itself. */
  loopsRefused: number;
  /** Filter chains picked without knowing the protocol, because no byte came in time. */
  detectTimeouts: number;
  /** TLS handshakes of downstreams that failed. */
  handshakeErrors: number;
  /** Downstream connections that were closed because their set-up here failed; each is logged. */
  setUpErrors: number;
  /** Requests or responses that broke HTTP. */
  protocolErrors: number;
  retries: number;
  upstreamOpen: number;
  /** Requests refused because the cluster has all its connections. */
  upstreamOverflows: number;
  /** Of filters that count: by what Envoy's names begin with, then by the rest of the name. */
  readonly filters: Map<string, Record<string, number>>;
  /** Requests handed back to the caller by reason (see downstream.ts). */
  readonly handedBack: { connect: number; reset: number };
}

export function createCounters(): EngineCounters {
  return {
    downstreamOpen: 0,
    downstreamRefused: 0,
    loopsRefused: 0,
    detectTimeouts: 0,
    handshakeErrors: 0,
    setUpErrors: 0,
    protocolErrors: 0,
    retries: 0,
    upstreamOpen: 0,
    upstreamOverflows: 0,
    filters: new Map(),
    handedBack: { connect: 0, reset: 0 },
  };
}

/** Envoy's response flags that the engine sets; "-" is none. */
export type ResponseFlag =
  | "-"
  | "UH"
  | "UF"
  | "UC"
  | "UR"
  | "UO"
  | "UT"
  | "URX"
  | "DI"
  | "FI"
  | "RL"
  | "RLSE"
  | "NR"
  | "NC"
  | "DC"
  | "SI"
  | "DT"
  | "DPE"
  | "UPE";
