/** What the time of one try, and tries beside each other, do to a request: through the whole engine, by a manual clock. */
import assert from "node:assert/strict";
import { Socket } from "node:net";
import { describe, it } from "node:test";
import type { RouteConfiguration } from "#api/xds/envoy.ts";
import { ManualClock } from "#lib/clock.ts";
import { RawClient, type Rig, eventually, raw, startRig, startUpstream, staticCluster } from "./fixture.ts";

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const hedging = { hedge_policy: { hedge_on_per_try_timeout: true } };

/** Everything to cluster "c" within 10 s, each try within 0.5 s. */
function routesWith(retry: object, more: object = {}): RouteConfiguration {
  const retry_policy = { retry_on: "5xx", num_retries: 1, per_try_timeout: "0.5s", ...retry };
  const route = { cluster: "c", timeout: "10s", retry_policy, ...more };
  const routes = [{ match: { prefix: "/" }, route }];
  return { name: "routes", virtual_hosts: [{ name: "all", domains: ["*"], routes }] };
}

function flagsOf({ records }: Rig): readonly string[] {
  return records.map(({ flag }) => flag);
}

describe("the time of one try", () => {
  for (const [name, more] of [
    ["begins when the request is whole", {}],
    ["makes no try beside one that is not sent whole", hedging],
  ] as const)
    it(name, async () => {
      const clock = new ManualClock();
      await using upstream = await startUpstream((socket) =>
        socket.on("data", (chunk) => chunk.includes("f") && socket.write(ok)),
      );
      await using rig = await startRig({
        clock,
        routes: routesWith({}, more),
        clusters: [staticCluster("c", [upstream.port])],
      });
      const client = new RawClient(rig.port);
      client.send("POST / HTTP/1.1\r\nHost: b\r\nContent-Length: 6\r\n\r\na");
      for (const letter of "bcdef") {
        await eventually(
          () => upstream.received[0]?.endsWith(String.fromCharCode(letter.charCodeAt(0) - 1)) === true,
          letter,
        );
        await clock.advance(1000);
        client.send(letter);
      }
      await client.until("200 OK");
      client.close();
      assert.equal(upstream.received.length, 1);
      assert.deepEqual([rig.counters.retries, flagsOf(rig)], [0, ["-"]]);
    });

  it("does not pass while it connects: whoever answers has all of the request", async () => {
    const clock = new ManualClock();
    await using upstream = await startUpstream((socket) =>
      socket.on("data", (chunk) => chunk.includes("\r\n0\r\n\r\n") && socket.write(ok)),
    );
    const dialed: (() => void)[] = [];
    const dial = (host: string, port: number): Socket => {
      const socket = new Socket();
      dialed.push(() => void socket.connect({ host, port }));
      return socket;
    };
    const routes = routesWith({}, hedging);
    await using rig = await startRig({ clock, dial, routes, clusters: [staticCluster("c", [upstream.port])] });
    const chunk = `${(60_000).toString(16)}\r\n${"x".repeat(60_000)}\r\n`;
    const client = new RawClient(rig.port);
    client.send(`POST / HTTP/1.1\r\nHost: b\r\nTransfer-Encoding: chunked\r\n\r\n${chunk}`);
    await eventually(() => dialed.length === 1, "a connection");
    await clock.advance(1000);
    dialed[0]!();
    await eventually(() => upstream.received[0]?.includes("xxx") === true, "the first chunk");
    // More than is held for another try.
    client.send(`${chunk}0\r\n\r\n`);
    await client.until("200 OK");
    client.close();
    assert.equal(dialed.length, 1);
    assert.equal(upstream.received[0]!.match(/x/g)!.length, 120_000);
  });

  it("leaves a tunnel alone", async () => {
    const clock = new ManualClock();
    await using upstream = await startUpstream((socket) => {
      socket.once("data", () =>
        socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: w\r\n\r\n"),
      );
      socket.on("end", () => socket.end());
    });
    const clusters = [staticCluster("c", [upstream.port])];
    await using rig = await startRig({ clock, routes: routesWith({}), clusters });
    const client = new RawClient(rig.port);
    client.send("GET / HTTP/1.1\r\nHost: b\r\nConnection: Upgrade\r\nUpgrade: w\r\n\r\n");
    await client.until("101");
    await clock.advance(2000);
    client.send("still there");
    await eventually(() => upstream.received[0]!.endsWith("still there"), "bytes of the tunnel");
    client.close();
  });
});

describe("a try beside another", () => {
  const get = "GET / HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n";

  it("that fails leaves the answer to the one whose time passed", async () => {
    const clock = new ManualClock();
    await using upstream = await startUpstream((socket, index) => {
      if (index === 1) socket.once("data", () => socket.resetAndDestroy());
    });
    const clusters = [staticCluster("c", [upstream.port])];
    await using rig = await startRig({ clock, routes: routesWith({}, hedging), clusters });
    const answer = raw(rig.port, get);
    await eventually(() => upstream.received[0]?.endsWith("\r\n\r\n") === true, "the first try");
    await clock.advance(1000);
    await eventually(
      () => upstream.received.length === 2 && upstream.sockets.size === 1,
      "the second try, and its end",
    );
    await clock.advance(100);
    for (const socket of upstream.sockets) socket.write(ok);
    assert.match(await answer, /^HTTP\/1\.1 200 /);
  });

  it("that fails like the one whose time passed ends the request with it", async () => {
    const clock = new ManualClock();
    await using upstream = await startUpstream((socket, index) => {
      if (index === 1) socket.once("data", () => socket.resetAndDestroy());
    });
    const clusters = [staticCluster("c", [upstream.port])];
    await using rig = await startRig({ clock, routes: routesWith({}, hedging), clusters });
    const answer = raw(rig.port, get);
    await eventually(() => upstream.received[0]?.endsWith("\r\n\r\n") === true, "the first try");
    await clock.advance(1000);
    await eventually(
      () => upstream.received.length === 2 && upstream.sockets.size === 1,
      "the second try, and its end",
    );
    await clock.advance(100);
    for (const socket of upstream.sockets) socket.resetAndDestroy();
    assert.match(await answer, /^HTTP\/1\.1 503 /);
  });
});
