/**
 * Many requests at once to one cluster: what is sent, what waits, and what is refused.
 *
 *   burst-cases.ts ─▶ bursts.ts ─▶ Envoy and Wherry ─▶ bursts.json
 */
import type { Fields } from "./types.ts";

export interface BurstCase {
  readonly name: string;
  /** What the cluster's connections speak. */
  readonly protocol: "http1" | "http2";
  /** Streams that the upstream allows on a connection; default any number. */
  readonly streams?: number;
  /** Fields of the Cluster. */
  readonly cluster?: Fields;
  readonly http2?: Fields;
  /** Requests that are sent one after the other, each once it is known what became of the one before. */
  readonly requests: number;
  /** Which of them go by the route with priority HIGH; default none. */
  readonly high?: readonly number[];
  /** Endpoints, default 1. */
  readonly endpoints?: number;
  /** Of those that follow the answers to all before. */
  readonly later?: number;
}

const limits = (...thresholds: readonly Fields[]): Fields => ({ circuit_breakers: { thresholds } });
const highLimits = limits({ max_connections: 1 }, { priority: "HIGH", max_connections: 2 });

export const burstCases: readonly BurstCase[] = [
  { name: "h2 streams of one connection", protocol: "http2", requests: 5 },
  { name: "h2 peer allows two streams", protocol: "http2", streams: 2, requests: 5, later: 3 },
  {
    name: "h2 peer allows two streams, one connection",
    protocol: "http2",
    streams: 2,
    cluster: limits({ max_connections: 1 }),
    requests: 6,
    later: 1,
  },
  {
    name: "h2 peer allows two streams, one connection, two wait",
    protocol: "http2",
    streams: 2,
    cluster: limits({ max_connections: 1, max_pending_requests: 2 }),
    requests: 6,
    later: 1,
  },
  {
    name: "h2 one stream by our own limit",
    protocol: "http2",
    http2: { max_concurrent_streams: 1 },
    cluster: limits({ max_connections: 2, max_pending_requests: 1 }),
    requests: 5,
  },
  {
    name: "h2 three requests",
    protocol: "http2",
    cluster: limits({ max_requests: 3 }),
    requests: 5,
    later: 2,
  },
  {
    name: "h2 one request, one stream",
    protocol: "http2",
    http2: { max_concurrent_streams: 1 },
    cluster: limits({ max_connections: 1, max_requests: 1 }),
    requests: 3,
  },
  {
    name: "h2 two endpoints, one connection",
    protocol: "http2",
    cluster: limits({ max_connections: 1 }),
    endpoints: 2,
    requests: 4,
  },
  { name: "h2 nobody may wait", protocol: "http2", cluster: limits({ max_pending_requests: 0 }), requests: 2 },
  {
    name: "h1 one connection, two wait",
    protocol: "http1",
    cluster: limits({ max_connections: 1, max_pending_requests: 2 }),
    requests: 5,
    later: 1,
  },
  {
    name: "h1 two endpoints, one connection",
    protocol: "http1",
    cluster: limits({ max_connections: 1 }),
    endpoints: 2,
    requests: 4,
    later: 2,
  },
  {
    name: "h1 one request of one connection",
    protocol: "http1",
    cluster: limits({ max_connections: 1, max_requests: 1 }),
    requests: 3,
  },
  { name: "h1 two requests", protocol: "http1", cluster: limits({ max_requests: 2 }), requests: 4, later: 1 },
  {
    name: "h1 high priority, one connection",
    protocol: "http1",
    cluster: limits({ priority: "HIGH", max_connections: 1, max_pending_requests: 1 }),
    requests: 3,
    high: [0, 1, 2],
  },
  {
    name: "h1 high priority beside default",
    protocol: "http1",
    cluster: highLimits,
    requests: 5,
    high: [2, 3, 4],
    later: 2,
  },
  {
    name: "h2 high priority beside default",
    protocol: "http2",
    streams: 1,
    cluster: highLimits,
    requests: 5,
    high: [2, 3, 4],
  },
];
