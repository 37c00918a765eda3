/** POST /drain_listeners: which listeners stop, and when, and what other processes are told. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ManualClock } from "#lib/clock.ts";
import { drainURL } from "../admin/pages.ts";
import { ListenerDrain } from "./listener-drain.ts";

const now = { isGraceful: false, inboundOnly: false, skipsExit: false };
const graceful = { ...now, isGraceful: true };

function setUp(): { clock: ManualClock; done: string[]; drain: ListenerDrain; stopped: () => string } {
  const clock = new ManualClock();
  const done: string[] = [];
  const drain = new ListenerDrain({
    clock,
    drainMs: 1000,
    endKeepAlive: (directions) => void done.push(`end keep-alive of ${directions.join()}`),
    onStop: (directions) => void done.push(`stop ${directions.join()}`),
    tell: (request) => void done.push(drainURL(request)),
  });
  const stopped = (): string => (["inbound", "outbound"] as const).filter((one) => drain.stops(one)).join();
  return { clock, done, drain, stopped };
}

describe("ListenerDrain", () => {
  it("stops at once", () => {
    const { done, drain, stopped } = setUp();
    drain.begin(now);
    assert.equal(stopped(), "inbound,outbound");
    assert.deepEqual(done, ["stop inbound,outbound", "/drain_listeners?", "end keep-alive of inbound,outbound"]);
  });

  it("stops inbound listeners alone", () => {
    const { drain, stopped } = setUp();
    drain.begin({ ...now, inboundOnly: true });
    assert.equal(stopped(), "inbound");
    drain.begin(now);
    assert.equal(stopped(), "inbound,outbound");
  });

  it("takes connections until the time of a graceful drain is over, and says to others when it is", async () => {
    const { clock, done, drain, stopped } = setUp();
    drain.begin(graceful);
    await clock.advance(999);
    assert.equal(stopped(), "");
    drain.begin(graceful);
    drain.begin({ ...graceful, inboundOnly: true });
    await clock.advance(1);
    assert.equal(stopped(), "inbound,outbound");
    const told = "/drain_listeners?graceful&skip_exit";
    assert.deepEqual(done, [told, "end keep-alive of inbound,outbound", "stop inbound,outbound", "/drain_listeners?"]);
  });

  it("drains all after inbound ones alone", async () => {
    const { clock, drain, stopped } = setUp();
    drain.begin({ ...graceful, inboundOnly: true });
    await clock.advance(500);
    drain.begin(graceful);
    await clock.advance(500);
    assert.equal(stopped(), "inbound");
    await clock.advance(500);
    assert.equal(stopped(), "inbound,outbound");
  });

  it("stops nothing where that is skipped", async () => {
    const { clock, drain, stopped } = setUp();
    drain.begin({ ...graceful, skipsExit: true });
    await clock.advance(5000);
    assert.equal(stopped(), "");
  });

  it("says what brings another process to where it is", async () => {
    const { clock, drain, stopped } = setUp();
    assert.deepEqual(drain.standing, []);
    drain.begin({ ...graceful, inboundOnly: true });
    assert.deepEqual(drain.standing.map(drainURL), ["/drain_listeners?graceful&inboundonly&skip_exit"]);
    await clock.advance(1000);
    drain.begin(graceful);
    const other = setUp();
    for (const request of drain.standing) other.drain.begin(request);
    assert.equal(other.stopped(), stopped());
    assert.equal(stopped(), "inbound");
  });
});
