/** A pod on its node: how it starts, and how its containers are started again. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Bench, podOf, running, web } from "./pod-worker-fixture.ts";

describe("PodWorker start", () => {
  it("makes the network, then the sidecar, and starts containers when it listens", async () => {
    const bench = await running({}, true);
    assert.deepEqual(bench.trace, ["network made", "sidecar listens", "start web#0"]);
    assert.equal(bench.status.phase, "Running");
    assert.equal(bench.status.podIP, "10.244.1.2");
    assert.ok(bench.ready);
  });

  it("says why it cannot, and tries again after 500 ms doubling", async () => {
    const bench = new Bench(podOf());
    bench.scriptErrors.push(new Error("no veth"), new Error("no veth"));
    bench.worker.step();
    await bench.settle();
    assert.deepEqual(bench.status.containerStatuses?.[0]?.state, {
      waiting: { reason: "ContainerCreating", message: "no veth" },
    });
    assert.deepEqual(bench.events, ["Warning FailedCreatePodSandBox Failed to create pod sandbox: no veth"]);
    await bench.clock.advance(499);
    assert.deepEqual(bench.trace, []);
    await bench.clock.advance(1001);
    assert.deepEqual(bench.trace, ["network made", "start web#0"]);
  });

  it("starts no container before its policies judge, and says why they do not", async () => {
    const bench = new Bench(podOf());
    bench.hasPolicies = true;
    bench.policyErrors.push(new Error("Cannot isolate pod"));
    bench.worker.step();
    await bench.settle();
    assert.deepEqual(bench.trace, ["network made"]);
    assert.deepEqual(bench.events, ["Warning FailedCreatePodSandBox Failed to create pod sandbox: Cannot isolate pod"]);
    await bench.clock.advance(500);
    assert.deepEqual(bench.trace, ["network made", "policies judge", "start web#0"]);
    assert.deepEqual([...bench.admitted], ["10.244.1.2"]);
    bench.delete(0);
    await bench.clock.advance(5000);
    assert.deepEqual([...bench.admitted], [], "the address is nobody's again");
  });

  it("has the policies judge what an earlier kubelet started", async () => {
    const bench = await running();
    bench.admitted.clear();
    bench.restart("kept");
    await bench.settle();
    assert.deepEqual([...bench.admitted], ["10.244.1.2"]);
  });

  it("explains an image without mapping, and recovers when there is one", async () => {
    const bench = new Bench(podOf({ containers: [{ name: "web", image: "other" }] }));
    bench.worker.step();
    await bench.settle();
    const waiting = bench.status.containerStatuses?.[0]?.state.waiting;
    assert.equal(waiting?.reason, "ErrImagePull");
    assert.match(waiting.message ?? "", /^Cannot resolve image "other": no entry in the image map/);
    assert.equal(bench.status.phase, "Pending");
    bench.images.push({ image: "other", command: ["serve"] });
    await bench.clock.advance(10_000);
    assert.deepEqual(bench.trace, ["network made", "start web#0"]);
    assert.equal(bench.status.phase, "Running");
  });
});

describe("PodWorker start that fails half-way", () => {
  const volumes = [{ name: "conf", configMap: { name: "conf" } }];

  it("keeps the network in which the sidecar listens while a volume is missing", async () => {
    const bench = new Bench(podOf({ volumes }, true));
    bench.worker.step();
    await bench.clock.advance(1000);
    assert.match(bench.status.containerStatuses?.[0]?.state.waiting?.message ?? "", /configmap "conf" not found/);
    bench.configMaps.set("conf", new Map());
    await bench.clock.advance(5000);
    assert.equal(bench.trace.filter((line) => line.startsWith("network")).join(), "network made");
    assert.equal(bench.trace.at(-1), "start web#0");
  });

  it("removes a sidecar before the network is made anew", async () => {
    const bench = new Bench(podOf({}, true));
    bench.scriptErrors.push(new Error("no veth"));
    bench.worker.step();
    await bench.clock.advance(1000);
    assert.deepEqual(bench.trace, ["sidecar removed", "network made", "sidecar listens", "start web#0"]);
  });

  it("is begun again, sidecar first, by the successor of a kubelet that was killed meanwhile", async () => {
    const bench = new Bench(podOf({ volumes }, true));
    bench.worker.step();
    await bench.clock.advance(100);
    assert.deepEqual(bench.trace, ["network made", "sidecar listens"]);
    bench.configMaps.set("conf", new Map());
    bench.restart("kept");
    await bench.clock.advance(60);
    assert.deepEqual(bench.trace.slice(2), ["sidecar removed", "network made", "sidecar listens", "start web#0"]);
    bench.restart("kept");
    await bench.clock.advance(1000);
    assert.equal(bench.trace.length, 6, "what is complete is kept");
  });

  it("is undone by the successor when the object has gone", async () => {
    const bench = new Bench(podOf({ volumes }, true));
    bench.worker.step();
    await bench.clock.advance(100);
    bench.restart("removed");
    await bench.settle();
    assert.deepEqual(bench.trace.slice(2), ["sidecar removed", "network removed"]);
    assert.ok(bench.gone);
  });
});

describe("PodWorker deadlines", () => {
  it("take no notice of a wall clock that jumps, be it back or forth", async () => {
    for (const skewMs of [-3_600_000, 3_600_000]) {
      const bench = await running();
      bench.runtime.exit("u1", "web", 1);
      await bench.settle();
      bench.runtime.exit("u1", "web", 1);
      await bench.settle();
      bench.clock.skewMs = skewMs;
      bench.worker.step();
      await bench.clock.advance(9_900);
      assert.equal(bench.trace.at(-1), "exit web#1 1");
      await bench.clock.advance(200);
      assert.equal(bench.trace.at(-1), "start web#2");

      bench.runtime.stubborn.add("web");
      bench.delete(10);
      bench.clock.skewMs = 0;
      bench.worker.step();
      await bench.clock.advance(1400);
      assert.equal(bench.trace.at(-1), "start web#2");
      await bench.clock.advance(200);
      assert.equal(bench.trace.at(-1), "SIGTERM web#2");
      bench.clock.skewMs = skewMs;
      bench.worker.step();
      await bench.clock.advance(9_800);
      assert.equal(bench.trace.at(-1), "SIGTERM web#2");
      await bench.clock.advance(200);
      assert.ok(bench.gone);
    }
  });
});

describe("PodWorker restart", () => {
  it("restarts a container that was killed, and counts it", async () => {
    const bench = await running();
    bench.runtime.exit("u1", "web", 137);
    await bench.settle();
    assert.deepEqual(bench.trace.slice(-2), ["exit web#0 137", "start web#1"]);
    const [status] = bench.status.containerStatuses ?? [];
    assert.deepEqual([status?.restartCount, status?.lastState.terminated?.exitCode], [1, 137]);
  });

  it("waits 10 s before the second restart, and says so", async () => {
    const bench = await running();
    bench.runtime.exit("u1", "web", 1);
    await bench.settle();
    bench.runtime.exit("u1", "web", 1);
    await bench.settle();
    const [status] = bench.status.containerStatuses ?? [];
    assert.deepEqual(status?.state.waiting, {
      reason: "CrashLoopBackOff",
      message: "back-off 10s restarting failed container=web pod=web-1_shop(u1)",
    });
    assert.equal(status.lastState.terminated?.exitCode, 1);
    await bench.clock.advance(9_900);
    assert.equal(bench.trace.at(-1), "exit web#1 1");
    await bench.clock.advance(200);
    assert.equal(bench.trace.at(-1), "start web#2");
  });

  it("leaves a pod that must not restart, with its phase", async () => {
    const bench = await running({ restartPolicy: "Never" });
    bench.runtime.exit("u1", "web", 3);
    await bench.clock.advance(60_000);
    assert.deepEqual(bench.trace.slice(-2), ["exit web#0 3", "network removed"]);
    assert.equal(bench.status.phase, "Failed");
    assert.ok(!bench.gone);
  });

  it("restarts a container whose liveness probe fails, by TERM, then KILL after the grace period", async () => {
    const livenessProbe = { exec: { command: ["check"] }, periodSeconds: 1, failureThreshold: 2 };
    const bench = await running({ containers: [{ ...web, livenessProbe }], terminationGracePeriodSeconds: 5 });
    bench.runtime.stubborn.add("web");
    bench.sick.add("web");
    await bench.clock.advance(2000);
    assert.equal(bench.trace.at(-1), "SIGTERM web#0");
    assert.ok(!bench.ready);
    bench.sick.clear();
    await bench.clock.advance(4800);
    assert.equal(bench.trace.at(-1), "SIGTERM web#0");
    await bench.clock.advance(300);
    assert.deepEqual(bench.trace.slice(-3), ["SIGKILL web#0", "exit web#0 137", "start web#1"]);
  });

  it("is ready only while its readiness probe passes", async () => {
    const readinessProbe = { exec: { command: ["check"] }, periodSeconds: 1, failureThreshold: 1 };
    const bench = new Bench(podOf({ containers: [{ ...web, readinessProbe }] }));
    bench.sick.add("web");
    bench.worker.step();
    await bench.clock.advance(500);
    assert.ok(!bench.ready);
    bench.sick.clear();
    await bench.clock.advance(500);
    assert.ok(bench.ready);
    bench.sick.add("web");
    await bench.clock.advance(1000);
    assert.ok(!bench.ready);
  });
});
