import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, it } from "node:test";
import fc from "fast-check";
import {
  RawClient,
  type Rig,
  eventually,
  routesTo,
  startAnswering,
  startRig,
  startUpstream,
  staticCluster,
} from "./fixture.ts";
import { StartQueue, type Starter, startsMax } from "./start-queue.ts";

/** A queue whose turns are taken by hand. */
class Turns {
  readonly queue: StartQueue;
  readonly begun: number[] = [];
  #due: (() => void)[] = [];

  constructor() {
    this.queue = new StartQueue((callback) => void this.#due.push(callback));
  }

  /** How many turns were asked for and not taken. */
  get dueCount(): number {
    return this.#due.length;
  }

  ask(name: number): void {
    const starter: Starter = { begin: () => void this.begun.push(name) };
    if (this.queue.admit(starter)) starter.begin();
  }

  take(): void {
    for (const callback of this.#due.splice(0)) callback();
  }
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, at) => at);

describe("StartQueue", () => {
  it("begins so many in a turn, the rest in the next ones, in order", () => {
    const turns = new Turns();
    for (const name of upTo(3 * startsMax - 1)) turns.ask(name);
    for (const expected of [startsMax, 2 * startsMax, 3 * startsMax - 1]) {
      assert.deepEqual(turns.begun, upTo(expected));
      assert.equal(turns.dueCount, 1);
      turns.take();
    }
    assert.deepEqual(turns.begun, upTo(3 * startsMax - 1));
  });

  it("asks for no turn while there are few", () => {
    const turns = new Turns();
    for (const name of upTo(startsMax / 2 - 1)) turns.ask(name);
    assert.equal(turns.dueCount, 0);
    turns.ask(startsMax);
    assert.equal(turns.dueCount, 1);
  });

  it("begins each once, in order, within the turns that those before it need", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 200 }), { maxLength: 40 }), (arrivals) => {
        const turns = new Turns();
        let asked = 0;
        for (const count of arrivals) {
          const before = turns.begun.length;
          for (let at = 0; at < count; at++) turns.ask(asked++);
          assert.ok(turns.begun.length - before <= startsMax);
          turns.take();
        }
        for (let turn = 0; turn < Math.ceil(asked / startsMax); turn++) turns.take();
        assert.deepEqual(turns.begun, upTo(asked));
      }),
      { seed: 1, numRuns: 300 },
    );
  });

  it("tells behind those that a turn began", () => {
    const told: number[] = [];
    let turn: (() => void) | undefined;
    const begun: number[] = [];
    const queue = new StartQueue(
      (callback) => (turn = callback),
      () => void told.push(begun.length),
    );
    for (const name of upTo(startsMax + 3)) queue.admit({ begin: () => void begun.push(name) });
    turn?.();
    assert.deepEqual(told, [3]);
  });

  it("goes on behind one that throws", () => {
    const turns = new Turns();
    for (const name of upTo(startsMax)) turns.ask(name);
    const broken: Starter = {
      begin() {
        throw new Error("broken");
      },
    };
    assert.equal(turns.queue.admit(broken), false);
    for (const name of upTo(startsMax)) turns.ask(name);
    assert.throws(() => turns.take(), /broken/);
    for (let turn = 0; turn < 3; turn++) turns.take();
    assert.equal(turns.begun.length, 2 * startsMax);
  });
});

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const get = (path: number): string => `GET /${path} HTTP/1.1\r\nHost: a\r\n\r\n`;
/** More than a few turns begin. */
const crowd: number = 8 * startsMax;

/** Connected and accepted, so that what they send is read in one turn. */
async function connectAll({ port, counters }: Rig): Promise<RawClient[]> {
  const clients = upTo(crowd).map(() => new RawClient(port));
  await Promise.all(clients.map(({ socket }) => once(socket, "connect")));
  await eventually(() => counters.downstreamOpen === crowd, "accepted");
  return clients;
}

describe("DownstreamConnection", () => {
  it("answers all of a crowd that asks in one turn", async () => {
    await using upstream = await startAnswering(ok);
    await using rig = await startRig({ routes: routesTo("up"), clusters: [staticCluster("up", [upstream.port])] });
    const clients = await connectAll(rig);
    clients.forEach((client, path) => client.send(get(path)));
    await Promise.all(clients.map(async (client) => client.until("\r\n\r\nok")));
    assert.equal(rig.records.length, crowd);
    for (const client of clients) client.close();
  });

  it("reads what came in pieces, and pipelined, while it waited for its turn", async () => {
    await using upstream = await startAnswering(ok);
    await using rig = await startRig({ routes: routesTo("up"), clusters: [staticCluster("up", [upstream.port])] });
    const clients = await connectAll(rig);
    const last = clients.at(-1)!;
    clients.slice(0, -1).forEach((client, path) => client.send(get(path)));
    last.send("GET /x HTT");
    // It is read, and waits behind the others.
    await new Promise<void>((resolve) => setImmediate(resolve));
    last.send("P/1.1\r\nHost: a\r\n\r\nGET /y HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    const text = await last.over();
    assert.equal(text.split("\r\n\r\nok").length, 3);
    assert.match(upstream.received.join(""), /GET \/x .*GET \/y /s);
    for (const client of clients) client.close();
  });

  it("does not begin the request of who was reset while it waited", async () => {
    await using upstream = await startUpstream(() => undefined);
    await using rig = await startRig({ routes: routesTo("up"), clusters: [staticCluster("up", [upstream.port])] });
    const clients = await connectAll(rig);
    clients.forEach((client, path) => client.send(get(path)));
    clients.at(-1)!.socket.resetAndDestroy();
    await eventually(() => upstream.received.join("").includes(`GET /${crowd - 2} `), "the one before it");
    await eventually(() => rig.counters.downstreamOpen === crowd - 1, "close");
    assert.ok(!upstream.received.join("").includes(`GET /${crowd - 1} `));
    for (const client of clients) client.close();
  });

  it("ends the request of who ended its side while it waited", async () => {
    await using upstream = await startUpstream(() => undefined);
    await using rig = await startRig({ routes: routesTo("up"), clusters: [staticCluster("up", [upstream.port])] });
    const clients = await connectAll(rig);
    clients.forEach((client, path) => client.send(get(path)));
    clients.at(-1)!.socket.end();
    await eventually(() => rig.records.length > 0, "record");
    assert.deepEqual(
      rig.records.map(({ flag, head }) => [flag, head?.target]),
      [["DC", `/${crowd - 1}`]],
    );
    await clients.at(-1)!.over();
    for (const client of clients) client.close();
  });

  it("is not idle while it waits: a drain lets it answer", async () => {
    await using upstream = await startAnswering(ok);
    await using rig = await startRig({ routes: routesTo("up"), clusters: [staticCluster("up", [upstream.port])] });
    const clients = await connectAll(rig);
    clients.forEach((client, path) => client.send(get(path)));
    // The first turn has read them all.
    await eventually(() => upstream.received.length > 0, "first");
    const drained = rig.listeners.drain({ graceMs: 0, deadlineMs: 10_000 });
    const answered = clients.map(async (client) => {
      assert.match(await client.over(), /^HTTP\/1\.1 200 OK\r\n.*\r\n\r\nok$/s);
      client.close();
    });
    await Promise.all(answered);
    await drained;
  });
});
