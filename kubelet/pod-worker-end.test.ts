/** A pod on its node: how it ends, and how a kubelet's successor takes it over. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Bench, podOf, running, web } from "./pod-worker-fixture.ts";

describe("PodWorker deletion", () => {
  it("drains, sends TERM, then KILL at the end of the grace period, and removes the sidecar last", async () => {
    const bench = await running({}, true);
    bench.runtime.stubborn.add("web");
    const from = bench.trace.length;
    bench.delete(30);
    await bench.clock.advance(1400);
    assert.deepEqual(bench.trace.slice(from), []);
    assert.ok(bench.ready, "it serves while it drains");
    await bench.clock.advance(200);
    assert.deepEqual(bench.trace.slice(from), ["SIGTERM web#0"]);
    assert.ok(!bench.ready);
    await bench.clock.advance(29_800);
    assert.deepEqual(bench.trace.slice(from), ["SIGTERM web#0"]);
    await bench.clock.advance(200);
    assert.deepEqual(bench.trace.slice(from + 1), [
      "SIGKILL web#0",
      "exit web#0 137",
      "sidecar removed",
      "network removed",
      "forget web#0",
    ]);
    assert.ok(bench.gone);
    assert.deepEqual(bench.dirs.records(), []);
  });

  it("ends a pod whose program heeds TERM without waiting for the grace period", async () => {
    const bench = await running();
    bench.delete(30);
    await bench.clock.advance(1600);
    assert.ok(bench.gone);
  });

  it("does not restart a container that ends by the deletion", async () => {
    const bench = await running();
    bench.delete(30);
    bench.runtime.exit("u1", "web", 0);
    await bench.clock.advance(2000);
    assert.ok(!bench.trace.includes("start web#1"));
    assert.ok(bench.gone);
  });

  it("shortens the grace period by a second, shorter deletion, and never lengthens it", async () => {
    const bench = await running();
    bench.runtime.stubborn.add("web");
    bench.delete(30);
    await bench.clock.advance(3000);
    bench.delete(60);
    bench.delete(2);
    await bench.clock.advance(1900);
    assert.equal(bench.trace.at(-1), "SIGTERM web#0");
    await bench.clock.advance(200);
    assert.ok(bench.gone);
  });

  it("ends at once, also while it drains, when the grace period is 0", async () => {
    const bench = await running();
    bench.runtime.stubborn.add("web");
    bench.delete(30);
    await bench.clock.advance(100);
    bench.delete(0);
    await bench.clock.advance(5);
    assert.ok(bench.gone);
    assert.ok(bench.trace.includes("SIGKILL web#0"));
  });

  it("removes what it had made when it is deleted while its sandbox is being made", async () => {
    const bench = new Bench(podOf({}, true));
    bench.worker.step();
    await bench.clock.advance(10);
    bench.delete(30);
    await bench.clock.advance(100);
    assert.deepEqual(bench.trace, ["network made", "sidecar listens", "sidecar removed", "network removed"]);
    assert.ok(bench.gone);
  });

  it("waits for a container that is being started, and ends it", async () => {
    const bench = new Bench(podOf(), 500);
    bench.worker.step();
    await bench.clock.advance(100);
    bench.delete(30);
    await bench.clock.advance(100);
    assert.ok(!bench.gone);
    await bench.clock.advance(500);
    assert.deepEqual(bench.trace.slice(1), [
      "start web#0",
      "SIGKILL web#0",
      "exit web#0 137",
      "network removed",
      "forget web#0",
    ]);
  });

  it("gives up a pod that could not start", async () => {
    const bench = new Bench(podOf());
    bench.scriptErrors.push(new Error("no veth"));
    bench.worker.step();
    await bench.settle();
    bench.delete(30);
    await bench.settle();
    assert.ok(bench.gone);
  });
});

describe("PodWorker.adopt()", () => {
  it("keeps what runs: no restart, ready as before, and hears of later ends", async () => {
    const bench = await running();
    bench.pod = { ...bench.pod, status: bench.status };
    const from = bench.trace.length;
    bench.restart("kept");
    await bench.clock.advance(1000);
    assert.deepEqual(bench.trace.slice(from), []);
    assert.ok(bench.ready);
    assert.equal(bench.status.podIP, "10.244.1.2");
    bench.runtime.exit("u1", "web", 1);
    await bench.settle();
    assert.deepEqual(bench.trace.slice(from), ["exit web#0 1", "start web#1"]);
  });

  it("calls a container without readiness probe ready, also when no status said so yet", async () => {
    const bench = await running();
    assert.equal(bench.pod.status, undefined);
    bench.restart("kept");
    await bench.settle();
    assert.ok(bench.ready);
  });

  it("learns of an end that happened meanwhile, and restarts", async () => {
    const bench = await running();
    const dead = bench.runtime;
    bench.runtime = dead.successor();
    bench.runtime.exit("u1", "web", 7);
    bench.restart("kept");
    await bench.settle();
    assert.equal(bench.trace.at(-1), "start web#1");
    assert.equal(bench.status.containerStatuses?.[0]?.lastState.terminated?.exitCode, 7);
  });

  it("leaves a pod that ended meanwhile and must not restart", async () => {
    const bench = await running({ restartPolicy: "Never" });
    bench.runtime.exit("u1", "web", 0);
    bench.restart("kept");
    await bench.clock.advance(1000);
    assert.equal(bench.status.phase, "Succeeded");
  });

  it("starts a container that the earlier kubelet had not come to", async () => {
    const bench = await running();
    bench.pod = { ...bench.pod, spec: { containers: [web, { name: "late", image: "web" }] } };
    bench.restart("kept");
    await bench.settle();
    assert.equal(bench.trace.at(-1), "start late#0");
  });

  it("ends containers whose object went while no kubelet ran, before it forgets them", async () => {
    const bench = await running({}, true);
    bench.runtime.stubborn.add("web");
    const from = bench.trace.length;
    bench.restart("removed");
    await bench.clock.advance(100);
    assert.deepEqual(
      bench.trace.slice(from).filter((line) => !line.startsWith("SIGTERM")),
      ["exit web#0 143", "sidecar removed", "network removed", "forget web#0"],
    );
    assert.ok(bench.gone);
  });
});

describe("PodWorker whose network cannot be removed", () => {
  it("tries again, and is gone only when that is done", async () => {
    const bench = await running();
    bench.scriptErrors.push(new Error("busy"), new Error("busy"));
    bench.delete(0);
    await bench.clock.advance(1400);
    assert.ok(!bench.gone);
    assert.equal(bench.dirs.records().length, 1, "its record, and so its address, is kept");
    await bench.clock.advance(200);
    assert.ok(bench.gone);
    assert.deepEqual(bench.trace.slice(-2), ["network removed", "forget web#0"]);
    assert.equal(bench.dirs.records().length, 0);
  });
});
