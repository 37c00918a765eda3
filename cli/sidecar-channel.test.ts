/** The first process's end of the channel: late answers, lost ones, and ones to several questions at once. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ManualClock } from "#lib/clock.ts";
import { type Child, SiblingChannel } from "./sidecar-channel.ts";

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

  say(message: unknown): void {
    this.#listener(message);
  }

  answer(number: number, value: number): void {
    this.say({ answer: number, stats: { stats: [{ name: "requests", value }], histograms: [] } });
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

  it("waits no longer for a child that is gone, and leaves out one that does not serve yet", async () => {
    const child = new FakeChild();
    const channel = new SiblingChannel(child, new ManualClock());
    channel.begin(["/logging?level=debug"]);
    const both = [channel.stats(), channel.stats()];
    child.say({ answer: 1 });
    channel.close();
    assert.deepEqual(await Promise.all(both), [undefined, undefined]);
    assert.deepEqual(child.sent[0], { standing: ["/logging?level=debug"] });
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
