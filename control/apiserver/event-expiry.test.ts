import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Event, events } from "#api/core/event.ts";
import { formatTime } from "#api/meta.ts";
import { isExpired } from "./event-expiry.ts";
import { withServer } from "./testbed.ts";

const nowMs = Date.UTC(2026, 0, 1, 12);
const hourMs = 3_600_000;

function event(name: string, times: Partial<Event> = {}, createdMs = nowMs - 2 * hourMs): Event {
  const metadata = { name, namespace: "default", creationTimestamp: formatTime(createdMs) };
  return { apiVersion: "v1", kind: "Event", metadata, involvedObject: { kind: "Pod", namespace: "default" }, ...times };
}

describe("isExpired()", () => {
  it("counts from the newest time that is not in the future", () => {
    assert.equal(isExpired(event("a"), nowMs), true);
    assert.equal(isExpired(event("a", {}, nowMs - hourMs), nowMs), false);
    assert.equal(isExpired(event("a", { lastTimestamp: formatTime(nowMs - 1000) }), nowMs), false);
    assert.equal(isExpired(event("a", { lastTimestamp: "2099-01-01T00:00:00Z" }), nowMs), true);
    assert.equal(isExpired(event("a", { lastTimestamp: null, eventTime: null }), nowMs), true);
  });
});

describe("startEventExpiry()", () => {
  it("removes events an hour after they were last written", async () => {
    await withServer(async ({ client, clock }) => {
      await client.create(events, event("old"));
      await client.create(events, event("lively"));
      await clock.advance(hourMs / 2);
      const lively = { namespace: "default", name: "lively" };
      await client.patch(events, lively, { count: 2, lastTimestamp: formatTime(clock.nowMs()) });
      await clock.advance(hourMs / 2 + 120_000);
      for (let turn = 0; turn < 10; turn += 1) await clock.advance(1);
      const { items } = await client.list(events);
      assert.deepEqual(
        items.map(({ metadata }) => metadata.name),
        ["lively"],
      );
    });
  });
});
