/** Times of downstream connections, their streams and tunnels, by a manual clock. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectHTTP2 } from "node:http2";
import { describe, it } from "node:test";
import { ManualClock } from "#lib/clock.ts";
import { httpDefault } from "./config/http.ts";
import { plainChain } from "./config/listener.ts";
import { RawClient, type Rig, eventually, startAnswering, startRig, startUpstream, staticCluster } from "./fixture.ts";
import { type HTTPOptions, http2OptionsDefault, httpOptionsDefault } from "./options.ts";

const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const upgrade = "GET / HTTP/1.1\r\nHost: b\r\nConnection: Upgrade\r\nUpgrade: w\r\n\r\n";
const upgraded = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: w\r\n\r\n";

interface Times {
  readonly options?: Partial<HTTPOptions>;
  readonly streamIdleMs?: number;
  readonly action?: object;
}

function start(clock: ManualClock, port: number, { options, streamIdleMs = 0, action }: Times): Promise<Rig> {
  const chain = plainChain("http", {
    ...httpDefault,
    routeName: "routes",
    inline: undefined,
    streamIdleMs,
    options: { ...httpOptionsDefault, http2: { ...http2OptionsDefault, allowsConnect: true }, ...options },
  });
  const routes = [{ match: { prefix: "/" }, route: { cluster: "up", ...action } }];
  const table = { name: "routes", virtual_hosts: [{ name: "all", domains: ["*"], routes }] };
  const clusters = [staticCluster("up", [port])];
  return startRig({ clock, listener: { defaultChain: chain }, routes: table, clusters });
}

describe("a downstream connection", () => {
  it("without an idle time stays", async () => {
    const clock = new ManualClock();
    await using upstream = await startAnswering(ok);
    await using rig = await start(clock, upstream.port, { options: { keepAliveIdleMs: 0 } });
    const client = new RawClient(rig.port);
    client.send(get);
    await client.until("\r\n\r\nok");
    await clock.advance(10 * 3_600_000);
    client.text = "";
    client.send(get);
    await client.until("\r\n\r\nok");
    client.close();
  });

  it("that has grown old takes one more request, or none and is closed", async () => {
    const clock = new ManualClock();
    await using upstream = await startAnswering(ok);
    await using rig = await start(clock, upstream.port, { options: { connectionMsMax: 1000 } });
    const [idle, asking] = [new RawClient(rig.port), new RawClient(rig.port)];
    idle.send(get);
    await idle.until("\r\n\r\nok");
    asking.send(get);
    await asking.until("\r\n\r\nok");
    await clock.advance(2000);
    asking.send(get);
    assert.match(await asking.over(), /Connection: close\r\n\r\nok$/i);
    idle.text = "";
    await clock.advance(3700);
    assert.equal(rig.counters.downstreamOpen, 1);
    await clock.advance(600);
    assert.equal(await idle.over(), "");
    idle.close();
    asking.close();
  });

  it("of HTTP/2 that has grown old is closed, too", async () => {
    const clock = new ManualClock();
    await using rig = await start(clock, 1, { options: { connectionMsMax: 1000, keepAliveIdleMs: 0 } });
    const session = connectHTTP2(`http://127.0.0.1:${rig.port}`);
    const closed = once(session, "close");
    await once(session, "remoteSettings");
    await clock.advance(5700);
    assert.equal(session.closed, false);
    await clock.advance(600);
    await closed;
  });
});

/** Bytes both ways, opened by an upgrade or by extended CONNECT. */
interface Tunnel {
  send(text: string): void;
  readonly over: Promise<unknown>;
  close(): void;
}

async function openTunnel(port: number, protocol: "http1" | "http2"): Promise<Tunnel> {
  if (protocol === "http1") {
    const client = new RawClient(port);
    client.send(upgrade);
    await client.until("101");
    return { send: (text) => client.send(text), over: client.over(), close: () => client.close() };
  }
  const session = connectHTTP2(`http://127.0.0.1:${port}`);
  await once(session, "remoteSettings");
  const head = { ":method": "CONNECT", ":protocol": "w", ":scheme": "http", ":path": "/", ":authority": "b" };
  const stream = session.request(head, { endStream: false });
  // It is reset in the end.
  stream.on("error", () => undefined);
  const over = new Promise((resolve) => stream.once("close", resolve));
  await once(stream, "response");
  return { send: (text) => void stream.write(text), over, close: () => session.destroy() };
}

describe("a tunnel", () => {
  for (const [name, times, flag] of [
    ["keeps the idle time of its listener's streams", { streamIdleMs: 2000 }, "SI"],
    ["keeps the idle time of its route", { action: { idle_timeout: "2s" } }, "SI"],
    ["keeps the longest time of its stream", { action: { max_stream_duration: { max_stream_duration: "5s" } } }, "DT"],
  ] as const)
    for (const protocol of ["http1", "http2"] as const)
      it(`${name}, over ${protocol}`, async () => {
        const clock = new ManualClock();
        await using upstream = await startUpstream((socket) => {
          socket.once("data", () => socket.write(upgraded));
          socket.on("end", () => socket.end());
        });
        await using rig = await start(clock, upstream.port, times);
        const tunnel = await openTunnel(rig.port, protocol);
        for (let each = 1; each <= 3; each++) {
          await clock.advance(1500);
          tunnel.send(`part ${each}`);
          await eventually(() => upstream.received[0]!.endsWith(`part ${each}`), "bytes of the tunnel");
        }
        await clock.advance(2500);
        await tunnel.over;
        await eventually(() => upstream.sockets.size === 0, "the end of the upstream's side");
        assert.deepEqual(
          rig.records.map((record) => [record.status, record.flag]),
          [[101, flag]],
        );
        tunnel.close();
      });
});
