/** A cluster of original destinations has no endpoint for a connection that nobody redirected: it never calls itself. */
import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { test } from "node:test";
import { raw, startAnswering } from "#proxy/l7/fixture.ts";
import type { SocketAddress } from "#proxy/l7/types.ts";
import { type Standalone, type StandaloneOptions, startStandalone } from "./fixture.ts";

const types = "type.googleapis.com/envoy.extensions.filters";
const get = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const clusters = [{ name: "up", type: "ORIGINAL_DST", lb_policy: "CLUSTER_PROVIDED", connect_timeout: "1s" }];
const redirected = {
  listener_filters: [{ name: "dst", typed_config: { "@type": `${types}.listener.original_dst.v3.OriginalDst` } }],
};
const tcp = { "@type": `${types}.network.tcp_proxy.v3.TcpProxy`, stat_prefix: "t", cluster: "up" };
/** What the kernel says of a connection that came as it was meant. */
const own = ({ localAddress = "", localPort = 0 }: Socket): SocketAddress => ({
  address: localAddress,
  port: localPort,
});

async function start(originalDst: (socket: Socket) => SocketAddress, options: StandaloneOptions): Promise<Standalone> {
  return startStandalone({ clusters, ...options, deps: { originalDst } });
}

test("A request that was not redirected is answered 503, and a redirected one goes where it was going", async () => {
  await using upstream = await startAnswering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  await using direct = await start(own, { listener: redirected });
  assert.match(await raw(direct.port, get), /^HTTP\/1\.1 503 [^]*UH /);
  const { text } = await direct.page("/stats?filter=cluster.up.upstream_cx_(total|none_healthy)");
  assert.equal(text, "cluster.up.upstream_cx_none_healthy: 1\ncluster.up.upstream_cx_total: 0\n");
  // Without the listener filter nobody asks where it was going.
  await using unasked = await start(() => ({ address: "127.0.0.1", port: upstream.port }), {});
  assert.match(await raw(unasked.port, get), /^HTTP\/1\.1 503 [^]*UH /);
  const options = { listener: redirected };
  await using moved = await start(() => ({ address: "127.0.0.1", port: upstream.port }), options);
  assert.match(await raw(moved.port, get), /^HTTP\/1\.1 200 /);
});

test("A TCP connection that was not redirected is closed", async () => {
  await using standalone = await start(own, { listener: redirected, filter: tcp });
  assert.equal(await raw(standalone.port, "hello"), "");
  const { text } = await standalone.page("/stats?filter=cluster.up.upstream_cx_total");
  assert.equal(text, "cluster.up.upstream_cx_total: 0\n");
});
