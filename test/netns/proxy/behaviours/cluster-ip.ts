/** What comes to a clusterIP, and what becomes of it when nobody is there: behaviours 1-10, 24, 28, 33. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { describe, test } from "node:test";
import type { Pod } from "#api/core/pod.ts";
import type { Service } from "#api/core/service.ts";
import { serviceResourceOf } from "#api/wire/service-join.ts";
import { planSlices } from "../../../../control/controllers/endpointslice.ts";
import { endpoint, port, service } from "../../../../proxy/l4/fixture.ts";
import { callTCP, callUDP, serveTCP, serveUDP } from "../endpoints.ts";
import { dead, type Stage } from "./stage.ts";

export function clusterIP(stage: Stage): void {
  const { cast, vip, nobody, L, R } = stage;
  const { caller, second, third, outside } = cast;

  describe("ClusterIP", () => {
    test("1: a pod reaches local and remote endpoints, its source is kept", async () => {
      await stage.put(stage.both);
      assert.deepEqual(await stage.calls(caller, vip), { by: [L, R], saw: [caller.address] });
    });
    test("2: an endpoint reaches itself, masqueraded", async () => {
      await stage.put([stage.on(caller)]);
      const { by, saw } = await stage.call(caller, vip);
      assert.equal(by, caller.address);
      assert.notEqual(saw, caller.address);
    });
    test("3: the target port is another one than the Service's", async () => {
      const close = [await serveTCP(second, 8443), await serveUDP(second, 8443)];
      const ports = [port(443, stage.variant.protocol)];
      const endpoints = [{ ...stage.on(second), ports: { http: 8443 } }];
      await stage.put(endpoints, { ports, type: "ClusterIP", externalIPs: [] });
      assert.equal((await stage.call(caller, { ...vip, port: 443 })).by, second.address);
      await stage.refused(caller, { ...vip, port: 8443 });
      for (const each of close) each();
    });
    test("4, 5: the same port of TCP and UDP goes to different endpoints; where only one has it, the other is refused", async () => {
      const given = { externalIPs: [], type: "ClusterIP" } as const;
      const { protocol } = stage.variant;
      await stage.put([stage.on(second)], given);
      const ports = [port(80, stage.otherProtocol)];
      await stage.apply([service("other", vip.address, { ports, endpoints: [stage.on(third)] })]);
      const [own, other] = protocol === "TCP" ? [callTCP, callUDP] : [callUDP, callTCP];
      assert.equal((await own(caller, vip)).by, second.address);
      assert.equal((await other(caller, vip)).by, third.address);
      await stage.apply([], ["default/other"]);
      await assert.rejects(other(caller, vip), { code: "ECONNREFUSED" });
    });
    test("6, 7: the port of another Service is refused, an address of nobody is dropped", async () => {
      await stage.put(stage.both);
      const ports = [port(81, stage.variant.protocol)];
      await stage.apply([service("twin", stage.twin.address, { ports, endpoints: stage.both })]);
      await stage.refused(caller, { ...vip, port: 81 });
      await stage.refused(caller, stage.twin);
      await stage.apply([], ["default/twin"]);
      await stage.dropped(caller, nobody);
    });
    test("24: without known cluster sources nothing is masqueraded, nor led past a policy; with masqueradeAll everything is", async () => {
      await stage.restart({ clusterCIDRs: [] });
      await stage.put([stage.on(second)]);
      assert.deepEqual((await stage.calls(outside, vip)).saw, [outside.address]);
      await stage.put(stage.both, { externalTrafficPolicy: "Local" });
      assert.deepEqual((await stage.calls(caller, stage.external)).by, [L]);
      await stage.restart({ masqueradeAll: true });
      await stage.put([stage.on(second)]);
      assert.notDeepEqual((await stage.calls(caller, vip)).saw, [caller.address]);
      await stage.restart();
      await stage.put([stage.on(second)]);
      assert.notDeepEqual((await stage.calls(outside, vip)).saw, [outside.address]);
    });
    test("33: three endpoints have a third each, exactly; those of shared chains by chance", async () => {
      const three = [stage.on(second), stage.on(third), stage.on(cast.remote)];
      const count = async (calls: number): Promise<readonly number[]> => {
        const seen = new Map<string, number>();
        for (let n = 0; n < calls; n++) {
          const { by } = await stage.call(caller, vip);
          seen.set(by, (seen.get(by) ?? 0) + 1);
        }
        return [...seen.values()];
      };
      await stage.put(three);
      assert.deepEqual(await count(30), [10, 10, 10]);
      await stage.restart({ exactMax: 0 });
      await stage.put(three);
      const shares = await count(150);
      // 50 each, with a standard deviation of 5.8: six of them, which chance leaves once in a thousand million times.
      assert.ok(shares.length === 3 && shares.every((share) => Math.abs(share - 50) < 35), shares.join(" "));
      await stage.restart();
    });
  });

  describe("no endpoints", () => {
    test("8, 10, 28: every address is refused at once, from when the last endpoint is gone or serves no more", async () => {
      for (const endpoints of [[], [stage.on(second, dead)]]) {
        await stage.put(stage.both);
        await stage.put(endpoints);
        for (const to of [vip, ...stage.fromOutside]) await stage.refused(caller, to);
        for (const to of stage.fromOutside) await stage.refused(outside, to);
      }
    });
    test("9: all pods evicted: refused, for those that ended are no endpoints", async () => {
      const evict = (podIP: string, isEvicted: boolean): Pod => ({
        apiVersion: "v1",
        kind: "Pod",
        metadata: { namespace: "default", name: podIP.replaceAll(/[.:]/g, "-"), labels: { app: "web" } },
        spec: { nodeName: "n1", containers: [{ name: "web", image: "web" }] },
        status: {
          podIP,
          ...(isEvicted
            ? { phase: "Failed", reason: "Evicted" }
            : { phase: "Running", conditions: [{ type: "Ready", status: "True" }] }),
        },
      });
      const web: Service = {
        apiVersion: "v1",
        kind: "Service",
        metadata: { namespace: "default", name: "web" },
        spec: {
          clusterIP: vip.address,
          selector: { app: "web" },
          ports: [{ port: 80, targetPort: 8080, protocol: stage.variant.protocol }],
        },
      };
      for (const isEvicted of [false, true]) {
        const { create } = planSlices(web, {
          pods: [evict(second.address, isEvicted), evict(third.address, isEvicted)],
          slices: [],
        });
        await stage.apply([serviceResourceOf(web, create)]);
        if (isEvicted) await stage.refused(caller, vip);
        else assert.deepEqual((await stage.calls(caller, vip)).by, [second.address, third.address]);
      }
    });
  });

  test("40: endpoints in several slices count once each", async () => {
    const twice = [stage.on(second), stage.on(third), stage.on(second)];
    await stage.put(twice);
    const seen: string[] = [];
    for (let n = 0; n < 4; n++) seen.push((await stage.call(caller, vip)).by);
    assert.deepEqual(seen.sort(), [L, L, third.address, third.address]);
  });
  // Over UDP, who answers at any address of a range would have to say at which.
  if (stage.variant.protocol === "TCP") manyEndpoints(stage);
}

function manyEndpoints(stage: Stage): void {
  const { vip, cast } = stage;
  test("40: more than a thousand endpoints are served", async () => {
    const { caller, outside, remote } = cast;
    // Whatever is in this range is answered there.
    const range = stage.variant.family === "IPv4" ? "10.245.0.0/16" : "fd00:10:245::/112";
    const address = (n: number): string =>
      stage.variant.family === "IPv4" ? `10.245.${n >> 8}.${n & 255}` : `fd00:10:245::${n.toString(16)}`;
    execFileSync("ip", ["route", "add", range, "via", outside.address, "dev", "node2", "onlink"]);
    const inside = `--net=/proc/${process.pid}/fd/${outside.namespace?.fd}`;
    execFileSync("nsenter", [inside, "ip", "route", "add", "local", range, "dev", "lo"]);
    const many = Array.from({ length: 1100 }, (_, n) => ({ ...endpoint(":8080"), address: address(n + 1) }));
    await stage.put(many);
    assert.deepEqual((await stage.calls(caller, vip, 30)).by, [remote.address]);
    // The last of them is the only one left.
    await stage.put([...many.slice(0, 5).map((each) => ({ ...each, ...dead })), ...many.slice(-1)]);
    assert.deepEqual((await stage.calls(caller, vip)).by, [remote.address]);
  });
}
