/** Formats, filters and the sink of access logs. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { ManualClock } from "#lib/clock.ts";
import { silentLogger } from "#lib/log.ts";
import { Reader } from "../config/reader.ts";
import { parseRequestHead } from "../http1/request.ts";
import { compileAccessLogs, defaultFormat } from "./config.ts";
import { type AccessLogSpec, formatLine } from "./log.ts";
import { AccessLogs, bufferBytesMax } from "./sink.ts";
import { compileTemplate } from "./template.ts";
import type { FormatRecord } from "./types.ts";

const record: FormatRecord = {
  connection: { remoteAddress: "192.0.2.1", remotePort: 5, localAddress: "::1", localPort: 80 },
  head: parseRequestHead("GET /p?q=1 HTTP/1.1\r\nHost: Example.org\r\nUser-Agent: curl\r\n\r\n"),
  cluster: { name: "c" },
  endpoint: { address: "10.0.0.1", port: 8080 },
  status: 200,
  flag: "-",
  details: "via_upstream",
  requestBytes: 1,
  responseBytes: 2,
  durationMs: 12.7,
  startMs: Date.UTC(2026, 0, 2, 3, 4, 5, 6),
};

const fail = (why: string): Error => new Error(why);
const render = (text: string): string => compileTemplate(text, fail).render(record, "-");

test("compileTemplate() renders operators as Envoy does", () => {
  const rows: readonly (readonly [string, string])[] = [
    ["%REQ(:METHOD)% %REQ(:PATH)% %REQ(:AUTHORITY)%", "GET /p?q=1 Example.org"],
    ["%REQ(x?User-Agent)% %REQ(USER-AGENT):2% %REQ(x)%", "curl cu -"],
    ["%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %DURATION%", "200 - via_upstream 12"],
    ["%UPSTREAM_HOST% %UPSTREAM_CLUSTER%", "10.0.0.1:8080 c"],
    ["%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS%", "192.0.2.1:5 [::1]:80"],
    [
      "%START_TIME% %START_TIME(%Y/%m/%d %H:%M:%S.%3f %s)%",
      "2026-01-02T03:04:05.006Z 2026/01/02 03:04:05.006 1767323045",
    ],
    ["100%% %PROTOCOL% %BYTES_RECEIVED% %BYTES_SENT%", "100% HTTP/1.1 1 2"],
    ["%ROUTE_NAME%%TRAILER(x)%%CONNECTION_ID%", "---"],
  ];
  for (const [text, wanted] of rows) assert.equal(render(text), wanted, text);
  assert.match(render(defaultFormat), /^\[2026-.*Z\] "GET \/p\?q=1 HTTP\/1\.1" 200 - 1 2 12 - .*"10\.0\.0\.1:8080"\n$/);
});

test("compileTemplate() refuses what it does not know", () => {
  for (const text of ["%NOTHING%", "%REQ%", "50%", "%RESPONSE_CODE(x)%", "%START_TIME(%Q)%", "%DYNAMIC_METADATA(a)%"])
    assert.throws(() => compileTemplate(text, fail), Error, text);
});

const file = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog";

function specs(path: string, more: object = {}, filter?: object): readonly AccessLogSpec[] {
  const log = { name: "l", typed_config: { "@type": file, path, ...more }, ...(filter && { filter }) };
  return compileAccessLogs(new Reader({ access_log: [log] }, "Manager"), "access_log");
}

test("formatLine() writes JSON with types, nulls, and fields in order", () => {
  const json_format = {
    z: "%RESPONSE_CODE%",
    a: { b: "%REQ(x)%", c: "code %RESPONSE_CODE%" },
    list: ["%PROTOCOL%", 1],
  };
  const [spec] = specs("/l", { log_format: { json_format } });
  const line = '{"a":{"b":null,"c":"code 200"},"list":["HTTP/1.1",1],"z":200}\n';
  assert.equal(formatLine(spec!.format, record), line);
});

test("compileAccessLogs() reads filters, and refuses others by their path", () => {
  const taken = (filter: object, of: FormatRecord = record): boolean =>
    specs("/l", {}, filter)[0]!.filter!(of, () => 0.5);
  const status = (op: string, value: number): object => ({
    status_code_filter: { comparison: { op, value: { default_value: value, runtime_key: "k" } } },
  });
  assert.equal(taken(status("GE", 200)), true);
  assert.equal(taken(status("GE", 400)), false);
  assert.equal(taken(status("LE", 200)), true);
  assert.equal(taken({ and_filter: { filters: [status("GE", 200), status("LE", 199)] } }), false);
  assert.equal(taken({ or_filter: { filters: [status("GE", 200), status("LE", 199)] } }), true);
  assert.equal(taken({ response_flag_filter: { flags: ["UH"] } }), false);
  assert.equal(taken({ response_flag_filter: {} }, { ...record, flag: "UH" }), true);
  assert.equal(taken({ runtime_filter: { runtime_key: "k", percent_sampled: { numerator: 60 } } }), true);
  assert.equal(taken({ runtime_filter: { runtime_key: "k", percent_sampled: { numerator: 40 } } }), false);
  const header = { name: "user-agent", string_match: { prefix: "cu" } };
  assert.equal(taken({ header_filter: { header } }), true);
  assert.throws(() => specs("/l", {}, { grpc_status_filter: {} }), /Manager\.access_log\[0\]\.filter/);
  assert.throws(() => specs("/l", { format: "%NO%" }), /access_log\[0\]\.typed_config\.format.*NO/);
  const inFormat =
    (log_format: object): (() => unknown) =>
    () =>
      specs("/l", { log_format });
  assert.throws(inFormat({ text_format: "%NO%" }), /typed_config\.log_format\.text_format: operator NO/);
  const text_format_source = { inline_string: "%NO%" };
  assert.throws(inFormat({ text_format_source }), /log_format\.text_format_source\.inline_string: operator NO/);
  const json_format = { a: { b: ["x", "%NO%"] } };
  assert.throws(inFormat({ json_format }), /log_format\.json_format\["a"\]\["b"\]\[1\]: operator NO/);
});

test("AccessLogs writes once in a while, again after reopen(), and drops what a full buffer does not take", async () => {
  const dir = mkdtempSync(join(tmpdir(), "wherry-log-"));
  const path = join(dir, "access.log");
  const logs = new AccessLogs({ clock: new ManualClock(), log: silentLogger, random: () => 0 });
  try {
    const [spec] = specs(path, { format: "%RESPONSE_CODE% %START_TIME(%s)%\n" });
    const { startMs: _startMs, ...undated } = record;
    logs.write([spec!], undated, { startMs: 1000 });
    logs.reopen();
    // Its own start is the one.
    logs.write([spec!], { ...record, status: 404, startMs: 2000 }, { startMs: 3000 });
    const [big] = specs(path, { format: "x".repeat(bufferBytesMax + 1) });
    logs.write([big!], record, { startMs: 0 });
    assert.equal(logs.dropped, 1);
    await logs.close();
    renameSync(path, `${path}.1`);
    const lines = readFileSync(`${path}.1`, "utf8").trim().split("\n").sort();
    assert.deepEqual(lines, ["200 1", "404 2"]);
  } finally {
    await logs.close();
    rmSync(dir, { recursive: true });
  }
});
