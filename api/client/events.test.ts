/** What happens to an object is told once, counted when it repeats, and never in the way. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { events } from "#api/core/event.ts";
import type { KubeObject } from "#api/meta.ts";
import { ManualClock } from "#lib/clock.ts";
import { silentLogger as log } from "#lib/log.ts";
import { ApiEventRecorder, referenceTo } from "./events.ts";
import { FakeKubeClient } from "./fake.ts";

const pod: KubeObject = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { namespace: "shop", name: "web", uid: "u1", resourceVersion: "7" },
};
const part = { object: pod, fieldPath: "spec.containers{web}" };
const node: KubeObject = { apiVersion: "v1", kind: "Node", metadata: { name: "node1", uid: "n1" } };

function benchOf(): { client: FakeKubeClient; clock: ManualClock; recorder: ApiEventRecorder } {
  const client = new FakeKubeClient();
  const clock = new ManualClock();
  return { client, clock, recorder: new ApiEventRecorder({ client, clock, log, component: "kubelet", host: "node1" }) };
}

describe("record()", () => {
  it("writes an Event beside its object, with who said it and when", async () => {
    const { client, clock, recorder } = benchOf();
    recorder.record(part, "Normal", "Started", "Container started");
    await clock.advance(0);
    const [event] = (await client.list(events, { namespace: "shop" })).items;
    assert.deepEqual(event?.involvedObject, { ...referenceTo(pod), fieldPath: "spec.containers{web}" });
    assert.deepEqual(
      [event?.type, event?.reason, event?.message, event?.count, event?.source, event?.firstTimestamp],
      ["Normal", "Started", "Container started", 1, { component: "kubelet", host: "node1" }, "2026-01-01T00:00:00Z"],
    );
  });

  it("puts events of cluster-scoped objects into the default namespace", async () => {
    const { client, clock, recorder } = benchOf();
    recorder.record(node, "Normal", "NodeReady", "Node node1 status is now: NodeReady");
    await clock.advance(0);
    assert.equal((await client.list(events, { namespace: "default" })).items.length, 1);
  });

  it("counts a repetition instead of writing another", async () => {
    const { client, clock, recorder } = benchOf();
    for (let second = 0; second < 3; second += 1) {
      recorder.record(pod, "Warning", "BackOff", "Back-off restarting failed container");
      await clock.advance(1000);
    }
    const { items } = await client.list(events);
    assert.deepEqual(
      items.map(({ count, firstTimestamp, lastTimestamp }) => [count, firstTimestamp, lastTimestamp]),
      [[3, "2026-01-01T00:00:00Z", "2026-01-01T00:00:02Z"]],
    );
  });

  it("tells anew what has expired", async () => {
    const { client, clock, recorder } = benchOf();
    recorder.record(pod, "Normal", "Pulled", "there");
    await clock.advance(0);
    const [first] = (await client.list(events)).items;
    assert.ok(first !== undefined);
    await client.delete(events, { namespace: "shop", name: first.metadata.name });
    recorder.record(pod, "Normal", "Pulled", "there");
    await clock.advance(0);
    assert.equal((await client.list(events)).items[0]?.count, 1);
  });

  it("drops what one object says too often, not what others say", async () => {
    const { client, clock, recorder } = benchOf();
    for (let index = 0; index < 30; index += 1) recorder.record(pod, "Normal", "Tick", `tick ${index}`);
    recorder.record(node, "Normal", "Tick", "tick");
    await clock.advance(0);
    assert.deepEqual([(await client.list(events)).items.length, recorder.dropped], [26, 5]);
    await clock.advance(300_000);
    recorder.record(pod, "Normal", "Tick", "later");
    await clock.advance(0);
    assert.equal((await client.list(events)).items.length, 27);
  });

  it("loses events, not its head, when the API server refuses", async () => {
    const { client, clock, recorder } = benchOf();
    client.failNext(new Error("refused"));
    recorder.record(pod, "Normal", "Lost", "lost");
    recorder.record(pod, "Normal", "Kept", "kept");
    await clock.advance(0);
    assert.deepEqual([(await client.list(events)).items.map(({ reason }) => reason), recorder.dropped], [["Kept"], 1]);
  });
});
