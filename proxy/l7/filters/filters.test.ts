/** Filters end to end on loopback: order, stops, replies, bodies, failures, modules and their reload; the examples. */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { resolve } from "node:path";
import { test } from "node:test";
import { silentLogger } from "#lib/log.ts";
import { httpDefault } from "../config/http.ts";
import { plainChain } from "../config/listener.ts";
import { Reader } from "../config/reader.ts";
import type { FilterContext, FilterReply, HttpFilter } from "../filter.ts";
import {
  RawClient,
  type Rig,
  eventually,
  raw,
  routesTo,
  startAnswering,
  startRig,
  startUpstream,
  staticCluster,
} from "../fixture.ts";
import { type FilterModule, FilterModules, moduleType, readModule } from "./modules.ts";

const ok = (body: string, type = "text/plain"): string =>
  `HTTP/1.1 200 OK\r\nContent-Type: ${type}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
const getClose = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const postClose = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello";

/** A rig whose chain has the named modules, each made by `load`. */
async function rigWith(
  port: number,
  modules: FilterModules,
  names: readonly [module: string, config: unknown][],
): Promise<Rig> {
  const filters = names.map(([module, config]) => ({
    name: module,
    type: moduleType,
    config: { module, config },
    isDisabled: false,
  }));
  const chain = plainChain("http", { ...httpDefault, routeName: "routes", inline: undefined, filters });
  const clusters = [staticCluster("up", [port])];
  return startRig({ listener: { defaultChain: chain }, routes: routesTo("up"), clusters, filterModules: modules });
}

function modulesOf(made: Readonly<Record<string, FilterModule>>): FilterModules {
  const load = async (url: string): Promise<unknown> => ({ default: made[new URL(url).pathname.split("/").at(-1)!] });
  return new FilterModules({ folder: "/filters", log: silentLogger, load });
}

const always = (filter: HttpFilter): FilterModule => ({ configure: () => () => filter });

test("Filters cannot answer with a head that reads as two", async () => {
  await using upstream = await startAnswering(ok("body"));
  const replying = (reply: FilterReply): FilterModule =>
    always({
      onRequestHeaders(context) {
        context.reply(reply);
        return "stop";
      },
    });
  const modules = modulesOf({
    "a.ts": replying({ status: 403, flag: "RL", body: "no\r\nset-cookie: evil" }),
    "b.ts": replying({ status: 403, headers: [["x", "1\r\nset-cookie: evil"]] }),
  });
  await using one = await rigWith(upstream.port, modules, [["a.ts", {}]]);
  await using two = await rigWith(upstream.port, modules, [["b.ts", {}]]);
  const answers = [await raw(one.port, getClose), await raw(two.port, getClose)];
  assert.deepEqual(
    answers.map((text) => text.slice(9, 12)),
    ["403", "500"],
  );
  for (const text of answers) assert.ok(!text.split("\r\n\r\n")[0]!.includes("\r\nset-cookie"), text);
});

test("Filters see requests in order and responses in reverse, and change both", async () => {
  await using upstream = await startAnswering(ok("body"));
  const seen: string[] = [];
  const tracing = (name: string): FilterModule =>
    always({
      onRequestHeaders(context) {
        seen.push(`${name} request`);
        context.requestHeaders.append("X-Seen", name);
        return "continue";
      },
      onResponseHeaders(context) {
        seen.push(`${name} response ${context.response!.status}`);
        context.responseHeaders.append("X-Seen", name);
        if (name === "a.ts") context.setStatus(203);
        return "continue";
      },
      onEnd: () => void seen.push(`${name} end`),
    });
  const modules = modulesOf({ "a.ts": tracing("a.ts"), "b.ts": tracing("b.ts") });
  await using rig = await rigWith(upstream.port, modules, [
    ["a.ts", {}],
    ["b.ts", {}],
  ]);
  const answer = await raw(rig.port, getClose);
  assert.match(answer, /^HTTP\/1\.1 203 .*X-Seen: b\.ts\r\nX-Seen: a\.ts\r\n.*body\r\n0\r\n\r\n$/s);
  assert.match(upstream.received[0]!, /X-Seen: a\.ts\r\nX-Seen: b\.ts\r\n/);
  const ends = ["a.ts end", "b.ts end"];
  assert.deepEqual(seen, ["a.ts request", "b.ts request", "b.ts response 200", "a.ts response 200", ...ends]);
});

test("Filters hold a message back, body and all, until they resume it", async () => {
  await using upstream = await startAnswering(() => ok("body"));
  const held: FilterContext[] = [];
  const hold: HttpFilter = {
    onRequestHeaders(context) {
      held.push(context);
      return "stop";
    },
    onResponseData(context) {
      held.push(context);
      return "stop";
    },
  };
  await using rig = await rigWith(upstream.port, modulesOf({ "hold.ts": always(hold) }), [["hold.ts", {}]]);
  const answer = raw(rig.port, postClose);
  await eventually(() => held.length === 1, "held request");
  assert.equal(upstream.received.length, 0);
  held[0]!.resume();
  await eventually(() => held.length === 2, "held response");
  held[1]!.resume();
  assert.match(await answer, /4\r\nbody\r\n0\r\n\r\n$/);
  assert.match(upstream.received[0]!, /chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n$/);
});

test("A filter that lets its request go on leaves the response to who holds that", async () => {
  await using upstream = await startUpstream((socket) => {
    socket.once("data", () => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"));
    socket.on("data", (part: Buffer) => part.includes("hello") && socket.write("body"));
  });
  let request: FilterContext | undefined;
  let response: FilterContext | undefined;
  const upload: HttpFilter = {
    onRequestData(context) {
      request = context;
      return "stop";
    },
  };
  const scan: HttpFilter = {
    onResponseHeaders(context) {
      response = context;
      return "stop";
    },
  };
  const modules = modulesOf({ "upload.ts": always(upload), "scan.ts": always(scan) });
  const chain: [string, unknown][] = [
    ["upload.ts", {}],
    ["scan.ts", {}],
  ];
  await using rig = await rigWith(upstream.port, modules, chain);
  const client = new RawClient(rig.port);
  client.send(postClose);
  await eventually(() => request !== undefined && response !== undefined, "both are held");
  request!.resume();
  await eventually(() => upstream.received[0]!.includes("hello"), "the request went on");
  assert.equal(client.text, "");
  response!.resume();
  assert.match(await client.over(), /^HTTP\/1\.1 200 .*\r\nbody\r\n0\r\n\r\n$/s);
  client.socket.end();
});

test("A filter that gathers lets no other one's stop go", async () => {
  await using upstream = await startAnswering(ok("body"));
  let asked: FilterContext | undefined;
  const gathers: HttpFilter = {
    onRequestHeaders(context) {
      context.gatherRequest(1000);
      context.after(0, () => context.resume());
      return "stop";
    },
  };
  const auth: HttpFilter = {
    onRequestHeaders(context) {
      asked = context;
      return "stop";
    },
  };
  const modules = modulesOf({ "gathers.ts": always(gathers), "auth.ts": always(auth) });
  const chain: [string, unknown][] = [
    ["gathers.ts", {}],
    ["auth.ts", {}],
  ];
  await using rig = await rigWith(upstream.port, modules, chain);
  const client = new RawClient(rig.port);
  const [head = "", body = ""] = postClose.split(/(?=hello)/);
  client.send(head);
  await eventually(() => asked !== undefined, "auth is asked");
  client.send(body);
  client.socket.end();
  await eventually(() => rig.records.length === 1, "it went");
  assert.equal(upstream.received.length, 0);
});

test("Filters answer instead of the upstream, before it and after", async () => {
  await using upstream = await startAnswering(ok("secret"));
  const early: HttpFilter = {
    onRequestHeaders(context) {
      if (context.request.path !== "/early") return "continue";
      context.reply({ status: 403, body: "no\n", headers: [["X-Why", "policy"]] });
      return "stop";
    },
    onResponseHeaders(context) {
      if (context.response!.status !== 200) return "continue";
      context.reply({ status: 502, body: "late\n" });
      return "stop";
    },
  };
  await using rig = await rigWith(upstream.port, modulesOf({ "early.ts": always(early) }), [["early.ts", {}]]);
  const answer = await raw(rig.port, getClose.replace("/ ", "/early "));
  assert.match(
    answer,
    /^HTTP\/1\.1 403 Forbidden\r\nDate: [^\r]+ GMT\r\nContent-Length: 3\r\n.*X-Why: policy\r\n.*\r\n\r\nno\n$/s,
  );
  assert.equal(upstream.received.length, 0);
  assert.match(await raw(rig.port, getClose), /^HTTP\/1\.1 502 .*late\n$/s);
  assert.deepEqual(
    rig.records.map(({ status }) => status),
    [403, 502],
  );
});

test("Filters that throw fail their own request alone", async () => {
  await using upstream = await startAnswering(ok("body"));
  let count = 0;
  const broken: HttpFilter = {
    onRequestHeaders(context) {
      if (count++ === 0) throw new Error("bug");
      if (count === 2) context.requestHeaders.set("X", "a\r\nHost: evil");
      return "continue";
    },
  };
  await using rig = await rigWith(upstream.port, modulesOf({ "broken.ts": always(broken) }), [["broken.ts", {}]]);
  for (const status of [500, 500, 200])
    assert.match(await raw(rig.port, getClose), new RegExp(`^HTTP/1\\.1 ${status} `));
  assert.equal(upstream.received.length, 1);
});

test("Modules that give what is no filter, or no verdict, fail their requests and not the process", async () => {
  await using upstream = await startAnswering(ok("body"));
  const late = Promise.reject(new Error("late"));
  late.catch(() => undefined);
  const wrong: Readonly<Record<string, unknown>> = {
    "no-maker.js": { configure: () => 5 },
    "throws.js": {
      configure: () => () => {
        throw new Error("bug");
      },
    },
    "number.js": { configure: () => () => 5 },
    "promise.js": { configure: () => async () => ({}) },
    "async.js": always({ onRequestHeaders: (async () => Promise.reject(new Error("late"))) as never }),
    "nothing.js": always({ onRequestHeaders: (() => undefined) as never }),
    "null.js": always({ onResponseHeaders: (() => null) as never }),
    "text.js": always({ onRequestData: (() => "text") as never }),
    "end.js": always({ onRequestEnd: (() => late) as never }),
    "status.js": always({ onRequestHeaders: (context) => (context.reply({ status: 99_999 }), "stop") }),
    "new-status.js": always({ onResponseHeaders: (context) => (context.setStatus(0.5), "continue") }),
    "response.js": always({ onResponseHeaders: (() => true) as never }),
  };
  const modules = modulesOf(wrong as Record<string, FilterModule>);
  for (const name of Object.keys(wrong)) {
    await using rig = await rigWith(upstream.port, modules, [[name, {}]]);
    assert.match(await raw(rig.port, postClose), /^HTTP\/1\.1 500 /, name);
  }
});

test("What an async callback of a filter rejects with fails its request, and ends no process", async () => {
  // It never answers.
  await using upstream = await startUpstream(() => undefined);
  const filter = always({
    onRequestHeaders(context) {
      context.after(0, async () => Promise.reject(new Error("late")));
      return "continue";
    },
    onEnd: async () => Promise.reject(new Error("later")),
  });
  await using rig = await rigWith(upstream.port, modulesOf({ filter }), [["filter", {}]]);
  assert.match(await raw(rig.port, getClose), /^HTTP\/1\.1 500 /);
});

test("A filter that goes on with what are no bytes fails its own request", async () => {
  // It never answers: nothing may be on the way before the filter failed.
  await using upstream = await startUpstream(() => undefined);
  const replaced = always({
    onRequestData(context) {
      context.after(0, () => context.resumeWith("text" as never));
      return "stop";
    },
  });
  await using rig = await rigWith(upstream.port, modulesOf({ replaced }), [["replaced", {}]]);
  assert.match(await raw(rig.port, postClose), /^HTTP\/1\.1 500 /);
});

test("A module's second version that refuses its configuration is logged, and the first goes on", async () => {
  await using upstream = await startAnswering(ok("body"));
  const lines: string[] = [];
  const log = { ...silentLogger, error: (message: string) => void lines.push(message) };
  let next = always({ onRequestHeaders: (context) => (context.reply({ status: 418 }), "stop") });
  const modules = new FilterModules({ folder: "/filters", log, load: async () => ({ default: next }) });
  await using rig = await rigWith(upstream.port, modules, [["x.ts", {}]]);
  assert.match(await raw(rig.port, getClose), /^HTTP\/1\.1 418 /);
  next = {
    configure() {
      throw new Error("no such key");
    },
  };
  await modules.reload("x.ts");
  assert.deepEqual(lines, ["Cannot configure filter module"]);
  assert.match(await raw(rig.port, getClose), /^HTTP\/1\.1 418 /);
});

test("FilterModules waits for a module, refuses what is none, and reloads without losing the one before", async () => {
  await using upstream = await startAnswering(ok("body"));
  const answers = (status: number): FilterModule =>
    always({
      onRequestHeaders(context) {
        context.reply({ status });
        return "stop";
      },
    });
  const gate = Promise.withResolvers<void>();
  let next: unknown = { default: answers(418) };
  const load = async (): Promise<unknown> => {
    await gate.promise;
    return next;
  };
  const modules = new FilterModules({ folder: "/filters", log: silentLogger, load });
  await using rig = await rigWith(upstream.port, modules, [["x.ts", {}]]);
  const first = raw(rig.port, getClose);
  await eventually(() => rig.listeners.connectionCount === 1, "connection");
  gate.resolve();
  assert.match(await first, /^HTTP\/1\.1 418 /);
  next = { default: {} };
  await modules.reload("x.ts");
  assert.match(modules.errorOf("x.ts")!.message, /no configure/);
  assert.match(await raw(rig.port, getClose), /^HTTP\/1\.1 418 /);
  next = { default: answers(429) };
  await modules.reload("x.ts");
  assert.match(await raw(rig.port, getClose), /^HTTP\/1\.1 429 /);
  await using refusing = await rigWith(upstream.port, modulesOf({}), [["missing.ts", {}]]);
  assert.match(await raw(refusing.port, getClose), /^HTTP\/1\.1 500 /);
});

test("a filter whose module came while the request waited sees all of it, trailers too", async () => {
  const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Down: d\r\n\r\n";
  await using upstream = await startAnswering(chunked);
  const seen: string[] = [];
  const all: HttpFilter = {
    onRequestTrailers(_context, { keys }) {
      seen.push(`request ${keys.join()}`);
      return "continue";
    },
    onResponseTrailers(_context, { keys }) {
      seen.push(`response ${keys.join()}`);
      return "continue";
    },
  };
  const gate = Promise.withResolvers<void>();
  const load = async (): Promise<unknown> => gate.promise.then(() => ({ default: always(all) }));
  const modules = new FilterModules({ folder: "/filters", log: silentLogger, load });
  await using rig = await rigWith(upstream.port, modules, [["x.ts", {}]]);
  const head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
  const answer = raw(rig.port, `${head}2\r\nho\r\n0\r\nX-Up: u\r\n\r\n`);
  await eventually(() => rig.listeners.connectionCount === 1, "connection");
  gate.resolve();
  assert.match(await answer, /^HTTP\/1\.1 200 /);
  assert.deepEqual(seen, ["request x-up", "response x-down"]);
});

test("an upstream that takes nothing holds the downstream back, whatever filters stop and resume", async () => {
  await using upstream = await startUpstream((socket) => void socket.pause());
  let taken = 0;
  const slow: HttpFilter = {
    onRequestData(context, data) {
      taken += data.length;
      context.after(1, () => context.resume());
      return "stop";
    },
  };
  await using rig = await rigWith(upstream.port, modulesOf({ "slow.ts": always(slow) }), [["slow.ts", {}]]);
  const client = connect({ port: rig.port, host: "127.0.0.1" });
  client.on("error", () => undefined);
  const bytes = 64 * 1024 * 1024;
  client.write(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${bytes}\r\n\r\n`);
  client.write(Buffer.alloc(bytes));
  await eventually(() => taken > 0, "first bytes");
  // Until nothing moves any more.
  for (let before = 0, still = 0; still < 20;) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    still = taken === before ? still + 1 : 0;
    before = taken;
  }
  assert.ok(taken < bytes / 2, `${taken} bytes were taken`);
  client.destroy();
});

test("readModule() refuses files outside the filter folder", () => {
  for (const module of ["../x.ts", "/etc/../x.ts", "/etc/x.ts", "x.sh", "a/../../x.ts", "http:x.ts"])
    assert.throws(() => readModule(new Reader({ module }, "filter")), /filter\.module/);
  assert.deepEqual(readModule(new Reader({ module: "a/x.ts", config: { b: 1 } }, "f")), {
    module: "a/x.ts",
    config: { b: 1 },
  });
});

test("A module that cannot be watched is loaded once, and costs no process when it is not there", async () => {
  await using upstream = await startAnswering(ok("body"));
  const watch = (): never => {
    throw new Error("ENOENT: nothing to watch");
  };
  const load = async (url: string): Promise<unknown> => {
    if (url.endsWith("/no/x.ts")) throw new Error("ERR_MODULE_NOT_FOUND");
    return { default: always({}) };
  };
  const modules = new FilterModules({ folder: "/filters", log: silentLogger, load, watch });
  await using rig = await rigWith(upstream.port, modules, [["no/x.ts", {}]]);
  assert.match(await raw(rig.port, getClose), /^HTTP\/1\.1 500 /);
  await using other = await rigWith(upstream.port, modules, [["yes/x.ts", {}]]);
  assert.match(await raw(other.port, getClose), /^HTTP\/1\.1 200 /);
});

test("The example filters add headers, check keys and redact card numbers", async () => {
  const folder = resolve(import.meta.dirname, "../../../examples/filters");
  const modules = new FilterModules({ folder, log: silentLogger });
  await using upstream = await startAnswering(ok("pay 4111111111111111 or 12345", "application/json"));
  await using rig = await rigWith(upstream.port, modules, [
    ["api-key.ts", { keys: { s3cret: "alice" } }],
    ["add-header.ts", { request: { "x-team": "shop" }, response: { "x-served-by": "wherry" } }],
    ["redact.ts", {}],
  ]);
  assert.match(await raw(rig.port, getClose), /^HTTP\/1\.1 401 /);
  const answer = await raw(rig.port, getClose.replace("Host: a", "Host: a\r\nX-Api-Key: s3cret"));
  assert.match(answer, /x-served-by: wherry\r\n/);
  assert.match(answer.replace(/\r\n[\da-f]+\r\n/g, ""), /pay \[card\] or 12345/);
  assert.match(upstream.received[0]!, /x-user: alice\r\nx-team: shop\r\n/);
  assert.doesNotMatch(upstream.received[0]!, /s3cret/);
});

test("A request that a filter lets go on later goes out on a connection that is used again, too", async () => {
  await using upstream = await startUpstream((socket) => {
    socket.on(
      "data",
      (chunk: Buffer) => /(hello|\r\n0\r\n\r\n)$/.test(chunk.toString("latin1")) && socket.write(ok("body")),
    );
  });
  const late = always({
    onRequestHeaders(context) {
      setImmediate(() => context.resume());
      return "stop";
    },
  });
  await using rig = await rigWith(upstream.port, modulesOf({ late }), [["late", {}]]);
  const client = new RawClient(rig.port);
  const post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
  client.send(post);
  await eventually(() => client.text.split("body").length === 2, "the first answer");
  client.send(post);
  await eventually(() => client.text.split("body").length === 3, "the second answer");
  assert.equal(upstream.received.length, 1);
  client.close();
});
