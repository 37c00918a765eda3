/** What a client keeps: its endpoint by affinity, its UDP flow, its established connection: behaviours 31-38. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { realClock as clock } from "#lib/clock.ts";
import { callUDP, dial, openUDP, say } from "../endpoints.ts";
import type { Stage } from "./stage.ts";

export function sessions(stage: Stage): void {
  const { cast, vip, nodePort, L, R } = stage;
  const { caller, second, third, remote, outside } = cast;

  describe("session affinity", () => {
    test("31: a client stays with its endpoint, by whatever address; off at runtime, it does not", async () => {
      await stage.put(stage.both, { affinitySeconds: 100 });
      const { by } = await stage.calls(caller, vip, 10);
      assert.equal(by.length, 1);
      assert.deepEqual((await stage.calls(caller, nodePort)).by, by);
      await stage.put(stage.both);
      assert.deepEqual((await stage.calls(caller, vip)).by, [L, R]);
      await stage.put(stage.both, { affinitySeconds: 100, externalTrafficPolicy: "Local" });
      assert.deepEqual(await stage.calls(outside, nodePort), { by: [L], saw: [outside.address] });
    });
    test("31: it ends after its timeout", async () => {
      await stage.put([stage.on(second), stage.on(third), stage.on(remote)], { affinitySeconds: 1 });
      const seen = new Set<string>();
      const untilMs = clock.monotonicMs() + 9000;
      while (seen.size < 2 && clock.monotonicMs() < untilMs) {
        seen.add((await stage.call(caller, vip)).by);
        await clock.sleep(1200);
      }
      assert.equal(seen.size, 2);
    });
    test("32: when its endpoint is not ready any more, the client moves", async () => {
      await stage.put(stage.both, { affinitySeconds: 100 });
      const [first] = (await stage.calls(caller, vip)).by;
      const left = [stage.on(second, { ready: first !== L }), stage.on(remote, { ready: first !== R })];
      await stage.put(left, { affinitySeconds: 100 });
      assert.deepEqual((await stage.calls(caller, vip)).by, [first === L ? R : L]);
    });
  });

  if (stage.variant.protocol === "UDP") flows(stage);
  else
    test("38: established connections survive changes, the loss of their endpoint, the Service and the proxy", async () => {
      await stage.put([stage.on(second)]);
      for (const [from, to] of [
        [caller, vip],
        [outside, nodePort],
      ] as const) {
        const socket = await dial(from, to);
        const answers = async (): Promise<string> => (await say(socket)).by;
        assert.equal(await answers(), L);
        await stage.put([stage.on(third)]);
        assert.equal(await answers(), L);
        assert.equal((await stage.call(from, to)).by, third.address);
        await stage.apply([], ["default/web"]);
        assert.equal(await answers(), L);
        await stage.restart();
        await stage.put([stage.on(second)]);
        assert.equal(await answers(), L);
        socket.destroy();
      }
    });
}

function flows(stage: Stage): void {
  const { cast, vip, nodePort } = stage;
  const { caller, second, third } = cast;

  describe("UDP flows", () => {
    test("34, 36: move when their endpoint goes, by clusterIP and node port; end with the last one", async () => {
      for (const to of [vip, nodePort]) {
        const socket = await openUDP(caller);
        await stage.put([stage.on(second)]);
        assert.equal((await callUDP(caller, to, socket)).by, second.address);
        await stage.put([stage.on(third)]);
        assert.equal((await callUDP(caller, to, socket)).by, third.address);
        await stage.put([]);
        await assert.rejects(callUDP(caller, to, socket));
        socket.close();
      }
    });
    test("35: one that began before there was an endpoint goes on when there is", async () => {
      await stage.put([]);
      const socket = await openUDP(caller);
      socket.on("error", () => {});
      socket.send("?", vip.port, vip.address);
      await stage.put([stage.on(second)]);
      assert.equal((await callUDP(caller, vip, socket)).by, second.address);
      socket.close();
    });
    test("37: a restart of the proxy leaves healthy ones alone", async () => {
      await stage.put([stage.on(second), stage.on(third)]);
      const socket = await openUDP(caller);
      const { by } = await callUDP(caller, vip, socket);
      await stage.restart();
      await stage.put([stage.on(second), stage.on(third)]);
      for (let n = 0; n < 4; n++) assert.equal((await callUDP(caller, vip, socket)).by, by);
      socket.close();
    });
  });
}
