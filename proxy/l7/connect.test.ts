/** CONNECT through the whole engine: tunnels both ways, and what must not become a request behind one that was refused. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  RawClient,
  type Rig,
  eventually,
  raw,
  refusedPort,
  startAnswering,
  startRig,
  startUpstream,
  staticCluster,
} from "./fixture.ts";

const connect = "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n";

/** Every CONNECT to cluster "up", `config` beside its upgrade_type; a GET too. */
async function rigTo(port: number, config: object, thresholds?: object): Promise<Rig> {
  const upgrade_configs = [{ upgrade_type: "CONNECT", ...config }];
  const routes = [
    { match: { connect_matcher: {} }, route: { cluster: "up", upgrade_configs } },
    { match: { prefix: "/" }, route: { cluster: "up" } },
  ];
  const table = { name: "routes", virtual_hosts: [{ name: "all", domains: ["*"], routes }] };
  const circuit_breakers = { thresholds: [thresholds ?? {}] };
  const cluster = { ...staticCluster("up", [port]), ...(thresholds === undefined ? {} : { circuit_breakers }) };
  return startRig({ routes: table, clusters: [cluster] });
}

const ended = { connect_config: {} };

describe("CONNECT", () => {
  it("that ends here is a tunnel to an endpoint: no head is sent, bytes go both ways, each side ends by itself", async () => {
    await using upstream = await startUpstream((socket) => {
      socket.write("hello\n");
      socket.on("end", () => socket.end("bye\n"));
    });
    await using rig = await rigTo(upstream.port, ended);
    const client = new RawClient(rig.port);
    // What is sent behind the head at once belongs to the tunnel.
    client.send(`${connect}early `);
    await client.until("GMT\r\n\r\nhello\n");
    client.send("late");
    await eventually(() => upstream.received[0] === "early late", "both parts");
    client.socket.end();
    assert.match(await client.over(), /bye\n$/);
    client.close();
    await eventually(() => rig.records.length === 1, "record");
    const { status, flag, requestBytes, responseBytes } = rig.records[0]!;
    assert.deepEqual([status, flag, requestBytes, responseBytes], [200, "-", 10, 10]);
  });

  it("that ends here uses no connection of HTTP, and gives none back", async () => {
    await using upstream = await startAnswering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    await using rig = await rigTo(upstream.port, ended);
    const get = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    assert.match(await raw(rig.port, get), /ok$/);
    const client = new RawClient(rig.port);
    client.send(connect);
    await client.until("GMT\r\n\r\n");
    await eventually(() => upstream.received.length === 2, "connection of the tunnel");
    client.close();
    await eventually(() => rig.records.length === 2, "end of the tunnel");
    assert.match(await raw(rig.port, get), /ok$/);
    assert.equal(upstream.received[1], "");
  });

  it("counts as a connection of its cluster", async () => {
    await using upstream = await startUpstream((socket) => void socket.on("end", () => socket.end()));
    await using rig = await rigTo(upstream.port, ended, { max_connections: 1 });
    const client = new RawClient(rig.port);
    client.send(connect);
    await client.until("200 OK");
    assert.match(await raw(rig.port, connect), /^HTTP\/1\.1 503 .*UO/s);
    client.close();
    await eventually(() => rig.counters.upstreamOpen === 0, "connection given back");
    const next = new RawClient(rig.port);
    next.send(connect);
    await next.until("200 OK");
    next.close();
  });

  it("is answered 503 where nobody listens", async () => {
    await using rig = await rigTo(await refusedPort(), ended);
    assert.match(await raw(rig.port, connect), /^HTTP\/1\.1 503 .*x-wherry-error: UF/s);
  });

  it("that is forwarded asks the upstream, whatever lengths its answer says", async () => {
    await using upstream = await startUpstream((socket) => {
      socket.once("data", () => socket.write("HTTP/1.1 200 Yes\r\nContent-Length: 3\r\nX-A: b\r\n\r\nfirst"));
      socket.on("end", () => socket.end());
    });
    await using rig = await rigTo(upstream.port, {});
    const client = new RawClient(rig.port);
    client.send(connect);
    const text = await client.until("first");
    assert.match(text, /^HTTP\/1\.1 200 Yes\r\nX-A: b\r\nDate: [^\r]+\r\n\r\nfirst$/);
    assert.match(upstream.received[0]!, /^CONNECT a:80 HTTP\/1\.1\r\nHost: a:80\r\n/);
    client.send("second");
    await eventually(() => upstream.received[0]!.endsWith("\r\n\r\nsecond"), "bytes of the tunnel");
    client.close();
  });

  it("that is refused lets nothing behind it become a request", async () => {
    await using upstream = await startAnswering("HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno");
    await using rig = await rigTo(upstream.port, {});
    const answer = await raw(rig.port, `${connect}GET /behind HTTP/1.1\r\nHost: a\r\n\r\n`);
    assert.match(answer, /^HTTP\/1\.1 407 No\r\n.*Connection: close\r\n.*no$/s);
    assert.equal(answer.match(/HTTP\/1\.1/g)!.length, 1);
    assert.equal(upstream.received.join("").includes("/behind"), false);
    await using here = await rigTo(upstream.port, { enabled: false });
    const refused = await raw(here.port, `${connect}GET /behind HTTP/1.1\r\nHost: a\r\n\r\n`);
    assert.match(refused, /^HTTP\/1\.1 403 /);
    assert.equal(refused.match(/HTTP\/1\.1/g)!.length, 1);
  });

  it("that is forwarded is not opened by 101", async () => {
    await using upstream = await startAnswering(
      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
    );
    await using rig = await rigTo(upstream.port, {});
    assert.match(await raw(rig.port, connect), /^HTTP\/1\.1 502 /);
  });
});
