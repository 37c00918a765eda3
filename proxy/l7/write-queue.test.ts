import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { RawClient, routesTo, startRig, startUpstream, staticCluster } from "./fixture.ts";
import { WriteQueue } from "./write-queue.ts";

/** A queue whose turns are ended by hand. */
class Turns {
  readonly queue: WriteQueue;
  readonly written: string[] = [];
  #due: (() => void)[] = [];

  constructor() {
    this.queue = new WriteQueue((callback) => void this.#due.push(callback));
  }

  /** How many ends were asked for and have not come. */
  get dueCount(): number {
    return this.#due.length;
  }

  add(...names: readonly string[]): void {
    for (const name of names) this.queue.add({ endTurn: () => void this.written.push(name) });
  }

  end(): void {
    for (const callback of this.#due.splice(0)) callback();
  }
}

describe("WriteQueue", () => {
  it("writes in order, once, at the end of the turn", () => {
    const turns = new Turns();
    turns.add("a", "b", "c");
    assert.deepEqual(turns.written, []);
    assert.equal(turns.dueCount, 1);
    turns.end();
    assert.deepEqual(turns.written, ["a", "b", "c"]);
    turns.end();
    turns.add("d");
    turns.end();
    assert.deepEqual(turns.written, ["a", "b", "c", "d"]);
  });

  it("writes before the end of the turn where it is told to", () => {
    const turns = new Turns();
    turns.add("a");
    turns.queue.flush();
    turns.add("b");
    assert.deepEqual(turns.written, ["a"]);
    turns.end();
    assert.deepEqual(turns.written, ["a", "b"]);
    assert.equal(turns.dueCount, 0);
  });

  it("writes what is added while it writes", () => {
    const turns = new Turns();
    turns.queue.add({ endTurn: () => turns.add("late") });
    turns.end();
    turns.end();
    assert.deepEqual(turns.written, ["late"]);
  });

  it("goes on in the next turn behind one that throws", () => {
    const turns = new Turns();
    const broken = {
      endTurn() {
        throw new Error("broken");
      },
    };
    turns.add("a");
    turns.queue.add(broken);
    turns.add("b");
    assert.throws(() => turns.end(), /broken/);
    assert.deepEqual(turns.written, ["a"]);
    turns.end();
    assert.deepEqual(turns.written, ["a", "b"]);
  });
});

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

describe("DownstreamConnection", () => {
  it("delivers the answer that came in the turn in which the downstream ended its side", async () => {
    let client: RawClient | undefined;
    await using upstream = await startUpstream((socket) => {
      socket.on("data", () => {
        socket.write(ok);
        client?.socket.end();
      });
    });
    await using rig = await startRig({ routes: routesTo("up"), clusters: [staticCluster("up", [upstream.port])] });
    for (let round = 0; round < 20; round++) {
      client = new RawClient(rig.port);
      client.send(get);
      const text = await client.over();
      // It is the upstream's answer, whole, or the request was given up: nothing in between.
      assert.ok(text === "" || /^HTTP\/1\.1 200 OK\r\n.*\r\n\r\nok$/s.test(text), text);
      assert.equal(text === "", rig.records[round]?.flag === "DC");
      client.close();
    }
    assert.ok(rig.records.some(({ flag }) => flag === "-"));
  });
});
