/** Answers of the proxy's own on their way through filters: who sees them, what becomes of them, how they are told. */
import assert from "node:assert/strict";
import http2 from "node:http2";
import { test } from "node:test";
import type { RouteConfiguration } from "#api/xds/envoy.ts";
import { silentLogger } from "#lib/log.ts";
import { type CompiledHTTP, httpDefault } from "../config/http.ts";
import { plainChain } from "../config/listener.ts";
import { compileRoutes } from "../config/route.ts";
import type { FilterContext, HttpFilter } from "../filter.ts";
import {
  RawClient,
  type Rig,
  type RigOptions,
  eventually,
  raw,
  refusedPort,
  startAnswering,
  startRig,
  startUpstream,
  staticCluster,
} from "../fixture.ts";
import { FilterModules, moduleType } from "./modules.ts";

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody";
const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;
const getClose = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`;

const routes = {
  name: "routes",
  virtual_hosts: [
    {
      name: "all",
      domains: ["*"],
      routes: [
        { match: { prefix: "/direct" }, direct_response: { status: 200, body: { inline_string: "hello" } } },
        {
          match: { prefix: "/" },
          route: { cluster: "up" },
          response_headers_to_add: [{ header: { key: "x-route", value: "r" } }],
        },
      ],
    },
  ],
} as unknown as RouteConfiguration;

/** A rig whose chain has these filters, in their order. */
async function rigWith(
  port: number,
  filters: readonly HttpFilter[],
  { clusters = [staticCluster("up", [port])], ...more }: Partial<CompiledHTTP> & Pick<RigOptions, "clusters"> = {},
): Promise<Rig> {
  const load = async (url: string): Promise<unknown> => {
    const filter = filters[Number(new URL(url).pathname.slice("/filters/".length, -".ts".length))]!;
    return { default: { configure: () => () => filter } };
  };
  const configured = filters.map((_filter, at) => ({
    name: `${at}.ts`,
    type: moduleType,
    config: { module: `${at}.ts`, config: {} },
    isDisabled: false,
  }));
  const chain = plainChain("http", {
    ...httpDefault,
    routeName: more.inline === undefined ? "routes" : undefined,
    inline: undefined,
    ...more,
    filters: configured,
  });
  const filterModules = new FilterModules({ folder: "/filters", log: silentLogger, load });
  return startRig({
    listener: { defaultChain: chain },
    routes,
    clusters,
    filterModules,
  });
}

const tagging: HttpFilter = {
  onResponseHeaders(context) {
    context.responseHeaders.append("X-Tag", String(context.response!.status));
    return "continue";
  },
};

/** Answers in the request. */
const refusing: HttpFilter = {
  onRequestHeaders(context) {
    context.reply({ status: 403, body: "no", headers: [["X-Why", "policy"]] });
    return "stop";
  },
};

test("every answer of the proxy's own passes the filters of responses, and is told as it went out", async () => {
  await using rig = await rigWith(await refusedPort(), [tagging]);
  const failed = await raw(rig.port, getClose("/a"));
  assert.match(failed, /^HTTP\/1\.1 503 .*x-route: r\r\n.*X-Tag: 503\r\n/s);
  const direct = await raw(rig.port, getClose("/direct"));
  assert.match(direct, /^HTTP\/1\.1 200 OK\r\nDate: [^\r]+\r\nContent-Length: 5\r\n.*X-Tag: 200\r\n.*\r\n\r\nhello$/s);
  assert.doesNotMatch(direct, /x-route/);
  const head = await raw(rig.port, getClose("/direct").replace("GET", "HEAD"));
  assert.match(head, /^HTTP\/1\.1 200 OK\r\n.*Content-Length: 5\r\n.*X-Tag: 200\r\n.*\r\n\r\n$/s);
  assert.deepEqual(
    rig.records.map(({ status, flag, response }) => [status, flag, response?.headers.keys.includes("x-tag")]),
    [
      [503, "UF", true],
      [200, "-", true],
      [200, "-", true],
    ],
  );
  assert.deepEqual(
    rig.records.slice(1).map(({ responseBytes }) => responseBytes),
    [5, 0],
  );
  assert.equal(rig.load.requests, 0);
});

test("what a filter answers has the route's headers, and passes all filters, its own and those behind it", async () => {
  await using upstream = await startAnswering(ok);
  const seen: string[] = [];
  const watching: HttpFilter = {
    onRequestHeaders: () => (seen.push("request"), "continue"),
    onResponseHeaders: () => (seen.push("response"), "continue"),
    onEnd: () => void seen.push("end"),
  };
  await using rig = await rigWith(upstream.port, [tagging, { ...refusing, ...tagging }, watching]);
  const answer = await raw(rig.port, getClose("/a"));
  assert.match(answer, /^HTTP\/1\.1 403 .*x-route: r\r\nX-Why: policy\r\nX-Tag: 403\r\nX-Tag: 403\r\n.*\r\n\r\nno$/s);
  assert.deepEqual(seen, ["response", "end"]);
  assert.doesNotMatch(await raw(rig.port, getClose("/direct")), /x-route/);
  assert.equal(upstream.received.length, 0);
  assert.deepEqual(
    rig.records.map(({ status, isRouted, cluster }) => [status, isRouted, cluster]),
    [
      [403, false, undefined],
      [403, false, undefined],
    ],
  );
  assert.equal(rig.load.requests, 0);
});

test("behind an answer the request goes on nowhere: no data, no resume, no second answer", async () => {
  await using upstream = await startAnswering(ok);
  const seen: string[] = [];
  const insisting: HttpFilter = {
    onRequestHeaders(context) {
      context.reply({ status: 403 });
      context.reply({ status: 404 });
      context.resume();
      return "continue";
    },
    onRequestData: () => (seen.push("data"), "continue"),
    onResponseHeaders(context) {
      seen.push("response");
      context.after(1, () => context.resume());
      return "stop";
    },
  };
  await using rig = await rigWith(upstream.port, [
    insisting,
    { onRequestHeaders: () => (seen.push("next"), "continue") },
  ]);
  const client = new RawClient(rig.port);
  client.send("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
  const answer = await client.over();
  assert.match(answer, /^HTTP\/1\.1 403 .*Connection: close\r\n/s);
  assert.equal(answer.split("HTTP/1.1 ").length, 2);
  client.close();
  assert.deepEqual(seen, ["response"]);
  assert.equal(upstream.received.length, 0);
  assert.deepEqual(
    rig.records.map(({ status }) => status),
    [403],
  );
});

test("what filters make of an answer's body has its length, and its status", async () => {
  await using rig = await rigWith(await refusedPort(), [
    {
      onResponseHeaders: (context) => (context.setStatus(207), "continue"),
      onResponseData: () => Buffer.from("changed é"),
      onResponseEnd: () => Buffer.from("!"),
    },
  ]);
  assert.match(await raw(rig.port, getClose("/a")), /^HTTP\/1\.1 207 .*Content-Length: 11\r\n.*\r\n\r\nchanged Ã©!$/s);
  const [record] = rig.records;
  assert.deepEqual([record!.status, record!.givenStatus, record!.responseBytes], [207, 503, 11]);
});

test("a filter that throws in an answer of the proxy's own makes it one 500", async () => {
  for (const method of ["onResponseHeaders", "onResponseData", "onResponseEnd"] as const) {
    let calls = 0;
    const broken: HttpFilter = {
      [method]: () => {
        calls++;
        throw new Error("bug");
      },
    };
    for (const filters of [[broken], [broken, refusing], [refusing, broken]]) {
      calls = 0;
      await using rig = await rigWith(await refusedPort(), filters);
      const client = new RawClient(rig.port);
      client.send(get("/a") + getClose("/direct"));
      const answers = (await client.over()).split(/(?=HTTP\/1\.1 )/);
      assert.deepEqual(
        answers.map((text) => text.slice(9, 12)),
        ["500", "500"],
        method,
      );
      client.close();
      assert.equal(calls, 2);
      assert.deepEqual(
        rig.records.map(({ status }) => status),
        [500, 500],
      );
      assert.equal(rig.load.requests, 0);
    }
  }
});

test("what a filter answers to an answer goes out as it is", async () => {
  let calls = 0;
  const replacing: HttpFilter = {
    onResponseHeaders(context) {
      calls++;
      context.reply({ status: 502, body: "instead" });
      return "continue";
    },
  };
  await using rig = await rigWith(await refusedPort(), [tagging, replacing, refusing]);
  const answer = await raw(rig.port, getClose("/a"));
  assert.match(answer, /^HTTP\/1\.1 502 .*x-route: r\r\n.*\r\n\r\ninstead$/s);
  assert.doesNotMatch(answer, /X-Tag|X-Why/);
  assert.equal(calls, 1);
  assert.deepEqual(
    rig.records.map(({ status, flag }) => [status, flag]),
    [[502, "-"]],
  );
});

test("an answer that a filter holds goes out when it is resumed, and is the downstream's loss when it leaves", async () => {
  const held: FilterContext[] = [];
  const holding: HttpFilter = {
    onResponseData(context) {
      held.push(context);
      return "stop";
    },
  };
  await using rig = await rigWith(await refusedPort(), [holding]);
  const client = new RawClient(rig.port);
  client.send(get("/a") + get("/direct"));
  await eventually(() => held.length === 1, "the first answer is held");
  assert.deepEqual([rig.records.length, rig.load.requests, client.text], [0, 1, ""]);
  held[0]!.resumeWith(Buffer.from("other"));
  await client.until("other");
  await eventually(() => held.length === 2, "the second answer is held");
  client.close();
  await eventually(() => rig.records.length === 2, "the second record");
  assert.deepEqual(
    rig.records.map(({ status, flag, details }) => [status, flag, details?.split("{")[0]]),
    [
      [503, "UF", "upstream_reset_before_response_started"],
      [0, "DC", "downstream_remote_disconnect"],
    ],
  );
  assert.equal(rig.load.requests, 0);
  held[1]!.resume();
});

test("an answer that a filter holds for too long is 504", async () => {
  const holding: HttpFilter = { onResponseHeaders: () => "stop" };
  await using rig = await rigWith(await refusedPort(), [holding, refusing], { streamIdleMs: 50 });
  assert.match(await raw(rig.port, getClose("/a")), /^HTTP\/1\.1 504 .*x-wherry-error: SI /s);
  assert.deepEqual(
    rig.records.map(({ status, flag }) => [status, flag]),
    [[504, "SI"]],
  );
  assert.equal(rig.load.requests, 0);
});

test("a response that a filter holds behind its upstream's end is 504 too, or cut behind its head", async () => {
  await using upstream = await startAnswering(ok);
  const atHead: HttpFilter = { onResponseHeaders: () => "stop" };
  await using one = await rigWith(upstream.port, [atHead], { streamIdleMs: 50 });
  assert.match(await raw(one.port, getClose("/a")), /^HTTP\/1\.1 504 /);
  await using two = await rigWith(upstream.port, [{ onResponseData: () => "stop" }], { streamIdleMs: 50 });
  assert.match(await raw(two.port, getClose("/a")), /^HTTP\/1\.1 200 (?!.*0\r\n\r\n$)/s);
  await eventually(() => two.records.length === 1, "record of the one that is cut");
  const told = [...one.records, ...two.records].map(({ status, flag }) => [status, flag]);
  assert.deepEqual(told, [
    [504, "SI"],
    [200, "DC"],
  ]);
  assert.deepEqual([one.load.requests, two.load.requests], [0, 0]);
});

test("a filter's answer while the upstream works ends the try, and passes the filters", async () => {
  await using upstream = await startUpstream((socket) => void socket.on("end", () => socket.end()));
  const late: HttpFilter = {
    onRequestHeaders(context) {
      context.after(10, () => context.reply({ status: 504, body: "late" }));
      return "continue";
    },
  };
  await using rig = await rigWith(upstream.port, [late, tagging]);
  assert.match(await raw(rig.port, getClose("/a")), /^HTTP\/1\.1 504 .*x-route: r\r\nX-Tag: 504\r\n.*late$/s);
  await eventually(() => upstream.sockets.size === 0, "the try is cancelled");
  assert.deepEqual(
    rig.records.map(({ status, cluster }) => [status, cluster?.name]),
    [[504, "up"]],
  );
  assert.equal(rig.load.requests, 0);
});

test("answers to gRPC are told as they went out: 200, and gRPC's status; their cluster counts what they were", async () => {
  for (const filters of [[], [tagging]]) {
    await using rig = await rigWith(await refusedPort(), filters);
    const session = http2.connect(`http://127.0.0.1:${rig.port}`);
    const stream = session.request({ ":method": "POST", ":path": "/a", "content-type": "application/grpc" });
    stream.end();
    const headers = await new Promise<http2.IncomingHttpHeaders>((resolve) => stream.on("response", resolve));
    assert.deepEqual([headers[":status"], headers["grpc-status"], headers["content-length"]], [200, "14", undefined]);
    session.destroy();
    const [record] = rig.records;
    assert.deepEqual([record!.status, record!.givenStatus, record!.flag, record!.responseBytes], [200, 503, "UF", 0]);
    const { keys, values } = record!.response!.headers;
    assert.equal(values[keys.indexOf("grpc-status")], "14");
  }
});

test("no filter answers into a tunnel", async () => {
  await using upstream = await startUpstream((socket) => {
    socket.once("data", () => {
      socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
      socket.on("data", (data) => socket.write(data));
    });
  });
  let answer = (): void => undefined;
  const late: HttpFilter = {
    onRequestHeaders(context) {
      answer = () => context.reply({ status: 418, body: "late" });
      return "continue";
    },
  };
  await using rig = await rigWith(upstream.port, [late]);
  const client = new RawClient(rig.port);
  client.send("GET /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
  await eventually(() => client.text.endsWith("\r\n\r\n"), "101");
  answer();
  client.send("ping");
  await eventually(() => client.text.endsWith("\r\n\r\nping"), "the tunnel's bytes alone");
  client.close();
});

test("requests that are looked at, or refused, take no turn of weighted clusters", async () => {
  await using one = await startAnswering(ok);
  await using other = await startAnswering(ok);
  const weighted_clusters = {
    clusters: [
      { name: "one", weight: 1 },
      { name: "other", weight: 1 },
    ],
  };
  let count = 0;
  const looking: HttpFilter = {
    onRequestHeaders(context) {
      assert.equal(context.facts().routeName, "weighted");
      if (count++ % 2 === 0) return "continue";
      context.reply({ status: 403 });
      return "stop";
    },
  };
  const route = { name: "weighted", match: { prefix: "/" }, route: { weighted_clusters } };
  await using rig = await rigWith(0, [looking], {
    inline: compileRoutes({ name: "inline", virtual_hosts: [{ name: "all", domains: ["*"], routes: [route] }] }),
    clusters: [staticCluster("one", [one.port]), staticCluster("other", [other.port])],
  });
  for (let asked = 0; asked < 8; asked++) await raw(rig.port, getClose("/a"));
  const sent = rig.records.flatMap(({ cluster }) => (cluster === undefined ? [] : [cluster.name]));
  assert.deepEqual(sent.sort(), ["one", "one", "other", "other"]);
});
