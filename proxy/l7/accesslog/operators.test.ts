/** The operators there are, the README's table of them, and what those of messages and metadata give. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parseRequestHead } from "../http1/request.ts";
import { parseResponseHead } from "../http1/response.ts";
import { operators } from "./operators.ts";
import { compileTemplate } from "./template.ts";
import type { FormatRecord } from "./types.ts";

const fail = (why: string): Error => new Error(why);
const metadata = { "com.test": { k: "v", n: 1, o: { z: [1, "x"], a: null } } };

const record: FormatRecord = {
  connection: { remoteAddress: "192.0.2.1", chainName: "chain", chainMetadata: metadata, id: 7 },
  head: parseRequestHead(
    "POST /new?a=1 HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\nX-Envoy-Original-Path: /p?q\r\n\r\n",
  ),
  response: parseResponseHead("HTTP/1.1 200 OK\r\nX-A: b\r\n\r\n"),
  responseTrailers: { keys: ["grpc-status"], values: ["5"] },
  cluster: { name: "c", spec: { metadata } },
  endpoint: { address: "10.0.0.1", port: 80, hostname: "shop.example.org", filterMetadata: metadata },
  route: { metadata, hostMetadata: undefined },
  status: 200,
  flag: "-",
  requestBytes: 0,
  responseBytes: 0,
  durationMs: 2500,
  startMs: Date.UTC(2026, 0, 2, 3, 4, 5, 6),
};

const render = (text: string, of: FormatRecord = record): string => compileTemplate(text, fail).render(of, "-");

test("README names every operator, and none that is not there", () => {
  const text = readFileSync(join(import.meta.dirname, "README.md"), "utf8");
  const rows = text.split("\n").filter((line) => line.startsWith("| `"));
  const named = rows.flatMap((row) => [...row.split("|")[1]!.matchAll(/`([A-Z0-9_]+)(?:\([^`]*\))?`/g)]);
  assert.deepEqual(named.map((match) => match[1]!).sort(), [...operators.keys()].sort());
});

test("Operators of messages, metadata and times give what Envoy gives", () => {
  for (const [text, wanted] of [
    ["%PATH% %PATH(NQ)% %PATH(WQ:PATH)% %PATH(NQ:PATH)% %PATH(NQ:ORIG)%", "/p?q /p /new?a=1 /new /p"],
    ["%QUERY_PARAMS% %QUERY_PARAM(a)% %QUERY_PARAM(b)%", "a=1 1 -"],
    ["%GRPC_STATUS% %GRPC_STATUS(CAMEL_STRING)% %GRPC_STATUS(SNAKE_STRING)%", "NotFound NotFound NOT_FOUND"],
    ["%GRPC_STATUS(NUMBER)% %GRPC_STATUS_NUMBER%", "5 5"],
    ["%RESPONSE_TRAILER(Grpc-Status)% %RESPONSE_HEADERS_BYTES% %RESPONSE_TRAILERS_BYTES%", "5 14 12"],
    ["%FILTER_CHAIN_NAME% %CONNECTION_ID% [%LOCAL_REPLY_BODY%]", "chain 7 []"],
    ["%UPSTREAM_HOST% %UPSTREAM_HOST_NAME% %UPSTREAM_REMOTE_ADDRESS%", "10.0.0.1:80 shop.example.org -"],
    ["%METADATA(ROUTE:com.test:k)% %CLUSTER_METADATA(com.test:n)% %UPSTREAM_METADATA(com.test:o:z)%", 'v 1 [1,"x"]'],
    ["%METADATA(LISTENER_FILTER_CHAIN:com.test:o)%", '{"a":null,"z":[1,"x"]}'],
    ["%METADATA(VIRTUAL_HOST:com.test:k)% %METADATA(ROUTE:constructor)% %METADATA(CLUSTER:com.test:k:k)%", "- - -"],
    ["%EMIT_TIME% %EMIT_TIME(%S)%", "2026-01-02T03:04:07.506Z 07"],
  ] as const)
    assert.equal(render(text), wanted, text);
});

test("GRPC_STATUS is of gRPC alone, and by the HTTP status where the upstream says none", () => {
  const { responseTrailers: _none, response: _response, ...local } = record;
  assert.equal(render("%GRPC_STATUS%", { ...local, status: 503 }), "Unavailable");
  assert.equal(render("%GRPC_STATUS(SNAKE_STRING)%", { ...local, status: 200 }), "UNKNOWN");
  assert.equal(
    render("%GRPC_STATUS%", { ...record, head: parseRequestHead("GET / HTTP/1.1\r\nHost: a\r\n\r\n") }),
    "-",
  );
  assert.equal(
    render("%GRPC_STATUS%", { ...record, responseTrailers: { keys: ["grpc-status"], values: ["99"] } }),
    "99",
  );
});

test("START_TIME_LOCAL is in the zone of the machine", () => {
  const offset = 0 - new Date(record.startMs!).getTimezoneOffset();
  const local = new Date(record.startMs! + offset * 60_000).toISOString().slice(0, -1);
  const zone = /[+-]\d{4}$/.exec(render("%START_TIME_LOCAL%"))![0];
  assert.equal(render("%START_TIME_LOCAL%"), `${local}${zone}`);
  assert.equal(Number(zone.slice(0, 3)) * 60 + Number(`${zone[0]}${zone.slice(3)}`), offset);
  assert.equal(render("%START_TIME_LOCAL(%s)%"), render("%START_TIME(%s)%"));
});

test("Operators with an argument that is none of theirs are refused", () => {
  for (const text of [
    "%GRPC_STATUS(camel)%",
    "%METADATA(DYNAMIC:a:b)%",
    "%METADATA(ROUTE)%",
    "%CLUSTER_METADATA%",
    "%PATH(X)%",
    "%PATH(WQ:ALL)%",
    "%START_TIME_LOCAL(%Z)%",
    "%VIRTUAL_CLUSTER_NAME%",
    "%ROUTE_NAME(a)%",
  ])
    assert.throws(() => compileTemplate(text, fail), /^Error: operator [A-Z_]+/, text);
});
