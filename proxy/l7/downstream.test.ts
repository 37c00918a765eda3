/** The engine end to end on loopback: messages, keep-alive, upgrade, limits of the connection. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { ManualClock } from "#lib/clock.ts";
import { httpDefault } from "./config/http.ts";
import { plainChain } from "./config/listener.ts";
import {
  RawClient,
  eventually,
  raw,
  routesTo,
  startAnswering,
  startRig,
  startUpstream,
  staticCluster,
} from "./fixture.ts";
import { httpOptionsDefault } from "./options.ts";

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const getClose = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

test("DownstreamConnection serves requests one after the other on one connection each way", async () => {
  await using upstream = await startAnswering(ok);
  await using rig = await startRig({ routes: routesTo("up"), clusters: [staticCluster("up", [upstream.port])] });
  const client = new RawClient(rig.port);
  for (let turn = 1; turn <= 3; turn++) {
    client.send(get);
    await eventually(() => client.text.split("\r\n\r\nok").length === turn + 1, "answer");
  }
  client.close();
  assert.equal(upstream.received.length, 1);
  assert.deepEqual(
    rig.records.map(({ status, responseBytes, flag }) => [status, responseBytes, flag]),
    [1, 2, 3].map(() => [200, 2, "-"]),
  );
});

test("DownstreamConnection answers pipelined requests in order", async () => {
  let count = 0;
  await using upstream = await startAnswering(() => `HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n${++count}`);
  await using rig = await startRig({ routes: routesTo("up"), clusters: [staticCluster("up", [upstream.port])] });
  const text = await raw(rig.port, get + get + getClose);
  assert.deepEqual(text.match(/\r\n\r\n\d/g), ["\r\n\r\n1", "\r\n\r\n2", "\r\n\r\n3"]);
  assert.equal(upstream.received.length, 1);
});

test("DownstreamConnection gives the same result wherever a request is cut", async () => {
  await using upstream = await startUpstream((socket) => {
    let text = "";
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString("latin1");
      if (!text.endsWith("0\r\n\r\n")) return;
      // Chunk borders may differ; the body may not.
      const body = text.slice(text.indexOf("\r\n\r\n") + 4).replaceAll(/[0-9a-f]+\r\n|\r\n/g, "");
      socket.end(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`);
    });
  });
  await using rig = await startRig({ routes: routesTo("up"), clusters: [staticCluster("up", [upstream.port])] });
  const request = Buffer.from(
    "POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n" +
      "4;x=y\r\nWXYZ\r\n3\r\nUVW\r\n0\r\nX-T: 1\r\n\r\n",
  );
  for (let cut = 1; cut < request.length; cut += 1) {
    const client = new RawClient(rig.port);
    await once(client.socket, "connect");
    client.socket.write(request.subarray(0, cut));
    await new Promise<void>((resolve) => setImmediate(resolve));
    client.socket.write(request.subarray(cut));
    const text = await client.over();
    client.close();
    assert.match(text, /^HTTP\/1\.1 200 OK\r\n.*\r\n\r\nWXYZUVW$/s, `cut at ${cut}`);
  }
});

test("DownstreamConnection gives the same response wherever it is cut", async () => {
  const answer = Buffer.from(
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX: y\r\n\r\n3\r\nxyz\r\n2\r\nuv\r\n0\r\n\r\n",
  );
  let cut = 0;
  await using upstream = await startUpstream((socket) => {
    socket.once("data", () => {
      socket.setNoDelay(true);
      socket.write(answer.subarray(0, cut));
      setImmediate(() => socket.write(answer.subarray(cut)));
    });
  });
  await using rig = await startRig({ routes: routesTo("up"), clusters: [staticCluster("up", [upstream.port])] });
  for (cut = 1; cut < answer.length; cut += 1) {
    rig.setEndpoints("up", []);
    rig.setEndpoints("up", [upstream.port]);
    const text = await raw(rig.port, getClose);
    const body = text.slice(text.indexOf("\r\n\r\n") + 4).replaceAll(/^[0-9a-f]+\r\n|\r\n/gm, "");
    assert.equal(body, "xyzuv", `cut at ${cut}`);
    assert.match(
      text,
      /^HTTP\/1\.1 200 OK\r\nX: y\r\nDate: [^\r]+ GMT\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n/,
    );
  }
});

test("DownstreamConnection answers HEAD without a body and keeps the length", async () => {
  await using upstream = await startAnswering("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
  await using rig = await startRig({ routes: routesTo("up"), clusters: [staticCluster("up", [upstream.port])] });
  const head = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";
  const text = await raw(rig.port, head + head.replace("a\r\n", "a\r\nConnection: close\r\n"));
  assert.equal(text.split("Content-Length: 1000\r\n").length, 3);
  assert.equal(upstream.received.length, 1);
});

test("DownstreamConnection passes interim responses, and drops them for HTTP/1.0", async () => {
  await using upstream = await startAnswering(`HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n${ok}`);
  await using rig = await startRig({ routes: routesTo("up"), clusters: [staticCluster("up", [upstream.port])] });
  assert.match(await raw(rig.port, getClose), /^HTTP\/1\.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP\/1\.1 200 OK/);
  assert.match(await raw(rig.port, "GET / HTTP/1.0\r\n\r\n"), /^HTTP\/1\.1 200 OK/);
  assert.match(upstream.received.join(""), /Host: 127\.0\.0\.1:/);
});

test("DownstreamConnection passes Expect: 100-continue through to the upstream", async () => {
  await using upstream = await startUpstream((socket) => {
    socket.once("data", () => {
      socket.write("HTTP/1.1 100 Continue\r\n\r\n");
      socket.once("data", () => socket.write(ok));
    });
  });
  await using rig = await startRig({ routes: routesTo("up"), clusters: [staticCluster("up", [upstream.port])] });
  const client = new RawClient(rig.port);
  client.send("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
  await client.until("100 Continue\r\n\r\n");
  client.send("abc");
  await client.until("\r\n\r\nok");
  client.close();
  assert.match(upstream.received[0]!, /abc$/);
});

test("DownstreamConnection turns a body until close into chunks, and closes for HTTP/1.0", async () => {
  await using upstream = await startUpstream((socket) => {
    socket.once("data", () => socket.end("HTTP/1.1 200 OK\r\n\r\nhello"));
  });
  await using rig = await startRig({ routes: routesTo("up"), clusters: [staticCluster("up", [upstream.port])] });
  assert.match(await raw(rig.port, getClose), /Transfer-Encoding: chunked\r\n.*\r\n\r\n5\r\nhello\r\n0\r\n\r\n$/s);
  assert.match(
    await raw(rig.port, "GET / HTTP/1.0\r\nHost: a\r\n\r\n"),
    /200 OK\r\nDate: [^\r]+ GMT\r\nConnection: close\r\n\r\nhello$/,
  );
});

test("DownstreamConnection splices behind 101", async () => {
  await using upstream = await startUpstream((socket) => {
    socket.once("data", () => {
      socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhi");
      socket.on("data", (chunk: Buffer) => socket.write(`<${chunk.toString()}>`));
      socket.on("end", () => socket.end("bye"));
    });
  });
  await using rig = await startRig({ routes: routesTo("up"), clusters: [staticCluster("up", [upstream.port])] });
  const client = new RawClient(rig.port);
  client.send("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n");
  await client.until("Upgrade: websocket\r\n\r\nhi");
  client.send("one");
  await client.until("<one>");
  client.socket.end();
  assert.match(await client.over(), /bye$/);
  assert.match(upstream.received[0]!, /Connection: Upgrade\r\nUpgrade: websocket\r\n/);
  await eventually(() => rig.records.length === 1, "record");
  assert.equal(rig.records[0]!.status, 101);
});

test("DownstreamConnection strips an offer of h2c and answers in HTTP/1.1", async () => {
  await using upstream = await startAnswering(ok);
  await using rig = await startRig({ routes: routesTo("up"), clusters: [staticCluster("up", [upstream.port])] });
  const offer = "Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\n";
  assert.match(await raw(rig.port, `GET / HTTP/1.1\r\nHost: a\r\n${offer}\r\n`), /^HTTP\/1\.1 200/);
  assert.doesNotMatch(upstream.received[0]!, /upgrade|http2/i);
});

test("DownstreamConnection refuses what it cannot frame, and closes", async () => {
  await using upstream = await startAnswering(ok);
  await using rig = await startRig({ routes: routesTo("up"), clusters: [staticCluster("up", [upstream.port])] });
  const smuggled =
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n" +
    "0\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n";
  const text = await raw(rig.port, smuggled);
  assert.match(text, /^HTTP\/1\.1 400 Bad Request\r\n/);
  assert.match(text, /x-wherry-error: DPE Cannot frame body/);
  assert.equal(text.split("HTTP/1.1").length, 2);
  assert.equal(upstream.received.length, 0);
  assert.deepEqual([rig.records[0]!.status, rig.records[0]!.flag], [400, "DPE"]);
});

test("DownstreamConnection answers a malformed upstream with 502", async () => {
  await using upstream = await startAnswering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc");
  await using rig = await startRig({ routes: routesTo("up"), clusters: [staticCluster("up", [upstream.port])] });
  assert.match(await raw(rig.port, getClose), /^HTTP\/1\.1 502 .*x-wherry-error: UPE Cannot parse Content-Length/s);
});

test("DownstreamConnection lets go of the upstream when the downstream ends its side, as Envoy does", async () => {
  await using upstream = await startUpstream((socket) => socket.on("end", () => socket.end()));
  await using rig = await startRig({ routes: routesTo("up"), clusters: [staticCluster("up", [upstream.port])] });
  const client = new RawClient(rig.port);
  client.send(get);
  await eventually(() => upstream.received[0]?.includes("\r\n\r\n") === true, "request");
  client.socket.end();
  assert.equal(await client.over(), "");
  await eventually(() => upstream.sockets.size === 0, "upstream closed");
  assert.deepEqual([rig.records[0]!.status, rig.records[0]!.flag], [0, "DC"]);
});

test("DownstreamConnection delivers what it answered before the downstream ended its side", async () => {
  await using upstream = await startUpstream((socket) => {
    socket.once("data", () => socket.write(ok));
    socket.on("end", () => socket.end());
  });
  await using rig = await startRig({ routes: routesTo("up"), clusters: [staticCluster("up", [upstream.port])] });
  const client = new RawClient(rig.port);
  client.send(get);
  await client.until("200 OK");
  client.socket.end(`GARBAGE\r\n\r\n${get}`);
  const text = await client.over();
  assert.match(text, /200 OK.*HTTP\/1\.1 400 /s);
  await eventually(() => rig.records.length === 2, "both records");
});

test("DownstreamConnection lets go of the upstream when the downstream resets", async () => {
  await using upstream = await startUpstream((socket) => socket.on("end", () => socket.end()));
  await using rig = await startRig({ routes: routesTo("up"), clusters: [staticCluster("up", [upstream.port])] });
  const client = new RawClient(rig.port);
  client.send(get);
  await eventually(() => upstream.received[0]?.includes("\r\n\r\n") === true, "request");
  client.socket.resetAndDestroy();
  await eventually(() => upstream.sockets.size === 0, "upstream closed");
  assert.deepEqual([rig.records[0]!.status, rig.records[0]!.flag], [0, "DC"]);
});

test("DownstreamConnection holds little of a large response for a slow reader", async () => {
  const bytes = 64 * 1024 * 1024;
  const block = Buffer.alloc(256 * 1024, "x");
  let written = 0;
  await using upstream = await startUpstream((socket) => {
    socket.once("data", () => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${bytes}\r\n\r\n`);
      const pump = (): void => {
        while (written < bytes) {
          written += block.length;
          if (!socket.write(block)) return void socket.once("drain", pump);
        }
      };
      pump();
    });
  });
  await using rig = await startRig({ routes: routesTo("up"), clusters: [staticCluster("up", [upstream.port])] });
  const client = new RawClient(rig.port);
  client.socket.removeAllListeners("data");
  client.send(getClose);
  client.socket.pause();
  // Writing stops once every buffer on the way is full: seen when it stays the same over many turns.
  let last = -1;
  for (let same = 0; same < 200;) {
    await new Promise<void>((resolve) => setImmediate(resolve));
    if (written > 0 && written === last) same++;
    else [last, same] = [written, 0];
  }
  assert.ok(written < bytes / 2, `wrote ${written}`);
  let received = 0;
  client.socket.on("data", (chunk: Buffer) => (received += chunk.length));
  client.socket.resume();
  await once(client.socket, "end");
  client.close();
  assert.ok(received > bytes);
});

test("DownstreamConnection holds little of a large request for a slow upstream", async () => {
  let upstreamSocket: import("node:net").Socket | undefined;
  await using upstream = await startUpstream((socket) => {
    upstreamSocket = socket;
    socket.removeAllListeners("data");
    socket.pause();
  });
  await using rig = await startRig({ routes: routesTo("up"), clusters: [staticCluster("up", [upstream.port])] });
  const bytes = 64 * 1024 * 1024;
  const client = new RawClient(rig.port);
  client.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${bytes}\r\n\r\n`);
  const block = Buffer.alloc(256 * 1024, "x");
  let written = 0;
  const pump = (): void => {
    while (written < bytes) {
      written += block.length;
      if (!client.socket.write(block)) return void client.socket.once("drain", pump);
    }
  };
  pump();
  let last = -1;
  for (let same = 0; same < 200;) {
    await new Promise<void>((resolve) => setImmediate(resolve));
    if (written > 0 && written === last) same++;
    else [last, same] = [written, 0];
  }
  assert.ok(written < bytes / 2, `wrote ${written}`);
  let received = 0;
  upstreamSocket!.on("data", (chunk: Buffer) => {
    received += chunk.length;
    if (received >= bytes) upstreamSocket!.write(ok);
  });
  upstreamSocket!.resume();
  await client.until("\r\n\r\nok");
  client.close();
});

test("DownstreamConnection gives up on a head that does not come in time, and on idle connections", async () => {
  const clock = new ManualClock();
  await using rig = await startRig({ clock, routes: routesTo("up"), clusters: [] });
  const slow = new RawClient(rig.port);
  slow.send("GET / HT");
  const idle = new RawClient(rig.port);
  await eventually(() => rig.wheel.size === 2 && rig.counters.downstreamOpen === 2, "both are served");
  await eventually(() => slow.socket.bytesWritten > 0, "head sent");
  for (let turn = 0; turn < 50; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
  await clock.advance(60_300);
  assert.match(await slow.over(), /^HTTP\/1\.1 408/);
  assert.equal(idle.text, "");
  await clock.advance(3_600_000);
  assert.equal(await idle.over(), "");
  idle.close();
  slow.close();
});

test("DownstreamConnection answers 504 at the route's timeout and at the stream's idle time", async () => {
  const clock = new ManualClock();
  await using upstream = await startUpstream(() => undefined);
  await using rig = await startRig({ clock, routes: routesTo("up"), clusters: [staticCluster("up", [upstream.port])] });
  const timed = new RawClient(rig.port);
  timed.send(get);
  await eventually(() => upstream.received[0]?.includes("\r\n\r\n") === true, "request");
  await clock.advance(15_300);
  assert.match(await timed.until("\n\r\n"), /^HTTP\/1\.1 504 .*x-wherry-error: UT /s);
  timed.close();
  const half = new RawClient(rig.port);
  half.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n1");
  await eventually(() => upstream.received[1]?.endsWith("1") === true, "request");
  await clock.advance(300_500);
  assert.match(await half.over(), /^HTTP\/1\.1 408 .*x-wherry-error: SI /s);
  half.close();
});

test("DownstreamConnection keeps the limits of its listener: HTTP/1.0, head, headers, time for the request", async () => {
  await using upstream = await startAnswering(ok);
  const clock = new ManualClock();
  const options = { ...httpOptionsDefault, acceptsHTTP10: false, headBytesMax: 200, headersMax: 3, requestMs: 1000 };
  const chain = plainChain("http", { ...httpDefault, routeName: "routes", inline: undefined, options });
  const clusters = [staticCluster("up", [upstream.port])];
  await using rig = await startRig({ clock, listener: { defaultChain: chain }, routes: routesTo("up"), clusters });
  const cases = [
    ["GET / HTTP/1.0\r\nHost: a\r\n\r\n", 426],
    [`GET / HTTP/1.1\r\nHost: a\r\nX: ${"y".repeat(200)}\r\n\r\n`, 431],
    ["GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n", 431],
  ] as const;
  for (const [request, status] of cases)
    assert.match(await raw(rig.port, request), new RegExp(`^HTTP/1\\.1 ${status} `));
  const client = new RawClient(rig.port);
  client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab");
  await eventually(() => rig.counters.upstreamOpen === 1, "upstream");
  await clock.advance(1300);
  assert.match(await client.until("HTTP/1.1 408 "), /408/);
  client.close();
});

test("DownstreamConnection sends a configured header in UTF-8, none of whose characters is a line break", async () => {
  await using upstream = await startAnswering(ok);
  const [host] = routesTo("up").virtual_hosts ?? [];
  const added = [{ header: { key: "x-a", value: "a\u010d\u010aevil: 1" } }];
  const routes = { name: "routes", virtual_hosts: [{ ...host!, response_headers_to_add: added }] };
  await using rig = await startRig({ routes, clusters: [staticCluster("up", [upstream.port])] });
  const text = Buffer.from(await raw(rig.port, getClose), "latin1").toString("utf8");
  assert.ok(text.includes("\r\nx-a: a\u010d\u010aevil: 1\r\n"), text);
});
