/**
 * Traces of a whole request: gateway, productpage, details, reviews, ratings, to an OTLP receiver on the host.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { type ReceivedSpan, type Receiver, startReceiver } from "../../sidecar/otlp-fixture.ts";
import { type TestCluster, createTestCluster } from "./cluster.ts";

/** OTLP's span kinds. */
const server = 2;
const client = 3;
/** The way of one request to reviews v2 or v3, and back: nine spans. */
const wanted = [
  ["bookinfo-gateway-wherry", server, undefined],
  ["bookinfo-gateway-wherry", client, "bookinfo-gateway-wherry"],
  ["details", server, "productpage"],
  ["productpage", client, "productpage"],
  ["productpage", client, "productpage"],
  ["productpage", server, "bookinfo-gateway-wherry"],
  ["ratings", server, "reviews"],
  ["reviews", client, "reviews"],
  ["reviews", server, "productpage"],
] as const;

describe("traces", () => {
  let cluster: TestCluster;
  let receiver: Receiver;
  let url = "";

  before(async () => {
    receiver = await startReceiver();
    cluster = createTestCluster();
    const flags = ["--otlp-endpoint", receiver.endpoint, "--trace-sampling", "0", "--trace-propagation", "both"];
    const demo = await cluster.run(
      "demo",
      "--detach",
      "-o",
      "json",
      "-p",
      "0=gateway/default/bookinfo-gateway:80",
      ...flags,
    );
    ({ url } = JSON.parse(demo) as { url: string });
  });

  after(async () => {
    await cluster[Symbol.asyncDispose]();
    await receiver[Symbol.asyncDispose]();
  });

  /** Asks for the page as part of a trace of ours until one went to ratings, and gives its spans. */
  async function traced(headersOf: (traceId: string) => Record<string, string>): Promise<readonly ReceivedSpan[]> {
    for (let tries = 0; tries < 12; tries++) {
      const traceId = randomBytes(16).toString("hex");
      const response = await fetch(url, { headers: headersOf(traceId) });
      const page = await response.text();
      assert.equal(response.status, 200);
      // The versions that show stars have asked ratings.
      if (!page.includes('class="stars"')) continue;
      return receiver.until(wanted.length, (span) => span.traceId === traceId);
    }
    throw new Error("No page came from a version of reviews that asks ratings");
  }

  const parentSpan = "b7ad6b7169203331";

  function checkTrace(spans: readonly ReceivedSpan[]): void {
    const byId = new Map(spans.map((span) => [span.spanId, span]));
    const serviceOf = (span: ReceivedSpan | undefined): unknown => span?.resource["service.name"];
    const found = spans.map((span) => [serviceOf(span), span.kind, serviceOf(byId.get(span.parentSpanId))] as const);
    const sorted = (rows: readonly (readonly unknown[])[]): readonly string[] =>
      rows.map((row) => JSON.stringify(row)).sort();
    assert.deepEqual(sorted(found), sorted(wanted));
    const [first] = spans.filter((span) => !byId.has(span.parentSpanId));
    assert.equal(first?.parentSpanId, parentSpan, "the gateway's span is a child of ours");
    for (const span of spans) {
      const parent = byId.get(span.parentSpanId);
      if (parent === undefined) continue;
      // A server's parent is the client's span of the hop before; a client's, the server's of its own pod.
      assert.notEqual(parent.kind, span.kind, `${String(serviceOf(span))} below ${String(serviceOf(parent))}`);
    }
  }

  it("of one request are one trace, with parents right at each hop", async () => {
    checkTrace(await traced((traceId) => ({ traceparent: `00-${traceId}-${parentSpan}-01` })));
  });

  it("are continued from B3, in one header and in many", async () => {
    checkTrace(await traced((traceId) => ({ b3: `${traceId}-${parentSpan}-1` })));
    checkTrace(
      await traced((traceId) => ({ "x-b3-traceid": traceId, "x-b3-spanid": parentSpan, "x-b3-sampled": "1" })),
    );
  });

  it("have the attributes of OpenTelemetry's HTTP conventions", async () => {
    const spans = await traced((traceId) => ({ traceparent: `00-${traceId}-${parentSpan}-01` }));
    const find = (service: string, kind: number): ReceivedSpan => {
      const span = spans.find((candidate) => candidate.resource["service.name"] === service && candidate.kind === kind);
      assert.ok(span !== undefined, `${service} ${kind}`);
      return span;
    };
    const gateway = find("bookinfo-gateway-wherry", server);
    assert.equal(gateway.name, "GET");
    assert.equal(gateway.attributes["http.request.method"], "GET");
    assert.equal(gateway.attributes["url.path"], "/productpage");
    assert.equal(gateway.attributes["url.scheme"], "http");
    assert.equal(gateway.attributes["server.address"], "127.0.0.1");
    assert.equal(gateway.attributes["server.port"], Number(new URL(url).port));
    assert.equal(gateway.attributes["network.protocol.version"], "1.1");
    const call = find("reviews", client);
    assert.equal(call.attributes["http.response.status_code"], 200);
    assert.match(String(call.attributes["url.full"]), /^http:\/\/ratings:9080\/ratings\/0/);
    assert.match(String(call.attributes["network.peer.address"]), /^10\.244\.\d+\.\d+$/);
    assert.equal(call.attributes["network.peer.port"], 9080);
    assert.equal(call.attributes["server.address"], "ratings");
    assert.equal(call.resource["k8s.namespace.name"], "default");
    assert.match(String(call.resource["k8s.pod.name"]), /^reviews-v[23]-/);
  });

  it("are not recorded for requests that were not sampled", async () => {
    const before = receiver.spans.length;
    for (let count = 0; count < 5; count++) assert.equal((await fetch(url)).status, 200);
    // A traced request behind them: when its spans are there, theirs would be.
    const spans = await traced((traceId) => ({ traceparent: `00-${traceId}-${parentSpan}-01` }));
    const traces = new Set(receiver.spans.slice(before).map(({ traceId }) => traceId));
    assert.ok(traces.has(spans[0]!.traceId));
    assert.ok(
      [...receiver.spans].every(({ resource }) => resource["service.name"] !== "load"),
      "the load is not traced",
    );
    const rootless = receiver.spans.filter(({ parentSpanId }) => parentSpanId === "");
    assert.deepEqual(rootless, [], "nobody but us started a trace");
  });
});
