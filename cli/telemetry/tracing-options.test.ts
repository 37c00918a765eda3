/** Flags of tracing: what they mean, what is refused. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { CliError } from "../errors.ts";
import { addresses } from "../ipc.ts";
import { allowTracing, parseTracing } from "./tracing-options.ts";

const policy = { outbound: "allow-any", hostPorts: [80] } as const;

test("parseTracing() traces nothing without an endpoint", () => {
  assert.equal(parseTracing({}), undefined);
  assert.equal(allowTracing(policy, undefined), policy);
});

test("parseTracing() takes defaults, and allows a port of this host", () => {
  const tracing = parseTracing({ otlpEndpoint: "http://localhost:4318/" });
  assert.deepEqual(tracing, {
    endpoint: `http://${addresses.host}:4318`,
    samplingPercent: 1,
    propagation: "w3c",
  });
  assert.deepEqual(allowTracing(policy, tracing).hostPorts, [80, 4318]);
});

test("parseTracing() leaves other hosts as they are", () => {
  const options = {
    otlpEndpoint: "https://otel.example/base",
    traceSampling: "12.5",
    tracePropagation: "both",
  } as const;
  const tracing = parseTracing(options);
  assert.deepEqual(tracing, { endpoint: "https://otel.example/base", samplingPercent: 12.5, propagation: "both" });
  assert.deepEqual(allowTracing(policy, tracing).hostPorts, [80]);
});

test("parseTracing() takes addresses of loopback for this host, and no name that looks like one", () => {
  const rows = [
    ["http://127.0.0.1:4318", addresses.host],
    ["http://127.8.9.10:4318", addresses.host],
    ["http://[::1]:4318", addresses.host],
    ["http://127.example.com:4318", "127.example.com"],
    ["http://128.0.0.1:4318", "128.0.0.1"],
  ] as const;
  for (const [otlpEndpoint, host] of rows)
    assert.equal(parseTracing({ otlpEndpoint })?.endpoint, `http://${host}:4318`, otlpEndpoint);
});

test("parseTracing() refuses what it cannot use, with what was wanted", () => {
  const rows = [
    [{ traceSampling: "5" }, /no --otlp-endpoint/],
    [{ otlpEndpoint: "grpc://x:4317" }, /wanted http:\/\/HOST:PORT/],
    [{ otlpEndpoint: "http://x", traceSampling: "101" }, /from 0 to 100/],
    [{ otlpEndpoint: "http://x", traceSampling: "few" }, /from 0 to 100/],
  ] as const;
  for (const [options, message] of rows)
    assert.throws(
      () => parseTracing(options),
      (error) => error instanceof CliError && message.test(error.message),
    );
});
