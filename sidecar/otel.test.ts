/** Spans through OpenTelemetry's SDK to a receiver of ours. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "#lib/log.ts";
import { OTLPSink, waitingMax } from "./otel.ts";
import { startReceiver } from "./otlp-fixture.ts";
import type { FinishedSpan, SpanOrigin } from "./tracing-span.ts";

const trace = "0af7651916cd43dd8448eb211c80319c";
const caller = "b7ad6b7169203331";
const origin = (): SpanOrigin => ({
  resource: { "service.name": "reviews" },
  counters: { exported: 0, dropped: 0, failed: 0 },
});

const span = (of: SpanOrigin, at: number): FinishedSpan => ({
  origin: of,
  traceId: trace,
  spanId: at.toString(16).padStart(16, "1"),
  parentId: at === 0 ? undefined : caller,
  traceState: "",
  kind: "client",
  name: "GET",
  startMs: 1_700_000_000_000.25,
  endMs: 1_700_000_000_001.5,
  attributes: { "http.response.status_code": 503 },
  isError: true,
});

test("OTLPSink sends spans with their ids, times, parents and each sidecar's own resource", async () => {
  await using receiver = await startReceiver();
  const sink = new OTLPSink({ config: { endpoint: `${receiver.endpoint}/` }, log: silentLogger });
  const [one, two] = [origin(), { ...origin(), resource: { "service.name": "ratings" } }];
  sink.add(span(one, 0));
  sink.add(span(two, 1));
  await sink.close();
  assert.deepEqual(receiver.requests, [{ path: "/v1/traces", contentType: "application/json" }]);
  const [first, second] = receiver.spans;
  assert.equal(first!.traceId, trace);
  assert.equal(first!.spanId, "1111111111111110");
  assert.equal(first!.parentSpanId, "");
  assert.equal(first!.kind, 3);
  assert.equal(first!.status, 2);
  assert.equal(first!.startNs, 1_700_000_000_000_250_000n);
  assert.equal(first!.endNs, 1_700_000_000_001_500_000n);
  assert.equal(first!.attributes["http.response.status_code"], 503);
  assert.equal(first!.resource["service.name"], "reviews");
  assert.equal(second!.parentSpanId, caller);
  assert.equal(second!.resource["service.name"], "ratings");
  assert.deepEqual([one.counters.exported, two.counters.exported], [1, 1]);
});

test("OTLPSink drops what is beyond its bound, and counts it", async () => {
  await using receiver = await startReceiver();
  const sink = new OTLPSink({ config: receiver, log: silentLogger });
  const of = origin();
  for (let at = 0; at < waitingMax + 5; at++) sink.add(span(of, at));
  await sink.close();
  assert.deepEqual(of.counters, { exported: waitingMax, dropped: 5, failed: 0 });
});

test("OTLPSink counts what the receiver refuses", async () => {
  await using receiver = await startReceiver();
  receiver.status = 400;
  const sink = new OTLPSink({ config: receiver, log: silentLogger });
  const of = origin();
  for (let at = 0; at < 3; at++) sink.add(span(of, at));
  await sink.close();
  assert.deepEqual(of.counters, { exported: 0, dropped: 0, failed: 3 });
});
