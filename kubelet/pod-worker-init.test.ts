/** A pod on its node: init containers, sidecars, hooks, startup probes, and pods that end. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Container } from "#api/core/pod.ts";
import { Bench, podOf, running, web } from "./pod-worker-fixture.ts";

const first: Container = { name: "first", image: "web" };
const second: Container = { name: "second", image: "web" };
const side: Container = { name: "side", image: "web", restartPolicy: "Always" };

const messages = (bench: Bench, reason: string): string[] =>
  bench.events.filter((line) => line.split(" ")[1] === reason).map((line) => line.replace(/^\S+ \S+ /, ""));

describe("PodWorker init containers", () => {
  it("run one after the other, then the containers", async () => {
    const bench = await running({ initContainers: [first, second] });
    assert.deepEqual(bench.trace.slice(1), ["start first#0"]);
    const status = bench.status;
    assert.equal(status.phase, "Pending");
    assert.deepEqual(status.containerStatuses?.[0]?.state, { waiting: { reason: "PodInitializing" } });
    const initialized = status.conditions?.find(({ type }) => type === "Initialized");
    assert.equal(initialized?.reason, "ContainersNotInitialized");
    assert.equal(initialized.message, "containers with incomplete status: [first second]");
    bench.runtime.exit("u1", "first", 0);
    await bench.settle();
    bench.runtime.exit("u1", "second", 0);
    await bench.settle();
    assert.deepEqual(bench.trace.slice(2), ["exit first#0 0", "start second#0", "exit second#0 0", "start web#0"]);
    assert.ok(bench.ready);
    assert.deepEqual(
      bench.status.initContainerStatuses?.map(({ ready, state }) => [ready, state.terminated?.reason]),
      [
        [true, "Completed"],
        [true, "Completed"],
      ],
    );
  });

  it("are run again when they fail, and never once they have succeeded", async () => {
    const bench = await running({ initContainers: [first] });
    bench.runtime.exit("u1", "first", 1);
    await bench.settle();
    assert.equal(bench.trace.at(-1), "start first#1");
    bench.runtime.exit("u1", "first", 0);
    await bench.settle();
    bench.runtime.exit("u1", "web", 1);
    await bench.clock.advance(60_000);
    assert.equal(bench.trace.filter((line) => line.startsWith("start first")).length, 2);
    assert.equal(bench.trace.at(-1), "start web#1");
  });

  it("end the pod when they fail and nothing may be run again", async () => {
    const bench = await running({ initContainers: [first], restartPolicy: "Never" });
    bench.runtime.exit("u1", "first", 1);
    await bench.clock.advance(1000);
    assert.equal(bench.status.phase, "Failed");
    assert.ok(!bench.trace.includes("start web#0"));
  });

  it("are not run again by the successor of a kubelet", async () => {
    const bench = await running({ initContainers: [first] });
    bench.runtime.exit("u1", "first", 0);
    await bench.settle();
    bench.restart("kept");
    await bench.clock.advance(1000);
    assert.equal(bench.trace.at(-1), "start web#0");
  });
});

describe("PodWorker sidecars", () => {
  it("start before what follows them, go on beside it, and end last", async () => {
    const bench = await running({ initContainers: [side, first] });
    assert.deepEqual(bench.trace.slice(1), ["start side#0", "start first#0"]);
    bench.runtime.exit("u1", "first", 0);
    await bench.settle();
    bench.delete(30);
    await bench.clock.advance(5000);
    assert.deepEqual(bench.trace.slice(4, 9), [
      "start web#0",
      "SIGTERM web#0",
      "exit web#0 143",
      "SIGTERM side#0",
      "exit side#0 143",
    ]);
    assert.ok(bench.gone);
  });

  it("hold up what follows them until their startup probe passes", async () => {
    const startupProbe = { exec: { command: ["check"] }, periodSeconds: 1 };
    const bench = new Bench(podOf({ initContainers: [{ ...side, startupProbe }] }));
    bench.sick.add("side");
    bench.worker.step();
    await bench.clock.advance(900);
    assert.equal(bench.trace.at(-1), "start side#0");
    bench.sick.clear();
    await bench.clock.advance(1000);
    assert.equal(bench.trace.at(-1), "start web#0");
  });

  it("are told to end when the pod's containers are over, and do not count for how it ended", async () => {
    const bench = await running({ initContainers: [side], restartPolicy: "OnFailure" });
    bench.runtime.exit("u1", "web", 0);
    await bench.settle();
    assert.deepEqual(bench.trace.slice(-3), ["SIGTERM side#0", "exit side#0 143", "network removed"]);
    assert.equal(bench.status.phase, "Succeeded");
  });
});

describe("PodWorker hooks", () => {
  it("call a container started when its post-start hook is through", async () => {
    const lifecycle = { postStart: { sleep: { seconds: 5 } } };
    const bench = await running({ containers: [{ ...web, lifecycle }] });
    assert.ok(!bench.ready);
    await bench.clock.advance(5000);
    assert.ok(bench.ready);
  });

  it("run again after a restart of the kubelet that they did not outlast, and only then", async () => {
    const lifecycle = { postStart: { sleep: { seconds: 5 } } };
    const bench = await running({ containers: [{ ...web, lifecycle }] });
    const hooks = (): number => bench.trace.filter((line) => line === "hook sleep").length;
    bench.pod = { ...bench.pod, status: bench.status };
    bench.restart("kept");
    await bench.clock.advance(4000);
    assert.deepEqual([hooks(), bench.ready], [2, false]);
    await bench.clock.advance(2000);
    assert.ok(bench.ready);
    bench.pod = { ...bench.pod, status: bench.status };
    bench.restart("kept");
    await bench.clock.advance(100);
    assert.deepEqual([hooks(), bench.ready], [2, true]);
    assert.deepEqual(
      bench.trace.filter((line) => line.startsWith("start ")),
      ["start web#0"],
    );
  });

  it("end a container whose post-start hook fails", async () => {
    const lifecycle = { postStart: { exec: { command: ["false"] } } };
    const bench = await running({ containers: [{ ...web, lifecycle }] });
    assert.deepEqual(messages(bench, "FailedPostStartHook").slice(0, 1), ["PostStartHook failed spec.containers{web}"]);
    assert.ok(bench.trace.includes("SIGTERM web#0"));
  });

  it("await the pre-stop hook before TERM, but no longer than the grace period", async () => {
    const lifecycle = { preStop: { sleep: { seconds: 3 } } };
    const bench = await running({ containers: [{ ...web, lifecycle }] });
    bench.runtime.stubborn.add("web");
    bench.delete(10);
    await bench.clock.advance(1500 + 2900);
    assert.equal(bench.trace.at(-1), "hook sleep");
    await bench.clock.advance(200);
    assert.equal(bench.trace.at(-1), "SIGTERM web#0");
    await bench.clock.advance(6800);
    assert.equal(bench.trace.at(-1), "SIGTERM web#0");
    await bench.clock.advance(200);
    assert.ok(bench.trace.includes("SIGKILL web#0") && bench.gone);
  });

  it("leave two seconds to a program whose hook used up the grace period, and nothing when forced", async () => {
    const lifecycle = { preStop: { sleep: { seconds: 60 } } };
    for (const force of [false, true]) {
      const bench = await running({ containers: [{ ...web, lifecycle }] });
      bench.runtime.stubborn.add("web");
      bench.delete(5);
      await bench.clock.advance(1500);
      if (force) bench.delete(0);
      else await bench.clock.advance(5000 + 1900);
      assert.equal(bench.trace.includes("SIGKILL web#0"), force);
      await bench.clock.advance(200);
      assert.ok(bench.gone);
    }
  });
});

describe("PodWorker startup probe", () => {
  const startupProbe = { exec: { command: ["check"] }, periodSeconds: 1, failureThreshold: 3 };

  it("holds back liveness and readiness until it passes", async () => {
    const livenessProbe = { exec: { command: ["check"] }, periodSeconds: 1, failureThreshold: 1 };
    const bench = new Bench(podOf({ containers: [{ ...web, startupProbe, livenessProbe }] }));
    bench.sick.add("web");
    bench.worker.step();
    await bench.clock.advance(2500);
    assert.ok(!bench.trace.includes("SIGTERM web#0"));
    assert.equal(bench.status.containerStatuses?.[0]?.started, false);
    bench.sick.clear();
    await bench.clock.advance(600);
    assert.ok(bench.ready);
  });

  it("restarts a container that does not start in time, and says so", async () => {
    const bench = new Bench(podOf({ containers: [{ ...web, startupProbe }] }));
    bench.sick.add("web");
    bench.worker.step();
    await bench.clock.advance(3500);
    assert.ok(bench.trace.includes("SIGTERM web#0"));
    assert.deepEqual(messages(bench, "Killing"), [
      "Container web failed startup probe, will be restarted spec.containers{web}",
    ]);
    assert.equal(messages(bench, "Unhealthy").length, 3);
  });
});

describe("PodWorker end by itself", () => {
  it("fails a pod whose time is up, whatever its containers do", async () => {
    const bench = await running({ activeDeadlineSeconds: 5, terminationGracePeriodSeconds: 2 });
    bench.runtime.stubborn.add("web");
    await bench.clock.advance(5000);
    assert.equal(bench.trace.at(-1), "SIGTERM web#0");
    await bench.clock.advance(3000);
    const { phase, reason, message } = bench.status;
    const wanted = "Pod was active on the node longer than the specified deadline";
    assert.deepEqual([phase, reason, message], ["Failed", "DeadlineExceeded", wanted]);
    assert.equal(bench.trace.at(-1), "network removed");
  });

  it("is not undone by a successor, which keeps the status and ends when the object does", async () => {
    const bench = await running({ restartPolicy: "Never" });
    bench.runtime.exit("u1", "web", 0);
    await bench.clock.advance(1000);
    bench.restart("kept");
    await bench.clock.advance(1000);
    assert.equal(bench.status.phase, "Succeeded");
    assert.equal(bench.trace.filter((line) => line.startsWith("start")).length, 1);
    bench.delete(30);
    await bench.settle();
    assert.ok(bench.gone);
    assert.equal(bench.trace.filter((line) => line === "network removed").length, 1);
  });
});

describe("PodWorker events", () => {
  it("are those that kubectl describe shows of a pod", async () => {
    const bench = await running();
    bench.runtime.exit("u1", "web", 1);
    await bench.settle();
    bench.runtime.exit("u1", "web", 1);
    await bench.clock.advance(1000);
    bench.delete(30);
    await bench.clock.advance(5000);
    assert.deepEqual(bench.events.map((line) => line.replace(" spec.containers{web}", "")).slice(0, 6), [
      'Normal Pulled Container image "web" already present on machine',
      "Normal Created Container created",
      "Normal Started Container started",
      "Normal Created Container created",
      "Normal Started Container started",
      "Warning BackOff Back-off restarting failed container web in pod web-1_shop(u1)",
    ]);
  });

  it("say what stands in the way of a start", async () => {
    const volumes = [{ name: "conf", configMap: { name: "conf" } }];
    const bench = await running({ volumes });
    assert.deepEqual(bench.events, [
      'Warning FailedMount MountVolume.SetUp failed for volume "conf" : configmap "conf" not found',
    ]);
    const other = await running({ containers: [{ name: "web", image: "other" }] });
    assert.match(other.events[0] ?? "", /^Warning Failed Failed to pull image "other": Cannot resolve image/);
    assert.equal(other.events[1], "Warning Failed Error: ErrImagePull spec.containers{web}");
  });
});
