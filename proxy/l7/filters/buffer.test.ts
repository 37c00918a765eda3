/** The buffer filter through the whole engine: what waits, what is too much, and what its bound costs. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { RawClient, type Rig, eventually, raw, startAnswering } from "../fixture.ts";
import { filterType, startFilterRig } from "./fixture.ts";

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const config = { "@type": filterType("buffer.v3.Buffer"), max_request_bytes: 200_000 };
const own = { "@type": filterType("buffer.v3.BufferPerRoute"), buffer: { max_request_bytes: 10 } };
const delayed = {
  "@type": filterType("fault.v3.HTTPFault"),
  delay: { fixed_delay: "0.05s", percentage: { numerator: 100, denominator: "HUNDRED" } },
};

const rigWith = (port: number, before: readonly object[] = []): Promise<Rig> =>
  startFilterRig([port], { config, own, before });
const head = (path: string, more: string): string => `POST ${path} HTTP/1.1\r\nHost: a\r\n${more}\r\n\r\n`;
const chunk = (bytes: number): string => `${bytes.toString(16)}\r\n${"x".repeat(bytes)}\r\n`;

test("the buffer filter asks no upstream before the body is whole, then says its length", async () => {
  await using upstream = await startAnswering(ok);
  await using rig = await rigWith(upstream.port);
  const client = new RawClient(rig.port);
  client.send(head("/", "Transfer-Encoding: chunked") + chunk(150_000));
  const other = new RawClient(rig.port);
  // Its chain does not hold it: it is there while the first one still waits.
  other.send(head("/off", "Transfer-Encoding: chunked") + chunk(5));
  await eventually(() => upstream.received.some((text) => text.endsWith("xxxxx\r\n")), "body that is not held");
  assert.equal(upstream.received.length, 1);
  client.send(`${chunk(50_000)}0\r\n\r\n`);
  await client.until("\r\n\r\nok");
  assert.match(upstream.received[1]!, /\r\nContent-Length: 200000\r\n/);
  assert.doesNotMatch(upstream.received[1]!, /transfer-encoding/i);
  client.close();
  other.close();
});

test("the buffer filter answers 413 with the first byte too many, and reads no further", async () => {
  await using upstream = await startAnswering(ok);
  await using rig = await rigWith(upstream.port);
  const client = new RawClient(rig.port);
  client.send(head("/own", "Transfer-Encoding: chunked") + chunk(10));
  const whole = raw(rig.port, `${head("/own", "Connection: close\r\nContent-Length: 10")}0123456789`);
  assert.match(await whole, /^HTTP\/1\.1 200 /);
  assert.equal(client.text, "");
  client.send("1\r\nx");
  assert.match(await client.over(), /^HTTP\/1\.1 413 .*Connection: close\r\n.*Payload Too Large$/s);
  assert.equal(upstream.received.length, 1);
  const { status, flag, details } = rig.records.at(-1)!;
  assert.deepEqual([status, flag, details], [413, "-", "request_payload_too_large"]);
  client.close();
});

test("a body larger than what a stop may hold is gathered behind a filter that stopped it before", async () => {
  await using upstream = await startAnswering(ok);
  await using rig = await rigWith(upstream.port, [delayed]);
  const body = "y".repeat(190_000);
  const answer = await raw(rig.port, head("/", `Connection: close\r\nContent-Length: ${body.length}`) + body);
  assert.match(answer, /^HTTP\/1\.1 200 .*ok$/s);
  assert.ok(upstream.received[0]!.endsWith(body));
});

test("the smallest bound of several filters holds", async () => {
  await using upstream = await startAnswering(ok);
  await using rig = await rigWith(upstream.port, [{ ...config, max_request_bytes: 300_000 }]);
  const ask = (bytes: number): Promise<string> =>
    raw(rig.port, head("/", `Connection: close\r\nContent-Length: ${bytes}`) + "z".repeat(bytes));
  assert.match(await ask(200_000), /^HTTP\/1\.1 200 /);
  assert.match(await ask(200_001), /^HTTP\/1\.1 413 /);
});

test("a downstream that asks before it sends the body is told to go on", async () => {
  await using upstream = await startAnswering(ok);
  await using rig = await rigWith(upstream.port);
  const client = new RawClient(rig.port);
  client.send(head("/", "Expect: 100-continue\r\nContent-Length: 3"));
  await client.until("HTTP/1.1 100 Continue\r\n\r\n");
  assert.equal(upstream.received.length, 0);
  client.send("abc");
  await client.until("\r\n\r\nok");
  assert.doesNotMatch(upstream.received[0]!, /expect/i);
  client.close();
});
