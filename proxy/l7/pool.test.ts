/** Requests that wait for a connection, through the whole engine. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type Server, type ServerResponse, createServer } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { after, describe, it } from "node:test";
import { ManualClock } from "#lib/clock.ts";
import { eventually, staticCluster, startRig } from "./fixture.ts";

/** An upstream that holds each request until it is told to answer. */
class HoldingServer {
  readonly sockets: Set<Socket> = new Set();
  readonly #server: Server;
  readonly #held: ServerResponse[] = [];
  #wake: () => void = () => undefined;

  constructor() {
    this.#server = createServer((_request, response) => {
      this.#held.push(response);
      this.#wake();
    });
    this.#server.on("connection", (socket) => this.sockets.add(socket));
  }

  async listen(): Promise<number> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    return (this.#server.address() as AddressInfo).port;
  }

  /** The next request that comes, or has come. */
  async next(): Promise<ServerResponse> {
    while (this.#held.length === 0) await new Promise<void>((resolve) => (this.#wake = resolve));
    return this.#held.shift()!;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

const servers: HoldingServer[] = [];
after(() => servers.forEach((server) => server.close()));

async function holding(): Promise<{ server: HoldingServer; port: number }> {
  const server = new HoldingServer();
  servers.push(server);
  return { server, port: await server.listen() };
}

const routes = {
  name: "routes",
  virtual_hosts: [{ name: "all", domains: ["*"], routes: [{ match: { prefix: "/" }, route: { cluster: "c" } }] }],
} as const;

const limited = (ports: readonly number[], thresholds: object): ReturnType<typeof staticCluster> => ({
  ...staticCluster("c", ports),
  circuit_breakers: { thresholds: [thresholds] },
});

const get = async (port: number, signal?: AbortSignal): Promise<number> =>
  (await fetch(`http://127.0.0.1:${port}/`, signal === undefined ? {} : { signal })).status;

describe("max_connections", () => {
  it("lets requests wait for the connection, in order, and all are answered", async () => {
    const { server, port } = await holding();
    await using rig = await startRig({ routes, clusters: [limited([port], { max_connections: 1 })] });
    const answers = Array.from({ length: 5 }, async () => get(rig.port));
    for (const _ of answers) (await server.next()).end("x");
    assert.deepEqual(await Promise.all(answers), [200, 200, 200, 200, 200]);
    assert.equal(server.sockets.size, 1);
    assert.equal(rig.counters.upstreamOverflows, 0);
  });

  it("makes room for who waits elsewhere", async () => {
    const [one, two] = [await holding(), await holding()];
    await using rig = await startRig({ routes, clusters: [limited([one.port, two.port], { max_connections: 2 })] });
    // In turn: the first and the third at `one`, the second at `two`.
    const first = get(rig.port);
    const held = await one.server.next();
    const second = get(rig.port);
    const other = await two.server.next();
    const third = get(rig.port);
    await eventually(() => rig.cluster("c").limits.default.used.pending === 1, "the third waits");
    other.end("x");
    (await one.server.next()).end("x");
    assert.deepEqual(await Promise.all([second, third]), [200, 200]);
    held.end("x");
    assert.equal(await first, 200);
  });

  it("lets each endpoint have one, however many the others have", async () => {
    const [one, two] = [await holding(), await holding()];
    await using rig = await startRig({ routes, clusters: [limited([one.port, two.port], { max_connections: 1 })] });
    const first = get(rig.port);
    (await one.server.next()).end("x");
    assert.equal(await first, 200);
    const second = get(rig.port);
    (await two.server.next()).end("x");
    assert.equal(await second, 200);
    const [third, fourth] = [get(rig.port), get(rig.port)];
    const held = await one.server.next();
    (await two.server.next()).end("x");
    held.end("x");
    assert.deepEqual(await Promise.all([third, fourth]), [200, 200]);
    // Neither was closed for the other.
    assert.equal(rig.cluster("c").connectionTotal, 2);
  });

  it("makes another for who waits behind one that breaks, however many the others have", async () => {
    const [one, two] = [await holding(), await holding()];
    await using rig = await startRig({ routes, clusters: [limited([one.port, two.port], { max_connections: 1 })] });
    const first = get(rig.port);
    const broken = await one.server.next();
    const second = get(rig.port);
    const held = await two.server.next();
    const third = get(rig.port);
    await eventually(() => rig.cluster("c").limits.default.used.pending === 1, "the third waits");
    broken.socket?.destroy();
    (await one.server.next()).end("x");
    assert.deepEqual(await Promise.all([first, third]), [503, 200]);
    held.end("x");
    assert.equal(await second, 200);
  });

  it("forgets who gave up waiting", async () => {
    const { server, port } = await holding();
    await using rig = await startRig({ routes, clusters: [limited([port], { max_connections: 1 })] });
    const first = get(rig.port);
    const held = await server.next();
    const given = new AbortController();
    const second = get(rig.port, given.signal);
    const gone = assert.rejects(second);
    given.abort();
    await gone;
    held.end("x");
    assert.equal(await first, 200);
    const third = get(rig.port);
    (await server.next()).end("x");
    assert.equal(await third, 200);
    assert.equal(server.sockets.size, 1);
  });
});

describe("max_pending_requests", () => {
  it("answers 503 UO beyond", async () => {
    const { server, port } = await holding();
    const thresholds = { max_connections: 1, max_pending_requests: 1 };
    await using rig = await startRig({ routes, clusters: [limited([port], thresholds)] });
    const first = get(rig.port);
    const held = await server.next();
    const rest = [get(rig.port), get(rig.port)];
    assert.equal(await Promise.race(rest), 503);
    assert.equal(rig.records.at(-1)?.flag, "UO");
    held.end("x");
    (await server.next()).end("x");
    assert.equal(await first, 200);
    assert.deepEqual(new Set(await Promise.all(rest)), new Set([200, 503]));
  });
});

describe("idle_timeout", () => {
  it("never closes a connection when it is zero", async () => {
    const { server, port } = await holding();
    const clock = new ManualClock();
    const cluster = { ...staticCluster("c", [port]), common_http_protocol_options: { idle_timeout: "0s" } };
    await using rig = await startRig({ clock, routes, clusters: [cluster] });
    for (const idleMs of [0, 1_800_000]) {
      await clock.advance(idleMs);
      const answer = get(rig.port);
      (await server.next()).end("x");
      assert.equal(await answer, 200);
    }
    assert.equal(rig.cluster("c").connectionTotal, 1);
  });
});
