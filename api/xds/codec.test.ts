/** The codec: a table of JSON forms, refusals with their paths, round trips of arbitrary clusters, and protobufjs as an oracle. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { plainPolicies, serviceTypeUrl } from "../wire/service.ts";
import { checkMessage, decodeResource, encodeResource } from "./codec.ts";
import { decodeMessage } from "./decode.ts";
import { encodeMessage } from "./encode.ts";
import { typeUrls } from "./envoy.ts";
import { CodecError } from "./errors.ts";

const forms: readonly [what: string, type: string, value: Readonly<Record<string, unknown>>][] = [
  ["a duration", "envoy.config.cluster.v3.Cluster", { name: "a", connect_timeout: "0.250s" }],
  ["a negative duration", "envoy.config.cluster.v3.Cluster", { connect_timeout: "-1.500s" }],
  ["a wrapper of zero", "envoy.config.route.v3.WeightedCluster.ClusterWeight", { name: "a", weight: 0 }],
  ["a wrapper of false", "envoy.config.listener.v3.Listener", { bind_to_port: false }],
  ["a member of a oneof that is zero", "envoy.config.route.v3.RouteMatch", { prefix: "" }],
  ["an enum", "envoy.config.cluster.v3.Cluster", { type: "EDS", lb_policy: "CLUSTER_PROVIDED" }],
  ["an enum's number without a name", "envoy.config.endpoint.v3.LbEndpoint", { health_status: 99 }],
  ["a negative int32", "google.rpc.Status", { code: -5, message: "naïve ✓" }],
  ["an empty message", "envoy.config.core.v3.ConfigSource", { ads: {}, resource_api_version: "V3" }],
  [
    "a struct",
    "envoy.config.core.v3.Metadata",
    { filter_metadata: { istio: { services: [{ host: "a.b", n: 1.5, deep: [null, true, {}, []] }], empty: {} } } },
  ],
  [
    "an Any in a list",
    "envoy.config.listener.v3.FilterChain",
    { filters: [{ name: "tcp", typed_config: { "@type": typeUrls.tcpProxy, stat_prefix: "x", cluster: "c" } }] },
  ],
  [
    "an Any of a well-known type",
    "google.rpc.Status",
    { details: [{ "@type": "type.googleapis.com/google.protobuf.Duration", value: "3s" }] },
  ],
  ["an Any without content", "envoy.config.route.v3.FilterConfig", { config: {} }],
  ["a packed list", "envoy.config.route.v3.RetryPolicy", { retriable_status_codes: [500, 503, 4294967295] }],
  ["a map", "envoy.service.discovery.v3.DeltaDiscoveryRequest", { initial_resource_versions: { a: "1", b: "2" } }],
];

for (const [what, type, value] of forms)
  test(`decodeMessage() inverts encodeMessage() for ${what}`, () => {
    assert.deepEqual(decodeMessage(type, encodeMessage(type, value)), value);
  });

const refusals: readonly [value: Readonly<Record<string, unknown>>, message: RegExp][] = [
  [{ nam: "a" }, /^nam: unknown field of envoy\.config\.listener\.v3\.Listener$/],
  [{ name: 5 }, /^name: observed 5, wanted a text$/],
  [
    { address: { socket_address: { port_value: -1 } } },
    /^address\.socket_address\.port_value: observed -1, wanted an integer from 0/,
  ],
  [{ traffic_direction: "SIDEWAYS" }, /^traffic_direction: observed "SIDEWAYS", wanted one of UNSPECIFIED, INBOUND/],
  [{ listener_filters_timeout: "5 s" }, /^listener_filters_timeout: observed "5 s", wanted a text as "0\.25s"$/],
  [{ filter_chains: {} }, /^filter_chains: observed an object, wanted a list$/],
  [
    { filter_chains: [{ filters: [{ typed_config: { "@type": typeUrls.tcpProxy, foo: 1 } }] }] },
    /^filter_chains\[0\]\.filters\[0\]\.typed_config\.foo: unknown field/,
  ],
  [
    { filter_chains: [{ filters: [{ typed_config: { "@type": "type.googleapis.com/x.Y" } }] }] },
    /^filter_chains\[0\]\.filters\[0\]\.typed_config: unknown type x\.Y$/,
  ],
  [
    { filter_chains: [{ filters: [{ typed_config: { cluster: "c" } }] }] },
    /typed_config\.@type: observed undefined, wanted/,
  ],
  [
    { address: { socket_address: {}, pipe: {} } },
    /^address\.pipe: observed socket_address as well, wanted one of them$/,
  ],
];

test("encodeMessage() tells a time that it refuses from a duration", () => {
  const wanted = { message: '(top): observed "5s", wanted a text as "2026-01-01T00:00:00Z"' };
  assert.throws(() => encodeMessage("google.protobuf.Timestamp", "5s"), wanted);
});

test("encodeResource() names the path of what it refuses", () => {
  for (const [value, message] of refusals)
    assert.throws(
      () => encodeResource(typeUrls.listener, value),
      (error) => error instanceof CodecError && message.test(error.message),
    );
});

test("encodeResource() gives the same bytes whatever the order of keys", () => {
  const metadata = (keys: readonly string[]) => ({
    filter_metadata: Object.fromEntries(keys.map((key) => [key, { [key]: 1 }])),
  });
  const first = encodeResource(typeUrls.cluster, { name: "a", metadata: metadata(["x", "y"]), type: "EDS" });
  const second = encodeResource(typeUrls.cluster, { type: "EDS", metadata: metadata(["y", "x"]), name: "a" });
  assert.deepEqual(first, second);
});

test("decodeResource() gives every field of wherry.v1 and the lists that envoy.ts promises", () => {
  assert.deepEqual(decodeResource(typeUrls.endpoint, new Uint8Array()), { endpoints: [] });
  const service = decodeResource(serviceTypeUrl, encodeResource(serviceTypeUrl, { name: "a" }));
  assert.deepEqual(service, {
    namespace: "",
    name: "a",
    clusterIPs: [],
    headless: false,
    externalName: "",
    ports: [],
    endpoints: [],
    publishNotReadyAddresses: false,
    ...plainPolicies,
    // Absent text is empty: the snapshot always says which.
    type: "",
    internalTrafficPolicy: "",
    externalTrafficPolicy: "",
  });
});

test("checkMessage() gives camelCase configuration in snake_case", () => {
  assert.deepEqual(checkMessage("envoy.config.cluster.v3.Cluster", { connectTimeout: "1s", lbPolicy: "ROUND_ROBIN" }), {
    connect_timeout: "1s",
  });
});

test("decodeResource() refuses an unknown field number and truncated bytes", () => {
  assert.throws(
    () => decodeResource(typeUrls.route, Buffer.from([0xfa, 0x3f, 0x00])),
    /^CodecError: 1023: unknown field number/,
  );
  assert.throws(() => decodeResource(typeUrls.route, Buffer.from([0x0a, 0x05, 0x61])), /1 bytes left, wanted 5/);
});

test("decodeResource() throws nothing but CodecError on arbitrary bytes", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
      try {
        decodeResource(typeUrls.listener, bytes);
      } catch (error) {
        assert.ok(error instanceof CodecError, String(error));
      }
    }),
    { numRuns: 2000 },
  );
});

test("decodeResource() inverts encodeResource() for any endpoints", () => {
  const endpoint = fc.record({
    endpoint: fc.record({
      address: fc.record({
        socket_address: fc.record({ address: fc.string({ minLength: 1 }), port_value: fc.nat(65535) }),
      }),
    }),
    load_balancing_weight: fc.nat(),
    metadata: fc.record({
      filter_metadata: fc.dictionary(fc.string(), fc.dictionary(fc.string(), fc.jsonValue()), { minKeys: 1 }),
    }),
  });
  const assignment = fc.record({
    cluster_name: fc.string({ minLength: 1 }),
    endpoints: fc.array(fc.record({ locality: fc.constant({}), lb_endpoints: fc.array(endpoint, { maxLength: 3 }) }), {
      maxLength: 3,
    }),
  });
  // fast-check makes objects without a prototype and negative zeros; both are the same to JSON.
  const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));
  fc.assert(
    fc.property(assignment, (value) => {
      const wanted = plain(value) as object;
      const seen = decodeResource(typeUrls.endpoint, encodeResource(typeUrls.endpoint, wanted));
      assert.equal(canonical(seen), canonical(wanted));
    }),
    { numRuns: 300 },
  );
});

/** JSON text with sorted keys; key order is no part of the value. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) =>
    typeof item === "object" && item !== null && !Array.isArray(item)
      ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1)))
      : item,
  );
}

test("a refusal shows no value of a field that may hold a key or a password", () => {
  const tls = (fields: object): object => ({
    "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
    common_tls_context: { tls_certificates: [fields] },
  });
  for (const fields of [
    { private_key: { inline_bytes: "-----BEGIN hunter2" } },
    { private_key: "hunter2" },
    { privateKey: { inlineString: ["hunter2"] } },
    { password: { inline_bytes: "hunter2!!" } },
    { password: "hunter2" },
  ])
    assert.throws(
      () => checkMessage("envoy.config.core.v3.TransportSocket", { name: "tls", typed_config: tls(fields) }),
      (error: Error) =>
        /(private_?key|password).*: observed \w+( \w+)*, wanted /i.test(error.message) &&
        !error.message.includes("hunter2"),
    );
});
