/** Why no connection came about, in the words that Envoy 1.40 was seen to use. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { failureOf, refusal } from "./dial-failure.ts";
import { raw, refusedPort, routesTo, startAnswering, startRig, staticCluster } from "./fixture.ts";

const called = (code: string, message: string, more: object = {}): Error =>
  Object.assign(new Error(message), { code, syscall: "connect", ...more });
const ssl = "SSL_routines:OPENSSL_internal";

for (const [name, error, isSecuring, reason] of [
  [
    "a refused connection",
    called("ECONNREFUSED", "connect ECONNREFUSED 127.0.0.1:1"),
    false,
    "delayed_connect_error:_Connection_refused",
  ],
  [
    "a call that failed at once",
    called("ENETUNREACH", "connect ENETUNREACH fd00::1:9 - Local (undefined:undefined)", {
      address: "fd00::1",
      port: 9,
    }),
    false,
    "immediate_connect_error:_Network_is_unreachable|remote_address:[fd00::1]:9",
  ],
  [
    "a reset in the handshake",
    called("ECONNRESET", "read ECONNRESET", { syscall: "read", errno: -104 }),
    true,
    "TLS_error:|33554536:system_library:OPENSSL_internal:Connection_reset_by_peer:TLS_error_end",
  ],
  ["an end in the handshake", called("ECONNRESET", "disconnected", { syscall: undefined }), true, undefined],
  [
    "an alert",
    called("ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION", "0A:SSL routines::tlsv1 alert protocol version:SSL alert number 70"),
    true,
    `TLS_error:|268436526:${ssl}:TLSV1_ALERT_PROTOCOL_VERSION:TLS_error_end`,
  ],
  [
    "plaintext",
    called("ERR_SSL_WRONG_VERSION_NUMBER", "0A:SSL routines::wrong version number"),
    true,
    `TLS_error:|268435703:${ssl}:WRONG_VERSION_NUMBER:TLS_error_end`,
  ],
  ["a dialer's own error", new Error("Cannot reach 10.0.0.7"), false, "Cannot_reach_10.0.0.7"],
] as const)
  test(`failureOf() has Envoy's words for ${name}`, () => {
    assert.equal(failureOf(error, isSecuring).reason, reason);
  });

test("refusal() says that the certificate could not be verified, and why", () => {
  const { reason } = refusal("why", "cert hash and spki");
  const wanted = `TLS_error:|268435581:${ssl}:CERTIFICATE_VERIFY_FAILED:verify_cert_failed:_cert_hash_and_spki:TLS_error_end`;
  assert.equal(reason, wanted);
});

test("A record has the reason of its last try, and none where that one came about", async () => {
  const get = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
  await using upstream = await startAnswering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  const refused = await refusedPort();
  await using rig = await startRig({ routes: routesTo("up"), clusters: [staticCluster("up", [refused])] });
  await raw(rig.port, get);
  rig.setEndpoints("up", [refused, upstream.port]);
  for (let turn = 0; turn < 2; turn++) await raw(rig.port, get);
  const reasons = rig.records.map(({ upstreamFailure }) => upstreamFailure);
  assert.deepEqual(reasons, ["delayed_connect_error:_Connection_refused", undefined, undefined]);
});
