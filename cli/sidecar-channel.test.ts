/** The first process's end of the channel: late answers, lost ones, and ones to several questions at once. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ManualClock } from "#lib/clock.ts";
import { createLogger, silentLogger } from "#lib/log.ts";
import type { AllStats } from "../sidecar/admin/stats-page.ts";
import { type Child, SiblingChannel, SiblingChannels } from "./sidecar-channel.ts";

/** A child that answers when it is told to. */
class FakeChild implements Child {
  connected = true;
  readonly pid: number = 7;
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
    const stats = [
      { name: "requests", kind: "counter", value },
      { name: "connections", kind: "gauge", value },
    ];
    this.say({ answer: number, stats: { stats, histograms: [] } });
  }
}

function setUp(): { child: FakeChild; clock: ManualClock; ask: () => Promise<number | undefined> } {
  const child = new FakeChild();
  const clock = new ManualClock();
  const channel = new SiblingChannel(child, { clock, log: silentLogger });
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
    const channel = new SiblingChannel(child, { clock: new ManualClock(), log: silentLogger });
    channel.begin(["/logging?level=debug"]);
    const both = [channel.stats(), channel.stats()];
    child.say({ answer: 1 });
    channel.close();
    assert.deepEqual(await Promise.all(both), [undefined, undefined]);
    assert.deepEqual(child.sent[0], { standing: ["/logging?level=debug"] });
  });

  it("asks and tells nothing where the channel is closed", async () => {
    const child = new FakeChild();
    const channel = new SiblingChannel(child, { clock: new ManualClock(), log: silentLogger });
    channel.change("/drain_listeners");
    child.connected = false;
    channel.change("/healthcheck/fail");
    assert.equal(await channel.stats(), undefined);
    assert.deepEqual(child.sent, [{ change: "/drain_listeners" }]);
  });
});

describe("SiblingChannels", () => {
  function start(): { children: FakeChild[]; clock: ManualClock; lines: string[]; channels: SiblingChannels } {
    const clock = new ManualClock();
    const lines: string[] = [];
    const log = createLogger("test", "info", (line) => void lines.push(line));
    return {
      children: [new FakeChild(), new FakeChild()],
      clock,
      lines,
      channels: new SiblingChannels({ clock, log }),
    };
  }

  /** Requests and connections by what all processes say. */
  const sums = async (asked: Promise<readonly AllStats[]>): Promise<readonly number[]> => {
    const stats = (await asked).flatMap((one) => one.stats);
    const of = (name: string): number =>
      stats.filter((one) => one.name === name).reduce((sum, { value }) => sum + value, 0);
    return [of("requests"), of("connections")];
  };

  it("keeps what a process that ended told last, but for its gauges", async () => {
    const { children, channels } = start();
    const [first, second] = children.map((child) => channels.open(child));
    const asked = sums(channels.stats());
    children[0]!.answer(1, 10);
    children[1]!.answer(1, 5);
    assert.deepEqual(await asked, [15, 15]);
    channels.close(first!);
    const again = sums(channels.stats());
    children[1]!.answer(2, 6);
    assert.deepEqual(await again, [16, 6]);
    channels.close(second!);
    assert.deepEqual(await sums(channels.stats()), [16, 0]);
  });

  it("counts a process once that ends while others are waited for", async () => {
    const { children, channels } = start();
    const [first] = children.map((child) => channels.open(child));
    const asked = sums(channels.stats());
    children[0]!.answer(1, 10);
    await Promise.resolve();
    channels.close(first!);
    children[1]!.answer(1, 5);
    assert.deepEqual(await asked, [15, 5]);
  });

  it("takes what a process told last while it does not answer, and says so in the log", async () => {
    const { children, clock, lines, channels } = start();
    const [child] = children;
    channels.open(child!);
    const asked = sums(channels.stats());
    child!.answer(1, 10);
    await asked;
    const hanging = sums(channels.stats());
    await clock.advance(5000);
    assert.deepEqual(await hanging, [10, 0]);
    const [line = "", ...more] = lines;
    assert.match(line, /"level":"warn".*"message":"Another process does not answer: .*"pid":7/);
    assert.deepEqual(more, []);
    // What it says in the end is newer, if late.
    child!.answer(2, 12);
    const still = sums(channels.stats());
    await clock.advance(5000);
    assert.deepEqual(await still, [12, 0]);
  });

  it("forgets what was told before a reset, be it told behind it", async () => {
    const { children, clock, channels } = start();
    const [first, second] = children.map((child) => channels.open(child));
    const asked = sums(channels.stats());
    for (const child of children) child.answer(1, 10);
    await asked;
    channels.close(first!);
    const hanging = sums(channels.stats());
    await clock.advance(5000);
    assert.deepEqual(await hanging, [20, 0]);
    channels.change("/reset_counters?");
    assert.deepEqual(children[1]!.sent.at(-1), { change: "/reset_counters?" });
    children[1]!.answer(2, 11);
    channels.close(second!);
    assert.deepEqual(await sums(channels.stats()), [0, 0]);
  });
});
