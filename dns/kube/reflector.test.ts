/** A watch whose server is gone without a word, against an API server of the test's own. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import test from "node:test";
import { ManualClock } from "#lib/clock.ts";
import { silentLogger } from "#lib/log.ts";
import { seededRandom } from "#lib/random.ts";
import { APIReader, Reflector } from "./reflector.ts";

interface Asked {
  readonly query: URLSearchParams;
  readonly response: ServerResponse;
  readonly port: number | undefined;
}

const object = (name: string, resourceVersion: string): unknown => ({
  metadata: { namespace: "a", name, resourceVersion },
});

test("Reflector goes on from where a silent watch was, over another connection, without a list", async (t) => {
  const asked: Asked[] = [];
  let arrived = (): void => undefined;
  const server = createServer((request, response) => {
    const query = new URL(request.url ?? "/", "http://api").searchParams;
    if (query.get("watch") === "true") response.flushHeaders();
    else response.end(JSON.stringify({ metadata: { resourceVersion: "4" }, items: [object("one", "3")] }));
    asked.push({ query, response, port: request.socket.remotePort });
    arrived();
  }).listen({ port: 0, host: "127.0.0.1" });
  await once(server, "listening");
  const bound = server.address();
  const port = typeof bound === "object" && bound !== null ? bound.port : 0;
  const stop = new AbortController();
  const reader = new APIReader({ server: `http://127.0.0.1:${port}` });
  t.after(async () => {
    stop.abort();
    await reader.close();
    server.closeAllConnections();
    server.close();
  });
  const clock = new ManualClock();
  const set: string[] = [];
  let told = (): void => undefined;
  const reflector = new Reflector<true>({
    reader,
    path: "/api/v1/services",
    labelSelector: "",
    slim: () => true,
    onSet: (key) => {
      set.push(key);
      told();
    },
    onDelete: () => undefined,
    clock,
    random: { ...seededRandom(1), next: () => 0.999 },
    log: silentLogger,
  });
  const request = async (at: number): Promise<Asked> => {
    while (asked.length <= at) await new Promise<void>((resolve) => (arrived = resolve));
    const found = asked[at];
    assert.ok(found);
    return found;
  };
  const tell = async ({ response }: Asked, line: unknown): Promise<void> => {
    const whole = new Promise<void>((resolve) => (told = resolve));
    response.write(`${JSON.stringify(line)}\n`);
    await whole;
  };
  void reflector.run(stop.signal);
  const first = await request(1);
  assert.deepEqual([first.query.get("resourceVersion"), first.query.get("timeoutSeconds")], ["4", "599"]);
  // A bookmark counts as a change does; the change behind it says that it was read.
  first.response.write(`${JSON.stringify({ type: "BOOKMARK", object: object("", "8") })}\n`);
  await tell(first, { type: "ADDED", object: object("two", "9") });
  first.response.write(`${JSON.stringify({ type: "BOOKMARK", object: object("", "12") })}\n`);
  clock.advance(599_000 + 29_999);
  await tell(first, { type: "ADDED", object: { metadata: { namespace: "a", name: "three" } } });
  assert.equal(asked.length, 2);
  clock.advance(1);
  const second = await request(2);
  assert.deepEqual([second.query.get("watch"), second.query.get("resourceVersion")], ["true", "12"]);
  assert.notEqual(second.port, first.port);
  await tell(second, { type: "MODIFIED", object: object("one", "13") });
  assert.deepEqual(set, ["a/one", "a/two", "a/three", "a/one"]);
});

test("Reflector lists again when the server no longer has the version", async (t) => {
  let lists = 0;
  const listed = new AbortController();
  const server = createServer((request, response) => {
    const isWatch = new URL(request.url ?? "/", "http://api").searchParams.has("watch");
    const gone = { type: "ERROR", object: { metadata: {}, message: "too old resource version" } };
    if (isWatch) return void response.end(`${JSON.stringify(gone)}\n`);
    if (++lists === 2) listed.abort();
    response.end(JSON.stringify({ metadata: { resourceVersion: "4" }, items: [] }));
  }).listen({ port: 0, host: "127.0.0.1" });
  await once(server, "listening");
  const bound = server.address();
  const port = typeof bound === "object" && bound !== null ? bound.port : 0;
  const stop = new AbortController();
  const reader = new APIReader({ server: `http://127.0.0.1:${port}` });
  t.after(async () => {
    stop.abort();
    await reader.close();
    server.closeAllConnections();
    server.close();
  });
  const clock = new ManualClock();
  const warned: string[] = [];
  const reflector = new Reflector<true>({
    reader,
    path: "/api/v1/services",
    labelSelector: "",
    slim: () => true,
    onSet: () => undefined,
    onDelete: () => undefined,
    clock,
    random: seededRandom(1),
    log: { ...silentLogger, warn: (_, fields) => void warned.push(String(fields?.["error"])) },
  });
  void reflector.run(stop.signal);
  while (!listed.signal.aborted) {
    await new Promise((resolve) => setImmediate(resolve));
    clock.advance(100);
  }
  assert.deepEqual(warned.slice(0, 1), ["too old resource version"]);
});
