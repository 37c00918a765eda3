/** Responses without a body over HTTP/2: to HEAD, 204 and 304, from upstreams of either protocol and from the proxy. */
import assert from "node:assert/strict";
import { once } from "node:events";
import http2 from "node:http2";
import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import type { Cluster as ClusterResource, RouteConfiguration } from "#api/xds/envoy.ts";
import { routesTo, startAnswering, startRig, staticCluster } from "../fixture.ts";

interface Answer {
  readonly status: number;
  readonly length: string | undefined;
  readonly body: string;
}

/** Rejects when the stream is reset, or after 5 s without an end. */
async function ask(port: number, method: string): Promise<Answer> {
  const session = http2.connect(`http://127.0.0.1:${port}`);
  try {
    const stream = session.request({ ":method": method, ":path": "/" }, { signal: AbortSignal.timeout(5000) });
    let body = "";
    stream.setEncoding("utf8").on("data", (text: string) => (body += text));
    const [headers] = (await once(stream, "response")) as [IncomingHttpHeaders];
    if (!stream.readableEnded) await once(stream, "end");
    return { status: Number(headers[":status"]), length: headers["content-length"], body };
  } finally {
    session.destroy();
  }
}

const found = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";

for (const [what, method, upstreamSays, wanted] of [
  ["HEAD, with a length", "HEAD", found, { status: 200, length: "5", body: "" }],
  ["HEAD, with chunks", "HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", { status: 200, body: "" }],
  [
    "HEAD, behind an interim response",
    "HEAD",
    `HTTP/1.1 103 Early\r\n\r\n${found}`,
    { status: 200, length: "5", body: "" },
  ],
  ["HEAD, not found", "HEAD", "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", { status: 404, length: "0", body: "" }],
  ["204", "GET", "HTTP/1.1 204 No\r\n\r\n", { status: 204, body: "" }],
  ["304 with a length", "GET", "HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\n", { status: 304, length: "5", body: "" }],
] as const)
  test(`an upstream of HTTP/1 answers ${what}`, async () => {
    await using upstream = await startAnswering(upstreamSays);
    await using rig = await startRig({ routes: routesTo("up"), clusters: [staticCluster("up", [upstream.port])] });
    assert.deepEqual(await ask(rig.port, method), { length: undefined, ...wanted });
  });

test("an upstream of HTTP/2 answers HEAD", async () => {
  const server = http2.createServer();
  server.on("stream", (stream: ServerHttp2Stream) =>
    stream.respond({ ":status": 200, "content-length": "5" }, { endStream: true }),
  );
  const sessions: http2.ServerHttp2Session[] = [];
  server.on("session", (session) => sessions.push(session));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const name = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
  const cluster: ClusterResource = {
    ...staticCluster("up", [(server.address() as AddressInfo).port]),
    typed_extension_protocol_options: {
      [name]: { "@type": `type.googleapis.com/${name}`, explicit_http_config: { http2_protocol_options: {} } },
    },
  };
  try {
    await using rig = await startRig({ routes: routesTo("up"), clusters: [cluster] });
    assert.deepEqual(await ask(rig.port, "HEAD"), { status: 200, length: "5", body: "" });
  } finally {
    for (const session of sessions) session.destroy();
    server.close();
  }
});

test("the proxy answers HEAD itself", async () => {
  const routes: RouteConfiguration = { name: "routes", virtual_hosts: [] };
  await using rig = await startRig({ routes });
  const { status, body } = await ask(rig.port, "HEAD");
  assert.deepEqual({ status, body }, { status: 404, body: "" });
});
