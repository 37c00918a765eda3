/** Trace headers: what is read, what counts as absent, what is written. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseHeaders } from "#proxy/l7/http1/headers.ts";
import { formatContext, readContext } from "./tracing-context.ts";

const trace = "0af7651916cd43dd8448eb211c80319c";
const span = "b7ad6b7169203331";
const read = (lines: string, propagation: "w3c" | "b3" | "both" = "both"): ReturnType<typeof readContext> =>
  readContext(parseHeaders(`${lines.replaceAll("\n", "\r\n")}\r\n\r\n`, 0), propagation);
const context = (isSampled: boolean | undefined, traceState = ""): object => ({
  traceId: trace,
  spanId: span,
  isSampled,
  traceState,
});

test("readContext() reads each format", () => {
  const rows: readonly (readonly [string, object | string | undefined])[] = [
    [`traceparent: 00-${trace}-${span}-01`, context(true)],
    [`traceparent: 00-${trace}-${span}-00\ntracestate: a=1\ntracestate: b=2`, context(false, "a=1,b=2")],
    // Level 2: a later version with more behind it, and other flags.
    [`traceparent: cc-${trace}-${span}-03-what`, context(true)],
    [`b3: ${trace}-${span}-1`, context(true)],
    [`b3: ${trace}-${span}-d`, context(true)],
    [`b3: ${trace}-${span}-0-05e3ac9a4f6e3b90`, context(false)],
    [`b3: ${trace}-${span}`, context(undefined)],
    ["b3: 0", "denied"],
    [`X-B3-TraceId: ${trace.toUpperCase()}\nX-B3-SpanId: ${span}\nX-B3-Sampled: 1`, context(true)],
    [`x-b3-traceid: ${trace}\nx-b3-spanid: ${span}\nx-b3-flags: 1`, context(true)],
    [`x-b3-traceid: ${trace}\nx-b3-spanid: ${span}`, context(undefined)],
    ["x-b3-sampled: 0", "denied"],
    [
      `x-b3-traceid: ${span}\nx-b3-spanid: ${span}\nx-b3-sampled: true`,
      { ...context(true), traceId: "0".repeat(16) + span },
    ],
    // W3C counts before B3.
    [`b3: ${trace}-${span}-0\ntraceparent: 00-${trace}-${span}-01`, context(true)],
  ];
  for (const [lines, wanted] of rows) assert.deepEqual(read(lines), wanted, lines);
});

test("readContext() takes what is malformed, or of a format that is off, for absent", () => {
  const rows = [
    "accept: x",
    `traceparent: ff-${trace}-${span}-01`,
    `traceparent: 00-${trace}-${span}-01-more`,
    `traceparent: 00-${trace.toUpperCase()}-${span}-01`,
    `traceparent: 00-${"0".repeat(32)}-${span}-01`,
    `traceparent: 00-${trace}-${"0".repeat(16)}-01`,
    `b3: ${trace}`,
    `b3: ${trace}x-${span}-1`,
    `x-b3-traceid: ${trace}`,
  ];
  for (const lines of rows) assert.equal(read(lines), undefined, lines);
  assert.equal(read(`b3: ${trace}-${span}-1`, "w3c"), undefined);
  assert.equal(read(`traceparent: 00-${trace}-${span}-01`, "b3"), undefined);
});

test("formatContext() writes what readContext() reads", () => {
  const hex = (digits: number): fc.Arbitrary<string> =>
    fc.stringMatching(new RegExp(`^[0-9a-f]{${digits}}$`)).filter((text) => !/^0+$/.test(text));
  const some = fc.record(
    { traceId: hex(32), spanId: hex(16), isSampled: fc.boolean(), traceState: fc.constant("") },
    { noNullPrototype: true },
  );
  fc.assert(
    fc.property(some, fc.constantFrom("w3c" as const, "b3" as const, "both" as const), (one, propagation) => {
      assert.deepEqual(readContext(parseHeaders(`${formatContext(one, propagation)}\r\n`, 0), propagation), one);
    }),
  );
});
