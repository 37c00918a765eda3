/** POST /drain_listeners: which listeners stop, and when. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ManualClock } from "#lib/clock.ts";
import { ListenerDrain } from "./listener-drain.ts";

function setUp(): { clock: ManualClock; drained: unknown[]; drain: ListenerDrain; stopped: () => string } {
  const clock = new ManualClock();
  const drained: unknown[] = [];
  const drain = new ListenerDrain({
    clock,
    drainMs: 1000,
    drain: async (...args) => void drained.push(args),
    onStop: () => void drained.push("stop"),
  });
  const stopped = (): string => (["inbound", "outbound"] as const).filter((direction) => drain.stops(direction)).join();
  return { clock, drained, drain, stopped };
}

describe("ListenerDrain", () => {
  it("stops at once", () => {
    const { drained, drain, stopped } = setUp();
    drain.begin({ isGraceful: false, inboundOnly: false });
    assert.equal(stopped(), "inbound,outbound");
    assert.deepEqual(drained, ["stop", [1000, false]]);
  });

  it("stops inbound listeners alone", () => {
    const { drain, stopped } = setUp();
    drain.begin({ isGraceful: false, inboundOnly: true });
    assert.equal(stopped(), "inbound");
    drain.begin({ isGraceful: false, inboundOnly: false });
    assert.equal(stopped(), "inbound,outbound");
  });

  it("takes connections until the time of a graceful drain is over", async () => {
    const { clock, drained, drain, stopped } = setUp();
    drain.begin({ isGraceful: true, inboundOnly: false });
    await clock.advance(999);
    assert.equal(stopped(), "");
    drain.begin({ isGraceful: true, inboundOnly: false });
    await clock.advance(1);
    assert.equal(stopped(), "inbound,outbound");
    assert.deepEqual(drained, [[1000, false], "stop"]);
  });
});
