/** The first process's end of the channel: late answers, lost ones, and ones to several questions at once. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ManualClock } from "#lib/clock.ts";
import { Changes, type Child, SiblingChannel } from "./sidecar-channel.ts";

/** A child that answers when it is told to. */
class FakeChild implements Child {
  connected = true;
  readonly sent: unknown[] = [];
  #listener: (message: unknown) => void = () => undefined;

  send(message: unknown, done: (error: Error | null) => void): void {
    this.sent.push(message);
    done(null);
  }

  on(_event: "message", listener: (message: unknown) => void): void {
    this.#listener = listener;
  }

  answer(number: number, value: number): void {
    this.#listener({ answer: number, stats: { stats: [{ name: "requests", value }], histograms: [] } });
  }
}

function setUp(): { child: FakeChild; clock: ManualClock; ask: () => Promise<number | undefined> } {
  const child = new FakeChild();
  const clock = new ManualClock();
  const channel = new SiblingChannel(child, clock);
  return { child, clock, ask: async () => (await channel.stats())?.stats[0]?.value };
}

describe("SiblingChannel", () => {
  it("leaves out a child that does not answer in time, and takes its late answer for no other question", async () => {
    const { child, clock, ask } = setUp();
    const first = ask();
    clock.advance(5000);
    assert.equal(await first, undefined);
    child.answer(1, 10);
    const second = ask();
    child.answer(1, 11);
    child.answer(2, 12);
    assert.equal(await second, 12);
    assert.deepEqual(child.sent, [{ ask: 1 }, { ask: 2 }]);
  });

  it("tells answers to several questions at once apart", async () => {
    const { child, ask } = setUp();
    const both = Promise.all([ask(), ask()]);
    child.answer(2, 20);
    child.answer(1, 10);
    assert.deepEqual(await both, [10, 20]);
  });

  it("asks and tells nothing where the channel is closed", async () => {
    const child = new FakeChild();
    const channel = new SiblingChannel(child, new ManualClock());
    channel.change("/drain_listeners");
    child.connected = false;
    channel.change("/healthcheck/fail");
    assert.equal(await channel.stats(), undefined);
    assert.deepEqual(child.sent, [{ change: "/drain_listeners" }]);
  });
});

describe("Changes", () => {
  it("keeps each once, in the order in which they were last made", () => {
    const changes = new Changes();
    for (const url of ["/healthcheck/fail?", "/healthcheck/ok?", "/healthcheck/fail?"]) changes.add(url);
    assert.deepEqual([...changes], ["/healthcheck/ok?", "/healthcheck/fail?"]);
  });

  it("forgets the oldest of too many", () => {
    const changes = new Changes();
    for (let at = 0; at < 150; at++) changes.add(`/logging?level=${at}`);
    assert.equal([...changes].length, 100);
    assert.equal([...changes][0], "/logging?level=50");
  });
});
