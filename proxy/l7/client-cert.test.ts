/** x-forwarded-client-cert of a downstream: it goes on nowhere, whatever protocol it came by (Envoy's SANITIZE). */
import assert from "node:assert/strict";
import { once } from "node:events";
import http2 from "node:http2";
import { test } from "node:test";
import { httpDefault } from "./config/http.ts";
import { plainChain } from "./config/listener.ts";
import { raw, routesTo, startAnswering, startRig, staticCluster } from "./fixture.ts";
import { startFilterRig } from "./filters/fixture.ts";
import { requestPolicyDefault } from "./route/policy.ts";

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const forged = "X-Forwarded-Client-Cert: By=a\r\nX-A: 1\r\nx-forwarded-client-cert: By=b\r\n";
const request = `GET / HTTP/1.1\r\nHost: a\r\n${forged}Connection: close\r\n\r\n`;

test("x-forwarded-client-cert of an HTTP/1 downstream is removed, all of its lines", async () => {
  await using upstream = await startAnswering(ok);
  await using rig = await startRig({ routes: routesTo("up"), clusters: [staticCluster("up", [upstream.port])] });
  assert.match(await raw(rig.port, request), /ok$/);
  assert.match(upstream.received[0]!, /\r\nX-A: 1\r\n/);
  assert.doesNotMatch(upstream.received[0]!, /client-cert/i);
});

test("x-forwarded-client-cert passes where the listener believes it", async () => {
  await using upstream = await startAnswering(ok);
  const policy = { ...requestPolicyDefault, forwardsClientCert: true };
  const chain = plainChain("http", { ...httpDefault, routeName: "routes", inline: undefined, policy });
  const clusters = [staticCluster("up", [upstream.port])];
  await using rig = await startRig({ listener: { defaultChain: chain }, routes: routesTo("up"), clusters });
  assert.match(await raw(rig.port, request), /ok$/);
  assert.match(upstream.received[0]!, /Client-Cert: By=a\r\n[^]*client-cert: By=b\r\n/);
});

test("x-forwarded-client-cert of an HTTP/2 downstream is removed", async () => {
  await using upstream = await startAnswering(ok);
  await using rig = await startRig({ routes: routesTo("up"), clusters: [staticCluster("up", [upstream.port])] });
  const session = http2.connect(`http://127.0.0.1:${rig.port}`);
  const stream = session.request({ ":path": "/", "x-a": "1", "x-forwarded-client-cert": "By=a" });
  const [headers] = (await once(stream, "response")) as [http2.IncomingHttpHeaders & { ":status": number }];
  stream.resume();
  await once(stream, "close");
  session.close();
  assert.equal(headers[":status"], 200);
  assert.match(upstream.received[0]!, /\r\nx-a: 1\r\n/);
  assert.doesNotMatch(upstream.received[0]!, /client-cert/i);
});

test("x-forwarded-client-cert of a downstream is seen by no filter", async () => {
  await using upstream = await startAnswering(ok);
  const header = { key: "x-copy", value: "%REQ(X-FORWARDED-CLIENT-CERT)%" };
  const config = {
    "@type": "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
    mutations: { request_mutations: [{ append: { header } }] },
  };
  const settings = { "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig" };
  await using rig = await startFilterRig([upstream.port], { config, own: settings });
  assert.match(await raw(rig.port, request), /ok$/);
  assert.doesNotMatch(upstream.received[0]!, /By=/);
});
