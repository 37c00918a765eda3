/** Headers and spans of a sidecar and a gateway. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "#lib/clock.ts";
import { seededRandom } from "#lib/random.ts";
import type { ConnectionInfo, ExchangeRecord } from "#proxy/l7/context.ts";
import { type RequestHead, parseRequestHead } from "#proxy/l7/http1/request.ts";
import { Cluster } from "#proxy/l7/cluster.ts";
import type { TracingConfig } from "./tracing-config.ts";
import { Ids } from "./tracing-ids.ts";
import type { FinishedSpan, SpanOrigin, SpanSink } from "./tracing-span.ts";
import { Tracing } from "./tracing.ts";

const origin = (): SpanOrigin => ({
  resource: { "service.name": "reviews" },
  counters: { exported: 0, dropped: 0, failed: 0 },
});
const trace = "0af7651916cd43dd8448eb211c80319c";
const caller = "b7ad6b7169203331";
const cluster = Object.create(Cluster.prototype, { name: { value: "outbound|9080||ratings" } }) as Cluster;

interface Bench {
  readonly tracing: Tracing;
  readonly spans: FinishedSpan[];
  readonly clock: ManualClock;
}

function bench(config: Partial<TracingConfig> = {}, isGateway = false): Bench {
  const spans: FinishedSpan[] = [];
  const clock = new ManualClock();
  const sink: SpanSink = { add: (span) => void spans.push(span) };
  const whole: TracingConfig = { endpoint: "", samplingPercent: 100, propagation: "w3c", ...config };
  const ids = new Ids(seededRandom(7));
  return { tracing: new Tracing({ config: whole, sink, origin: origin(), isGateway, ids, clock }), spans, clock };
}

const headOf = (headers = "", line = "GET /reviews/0?a=1&sig=secret HTTP/1.1"): RequestHead =>
  parseRequestHead(`${line}\r\nHost: reviews:9080\r\nUser-Agent: test\r\n${headers}\r\n`);

function recordOf(
  head: RequestHead,
  direction: "inbound" | "outbound",
  more: Partial<ExchangeRecord> = {},
): ExchangeRecord {
  const connection: ConnectionInfo = { direction, remoteAddress: "10.244.1.7", destination: undefined };
  const sizes = { requestBytes: 3, responseBytes: 5, durationMs: 12.5 };
  return { connection, head, cluster, endpoint: undefined, status: 200, flag: "-", ...sizes, ...more };
}

test("Tracing continues a sampled trace with a server span inbound, and makes it the parent of what follows", () => {
  const { tracing, spans, clock } = bench();
  const head = headOf(`traceparent: 00-${trace}-${caller}-01\r\ntracestate: k=v\r\n`);
  const lines = tracing.lines(head);
  const [, span = ""] = /^traceparent: 00-0af7651916cd43dd8448eb211c80319c-([0-9a-f]{16})-01\r$/m.exec(lines) ?? [];
  assert.match(lines, /^tracestate: k=v\r$/m);
  tracing.onExchange(recordOf(head, "inbound"));
  assert.deepEqual(spans, [
    {
      origin: spans[0]!.origin,
      traceId: trace,
      spanId: span,
      parentId: caller,
      traceState: "k=v",
      kind: "server",
      name: "GET",
      startMs: clock.nowMs(),
      endMs: clock.nowMs() + 12.5,
      isError: false,
      attributes: {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.request.body.size": 3,
        "http.response.body.size": 5,
        "network.protocol.name": "http",
        "network.protocol.version": "1.1",
        "server.address": "reviews",
        "server.port": 9080,
        "url.scheme": "http",
        "url.path": "/reviews/0",
        "url.query": "a=1&sig=REDACTED",
        "user_agent.original": "test",
        "client.address": "10.244.1.7",
        "network.peer.address": "10.244.1.7",
        response_flags: "-",
        "upstream_cluster.name": "outbound|9080||ratings",
      },
    },
  ]);
});

test("Tracing records a client span outbound, with errors from 400 on and downstreams that left", () => {
  const { tracing, spans } = bench();
  for (const [status, flag, givenStatus] of [
    [200, "-", 0],
    [404, "-", 404],
    [503, "UF", 503],
    [0, "DC", 0],
    // To gRPC.
    [200, "UF", 503],
  ] as const) {
    const head = headOf();
    tracing.lines(head);
    tracing.onExchange(recordOf(head, "outbound", { status, flag, givenStatus }));
  }
  assert.deepEqual(
    spans.map(({ kind, isError, attributes, parentId }) => [kind, isError, attributes["error.type"], parentId]),
    [
      ["client", false, undefined, undefined],
      ["client", true, "404", undefined],
      ["client", true, "503", undefined],
      ["client", true, "DC", undefined],
      ["client", true, "503", undefined],
    ],
  );
  assert.equal(spans[0]!.attributes["url.full"], "http://reviews:9080/reviews/0?a=1&sig=REDACTED");
});

test("Tracing of a gateway records a server span and, once there is an upstream, a client span below it", () => {
  const { tracing, spans } = bench({}, true);
  const head = headOf();
  const sent = /traceparent: 00-[0-9a-f]{32}-([0-9a-f]{16})-01/.exec(tracing.lines(head))?.[1];
  tracing.onExchange(recordOf(head, "outbound"));
  assert.deepEqual(
    spans.map(({ kind }) => kind),
    ["server", "client"],
  );
  assert.equal(spans[0]!.parentId, undefined);
  assert.equal(spans[1]!.parentId, spans[0]!.spanId);
  assert.equal(spans[1]!.spanId, sent);
  // No route: nothing was sent on, and the refusal has its span all the same.
  tracing.onExchange(recordOf(headOf(), "outbound", { cluster: undefined, status: 404, flag: "NR" }));
  assert.deepEqual(
    spans.slice(2).map(({ kind, attributes }) => [kind, attributes["response_flags"]]),
    [["server", "NR"]],
  );
});

test("Tracing leaves what is not sampled to the sender's parent, and says so where it decides itself", () => {
  const { tracing, spans } = bench({ samplingPercent: 0 });
  const decided = headOf(`traceparent: 00-${trace}-${caller}-00\r\n`);
  assert.match(tracing.lines(decided), new RegExp(`traceparent: 00-${trace}-${caller}-00\r\n`));
  const own = headOf();
  assert.match(tracing.lines(own), /traceparent: 00-[0-9a-f]{32}-[0-9a-f]{16}-00\r\n/);
  for (const head of [decided, own]) tracing.onExchange(recordOf(head, "inbound"));
  assert.deepEqual(spans, []);
  const forced = headOf(`traceparent: 00-${trace}-${caller}-01\r\n`);
  tracing.lines(forced);
  tracing.onExchange(recordOf(forced, "inbound"));
  assert.equal(spans.length, 1, "the sender's decision counts");
});

test("Tracing samples the share that was asked for, and no probes", () => {
  const { tracing, spans } = bench({ samplingPercent: 10 });
  const run = (head: RequestHead): void => {
    tracing.lines(head);
    tracing.onExchange(recordOf(head, "inbound"));
  };
  for (let count = 0; count < 4000; count++) run(headOf());
  assert.ok(spans.length > 320 && spans.length < 480, `${spans.length} of 4000`);
  const all = bench();
  const probe = headOf("", "GET /health HTTP/1.1");
  const head = { ...probe, headers: { ...probe.headers, values: ["a", "kube-probe/1.35"] } };
  assert.match(all.tracing.lines(head), /-00\r\n/);
});

test("Tracing writes B3 and its parent when asked to, and keeps a denial", () => {
  const { tracing } = bench({ propagation: "b3" });
  const lines = tracing.lines(headOf(`b3: ${trace}-${caller}-1\r\n`));
  assert.match(
    lines,
    new RegExp(
      `x-b3-traceid: ${trace}\r\nx-b3-spanid: [0-9a-f]{16}\r\nx-b3-sampled: 1\r\nx-b3-parentspanid: ${caller}\r\n`,
    ),
  );
  assert.doesNotMatch(lines, /traceparent/);
  assert.match(tracing.lines(headOf("b3: 0\r\n")), /x-b3-sampled: 0\r\n/);
});
