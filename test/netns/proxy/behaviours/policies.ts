/** Traffic policies, endpoints that leave, and what is told of them: behaviours 18-23, 25-27, 29, 30, 45. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { leaving, type Stage } from "./stage.ts";

export function policies(stage: Stage): void {
  const { cast, vip, external, nodePort, L, R } = stage;
  const { caller, second, third, remote, node, outside } = cast;
  const [loadBalancer] = stage.loadBalancers;

  describe("traffic policies", () => {
    test("18: external Local leads to this node's endpoints, the source is kept", async () => {
      await stage.put(stage.both, { externalTrafficPolicy: "Local" });
      for (const to of stage.fromOutside)
        assert.deepEqual(await stage.calls(outside, to), { by: [L], saw: [outside.address] });
    });
    test("19: external Local without an endpoint here drops", async () => {
      await stage.put([stage.on(remote)], { externalTrafficPolicy: "Local" });
      for (const to of stage.fromOutside) await stage.dropped(outside, to);
    });
    test("20, 21: pods and the node may use all endpoints all the same, and clusterIPs know nothing of it", async () => {
      await stage.put(stage.both, { externalTrafficPolicy: "Local" });
      for (const to of stage.fromOutside) {
        assert.deepEqual(await stage.calls(caller, to), { by: [L, R], saw: [caller.address] });
        assert.deepEqual((await stage.calls(node, to)).by, [L, R]);
      }
      assert.deepEqual((await stage.calls(caller, vip)).by, [L, R]);
    });
    test("22, 23: internal Local leads to this node's endpoints, drops without one, refuses when there is none at all", async () => {
      await stage.put(stage.both, { internalTrafficPolicy: "Local" });
      assert.deepEqual((await stage.calls(caller, vip)).by, [L]);
      for (const to of stage.fromOutside) assert.deepEqual((await stage.calls(outside, to)).by, [L, R]);
      await stage.put([stage.on(remote)], { internalTrafficPolicy: "Local" });
      await stage.dropped(caller, vip);
      assert.deepEqual((await stage.calls(outside, external)).by, [R]);
      await stage.put([], { internalTrafficPolicy: "Local" });
      await stage.refused(caller, vip);
    });
    test("29: a health check node port tells of ready endpoints here, and closes with the policy and with the Service", async () => {
      const given = { externalTrafficPolicy: "Local", healthCheckNodePort: 32_000 } as const;
      const host = node.address.includes(":") ? `[${node.address}]` : node.address;
      const ask = async (): Promise<unknown> => {
        const response = await fetch(`http://${host}:32000/healthz`).catch(() => undefined);
        const body = ((await response?.json()) ?? {}) as { localEndpoints?: number; serviceProxyHealthy?: boolean };
        const weight = response?.headers.get("x-load-balancing-endpoint-weight");
        return [response?.status, weight, body.localEndpoints, body.serviceProxyHealthy];
      };
      const closed = [undefined, undefined, undefined, undefined];
      await stage.put([stage.on(second), stage.on(third), stage.on(remote)], given);
      assert.deepEqual(await ask(), [200, "2", 2, true]);
      await stage.put([stage.on(second, leaving), stage.on(remote)], given);
      assert.deepEqual(await ask(), [503, "0", 0, true]);
      await stage.put(stage.both);
      assert.deepEqual(await ask(), closed);
      await stage.put(stage.both, given);
      assert.deepEqual(await ask(), [200, "1", 1, true]);
      await stage.apply([], ["default/web"]);
      assert.deepEqual(await ask(), closed);
    });
    test("45: what has no endpoint here is counted by policy", async () => {
      const local = { internalTrafficPolicy: "Local", externalTrafficPolicy: "Local" } as const;
      const { family } = stage.variant;
      const counted = (policy: string): string | undefined => {
        const name = `no_local_endpoints_total\\{ip_family="${family}",traffic_policy="${policy}"\\}`;
        return new RegExp(`${name} ([0-9]+)`).exec(stage.proxy.metrics.collect())?.[1];
      };
      await stage.put([stage.on(remote)], local);
      assert.deepEqual([counted("internal"), counted("external")], ["1", "1"]);
      await stage.put([], local);
      assert.deepEqual([counted("internal"), counted("external")], ["0", "0"]);
    });
  });

  describe("terminating endpoints", () => {
    test("25, 26: get nothing new while others are ready, and everything when none is", async () => {
      await stage.put([stage.on(second), stage.on(third, leaving), stage.on(remote, leaving)]);
      assert.deepEqual((await stage.calls(caller, vip)).by, [L]);
      await stage.put([stage.on(second, leaving), stage.on(remote, leaving)], { externalTrafficPolicy: "Local" });
      assert.deepEqual((await stage.calls(caller, vip)).by, [L, R]);
      assert.deepEqual((await stage.calls(outside, nodePort)).by, [L]);
    });
    test("27: only a remote one, external Local: the clusterIP leads there, the load balancer drops", async () => {
      await stage.put([stage.on(remote, leaving)], { externalTrafficPolicy: "Local" });
      assert.deepEqual((await stage.calls(caller, vip)).by, [R]);
      await stage.dropped(outside, loadBalancer);
    });
    test("30: addresses that are not ready are used when the Service publishes them", async () => {
      const unready = [stage.on(second, { ready: false, serving: false }), stage.on(remote, leaving)];
      await stage.put(unready, { publishNotReadyAddresses: true });
      assert.deepEqual((await stage.calls(caller, vip)).by, [L, R]);
      await stage.put(unready.slice(0, 1));
      await stage.refused(caller, vip);
    });
  });
}
