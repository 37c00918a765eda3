/** Active health checks through the whole engine: what they connect by, and what they make of an answer. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type RequestListener, createServer } from "node:http";
import { createServer as createHTTPSServer } from "node:https";
import type { AddressInfo } from "node:net";
import { after, before, describe, it } from "node:test";
import { eventually, routesTo, startRig, staticCluster } from "../fixture.ts";
import { createAuthority } from "../tls/fixture.ts";

const servers: (ReturnType<typeof createServer> | ReturnType<typeof createHTTPSServer>)[] = [];
after(() => servers.forEach((server) => (server.closeAllConnections(), server.close())));

let certificate: { cert: string; key: string };
let trusted = "";
before(async () => {
  const authority = await createAuthority();
  trusted = authority.cert;
  certificate = await authority.issue("up.test");
});

/** Answers "/health" by `status`, all else by 200. */
async function serve(isTLS: boolean, status: number): Promise<number> {
  const listener: RequestListener = ({ url }, response) =>
    void response.writeHead(url === "/health" ? status : 200).end("x");
  const server = isTLS ? createHTTPSServer(certificate, listener) : createServer(listener);
  servers.push(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

const each = { timeout: "5s", interval: "60s", unhealthy_threshold: 1, healthy_threshold: 1 };
const checks = {
  HTTP: { ...each, http_health_check: { path: "/health" } },
  TCP: { ...each, tcp_health_check: {} },
} as const;

const tlsSocket = (name: string): object => ({
  name: "tls",
  typed_config: {
    "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
    sni: name,
    common_tls_context: {
      validation_context: {
        trusted_ca: { inline_string: trusted },
        match_typed_subject_alt_names: [{ san_type: "DNS", matcher: { exact: name } }],
      },
    },
  },
});

/** The ports that serve once all have been checked. */
async function servingOf(ports: readonly number[], cluster: object): Promise<readonly number[]> {
  const c = { ...staticCluster("c", ports), ...cluster };
  await using rig = await startRig({ routes: routesTo("c"), clusters: [c] });
  const { counts } = rig.cluster("c").checks!;
  await eventually(() => counts.successes + counts.failures === ports.length, "all are checked");
  return rig.cluster("c").serving.map(({ port }) => port);
}

describe("HealthChecker", () => {
  it("asks by HTTP", async () => {
    const [good, bad] = [await serve(false, 200), await serve(false, 503)];
    assert.deepEqual(await servingOf([bad, good], { health_checks: [checks.HTTP] }), [good]);
  });

  it("asks by HTTP through the cluster's TLS", async () => {
    const [good, bad] = [await serve(true, 200), await serve(true, 503)];
    const cluster = { transport_socket: tlsSocket("up.test"), health_checks: [checks.HTTP] };
    assert.deepEqual(await servingOf([bad, good], cluster), [good]);
  });

  it("connects through the cluster's TLS", async () => {
    const [good, plain] = [await serve(true, 503), await serve(false, 200)];
    const cluster = { transport_socket: tlsSocket("up.test"), health_checks: [checks.TCP] };
    assert.deepEqual(await servingOf([plain, good], cluster), [good]);
  });

  it("takes a peer that is not who it must be for unhealthy", async () => {
    const port = await serve(true, 200);
    for (const check of Object.values(checks)) {
      const cluster = { transport_socket: tlsSocket("other.test"), health_checks: [check] };
      assert.deepEqual(await servingOf([port], cluster), []);
    }
  });
});
