/** The scheme that an HTTP/2 upstream is told: how the request came, by x-forwarded-proto, as in Envoy. */
import assert from "node:assert/strict";
import { once } from "node:events";
import http2 from "node:http2";
import https from "node:https";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import type { Cluster as ClusterResource } from "#api/xds/envoy.ts";
import { compileListener } from "../config/listener.ts";
import { type Rig, raw, routesTo, startRig, staticCluster } from "../fixture.ts";
import { createAuthority } from "../tls/fixture.ts";

const types = "type.googleapis.com/envoy.extensions";

interface SchemeUpstream extends AsyncDisposable {
  readonly schemes: unknown[];
  readonly cluster: ClusterResource;
}

async function startSchemes(): Promise<SchemeUpstream> {
  const schemes: unknown[] = [];
  const server = http2.createServer();
  const sessions = new Set<http2.ServerHttp2Session>();
  server.on("session", (session) => sessions.add(session));
  server.on("stream", (stream: http2.ServerHttp2Stream, headers) => {
    schemes.push(headers[":scheme"]);
    stream.respond({ ":status": 204 }, { endStream: true });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const options = {
    "@type": `${types}.upstreams.http.v3.HttpProtocolOptions`,
    explicit_http_config: { http2_protocol_options: {} },
  };
  return {
    schemes,
    cluster: {
      ...staticCluster("up", [(server.address() as AddressInfo).port]),
      typed_extension_protocol_options: { "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options },
    },
    async [Symbol.asyncDispose]() {
      for (const session of sessions) session.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

async function rigOf(cluster: ClusterResource, transport_socket?: object): Promise<Rig> {
  const typed_config = {
    "@type": `${types}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: "x",
    rds: { route_config_name: "routes", config_source: { ads: {} } },
    http_filters: [{ name: "router", typed_config: { "@type": `${types}.filters.http.router.v3.Router` } }],
  };
  const chain = { filters: [{ name: "http", typed_config }], ...(transport_socket && { transport_socket }) };
  const address = { socket_address: { address: "127.0.0.1", port_value: 1 } };
  const listener = compileListener({ name: "test", address, filter_chains: [chain] });
  return startRig({ listener, routes: routesTo("up"), clusters: [cluster] });
}

test("an HTTP/2 upstream is told https of a request that came by TLS", async () => {
  const { cert, key } = await (await createAuthority()).issue("a.example.org");
  await using upstream = await startSchemes();
  const tls_certificates = [{ certificate_chain: { inline_string: cert }, private_key: { inline_string: key } }];
  const typed_config = {
    "@type": `${types}.transport_sockets.tls.v3.DownstreamTlsContext`,
    common_tls_context: { tls_certificates },
  };
  await using rig = await rigOf(upstream.cluster, { name: "tls", typed_config });
  const options = { host: "127.0.0.1", port: rig.port, agent: false, rejectUnauthorized: false } as const;
  const [response] = (await once(https.get(options), "response")) as [{ statusCode: number; resume(): void }];
  response.resume();
  assert.equal(response.statusCode, 204);
  assert.deepEqual(upstream.schemes, ["https"]);
});

test("an HTTP/2 upstream is told what x-forwarded-proto says, where that is a scheme of HTTP", async () => {
  await using upstream = await startSchemes();
  await using rig = await rigOf(upstream.cluster);
  for (const more of ["", "X-Forwarded-Proto: https\r\n", "X-Forwarded-Proto: HTTPS\r\n", "X-Forwarded-Proto: ws\r\n"])
    await raw(rig.port, `GET / HTTP/1.1\r\nHost: a\r\n${more}Connection: close\r\n\r\n`);
  assert.deepEqual(upstream.schemes, ["http", "https", "https", "http"]);
});
