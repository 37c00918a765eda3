/** Writing statuses: once each, the newest last, and again when a write fails. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FakeKubeClient } from "#api/client/fake.ts";
import { type Pod, type PodStatus, pods } from "#api/core/pod.ts";
import { ManualClock } from "#lib/clock.ts";
import { silentLogger } from "#lib/log.ts";
import { StatusWriter } from "./status-writer.ts";

const key = { namespace: "shop", name: "web" };
const running: PodStatus = { phase: "Running" };

async function bench(): Promise<{ client: FakeKubeClient; clock: ManualClock; writer: StatusWriter; pod: Pod }> {
  const clock = new ManualClock();
  const client = new FakeKubeClient();
  const pod = await client.create(pods, { apiVersion: "v1", kind: "Pod", metadata: key, spec: { containers: [] } });
  return { client, clock, writer: new StatusWriter(client, clock, silentLogger), pod };
}

const writesOf = (client: FakeKubeClient): number =>
  client.trace.filter((line) => line.includes("patch") && line.includes("pods")).length;

describe("StatusWriter", () => {
  it("writes a status once, however often it is wanted", async () => {
    const { client, clock, writer, pod } = await bench();
    writer.want(pod, () => running);
    writer.want(pod, () => ({ ...running }));
    await clock.advance(10);
    writer.want(pod, () => ({ ...running }));
    await clock.advance(10);
    assert.equal(writesOf(client), 1);
    assert.equal((await client.get(pods, key)).status?.phase, "Running");
  });

  it("tries again with the newest when a write fails", async () => {
    const { client, clock, writer, pod } = await bench();
    client.failNext(new Error("away"));
    writer.want(pod, () => ({ phase: "Pending" }));
    await clock.advance(10);
    writer.want(pod, () => running);
    await clock.advance(1000);
    assert.equal((await client.get(pods, key)).status?.phase, "Running");
    assert.equal(writesOf(client), 2);
  });

  it("gives a new pod of the same name nothing of the old one's", async () => {
    const { client, clock, writer, pod } = await bench();
    await client.delete(pods, key, { gracePeriodSeconds: 0 });
    await client.create(pods, { apiVersion: "v1", kind: "Pod", metadata: key, spec: { containers: [] } });
    writer.want(pod, () => running);
    await clock.advance(100);
    writer.forget(pod.metadata.uid ?? "");
    await clock.advance(5000);
    assert.equal((await client.get(pods, key)).status?.phase, undefined);
  });

  it("lets a pod go that is gone", async () => {
    const { client, clock, writer, pod } = await bench();
    await client.delete(pods, key, { gracePeriodSeconds: 0 });
    writer.want(pod, () => running);
    await clock.advance(5000);
    assert.equal(writesOf(client), 1);
  });

  it("loses no condition that another has written and the watch has not told of yet", async () => {
    const { client, clock, writer, pod } = await bench();
    const gate = { type: "shop.example/gate", status: "True" as const };
    const ready = { type: "Ready", status: "True" as const };
    const statusOf = ({ status }: Pod): PodStatus => {
      const others = (status?.conditions ?? []).filter(({ type }) => type !== "Ready");
      return { ...running, conditions: [...others, ready] };
    };
    await client.patchStatus(pods, key, { status: { conditions: [gate] } });
    writer.want(pod, statusOf);
    await clock.advance(10);
    assert.deepEqual((await client.get(pods, key)).status?.conditions, [gate, ready]);
    // What is known of it by its own write is no older than what the watch tells.
    writer.want(pod, statusOf);
    await clock.advance(10);
    assert.equal(writesOf(client), 3);
  });
});
