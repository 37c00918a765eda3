/** What comes from outside, and what the node sends to itself: behaviours 11-17. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { describe, test } from "node:test";
import { networks } from "../network.ts";
import type { Stage } from "./stage.ts";

export function fromOutside(stage: Stage): void {
  const { cast, nodePort, secondary, L, R } = stage;
  const { caller, node, outside } = cast;
  const [loadBalancer, second] = stage.loadBalancers;
  const { bits } = networks[stage.variant.family];

  describe("from outside", () => {
    test("11, 14: node port, load balancer and external address lead to all endpoints, masqueraded", async () => {
      await stage.put(stage.both);
      for (const to of stage.fromOutside) {
        const { by, saw } = await stage.calls(outside, to);
        assert.deepEqual(by, [L, R]);
        assert.equal(saw.includes(outside.address), false);
      }
    });
    test("12: the node reaches its own node port, masqueraded", async () => {
      await stage.put(stage.both);
      const { by, saw } = await stage.calls(node, nodePort);
      assert.deepEqual(by, [L, R]);
      assert.equal(saw.includes(nodePort.address) && saw.length === 1, false);
    });
    test("13: a secondary address answers node ports only when it is among the addresses", async () => {
      await stage.put(stage.both);
      await stage.refused(outside, secondary);
      await stage.restart({ nodePortAddresses: [stage.ranges.nodes] });
      await stage.put(stage.both);
      assert.deepEqual((await stage.calls(outside, secondary)).by, [L, R]);
      await stage.restart();
    });
    test("localhost: node ports are on loopback when that is asked for, with all endpoints, over TCP", async () => {
      const loopback = { ...nodePort, address: stage.variant.family === "IPv4" ? "127.0.0.1" : "::1" };
      await stage.put(stage.both);
      await stage.refused(node, loopback);
      for (const nodePortAddresses of [["primary", "localhost"], ["all"]]) {
        await stage.restart({ nodePortAddresses });
        await stage.put(stage.both, { externalTrafficPolicy: "Local" });
        if (stage.variant.protocol === "UDP") await stage.refused(node, loopback);
        else assert.deepEqual((await stage.calls(node, loopback)).by, [L, R]);
        assert.deepEqual((await stage.calls(outside, nodePort)).by, [L]);
        if (nodePortAddresses[0] === "all") assert.deepEqual((await stage.calls(outside, secondary)).by, [L]);
        else await stage.refused(outside, secondary);
        await stage.put([]);
        await stage.refused(node, loopback);
      }
      await stage.restart();
    });
    test("15, 16: two load balancer addresses both work; one that is not ours to answer is not captured", async () => {
      await stage.put(stage.both, { loadBalancerIPs: [loadBalancer.address, second.address] });
      assert.deepEqual((await stage.calls(outside, loadBalancer)).by, [L, R]);
      assert.deepEqual((await stage.calls(outside, second)).by, [L, R]);
      await stage.put(stage.both, { loadBalancerIPs: [] });
      await stage.dropped(caller, loadBalancer);
    });
    test("17: source ranges hold for load balancer addresses, pods too; node ports pass by", async () => {
      const admit = (...loadBalancerSourceRanges: readonly string[]): Promise<void> =>
        stage.put(stage.both, { loadBalancerSourceRanges });
      await admit(stage.ranges.elsewhere);
      await stage.dropped(outside, loadBalancer);
      await stage.dropped(caller, loadBalancer);
      assert.deepEqual((await stage.calls(outside, nodePort)).by, [L, R]);
      await admit(` ${outside.address}/${bits}`);
      assert.deepEqual((await stage.calls(outside, loadBalancer)).by, [L, R]);
      await stage.dropped(caller, loadBalancer);
      await admit(`${caller.address}/${bits}`);
      assert.deepEqual((await stage.calls(caller, loadBalancer)).by, [L, R]);
    });
    test("17: source ranges of the other family alone limit nobody", async () => {
      await stage.put(stage.both, { loadBalancerSourceRanges: [bits === 32 ? "2001:db8::/32" : "198.51.100.0/24"] });
      assert.deepEqual((await stage.calls(outside, loadBalancer)).by, [L, R]);
      assert.deepEqual((await stage.calls(caller, loadBalancer)).by, [L, R]);
    });
    test("17: the node passes when it is in the ranges, also with the load balancer's address as its source", async () => {
      const loadBalancerSourceRanges = [`${node.address}/${bits}`];
      await stage.put(stage.both, { loadBalancerSourceRanges });
      const own = [`${loadBalancer.address}/${bits}`, "dev", "lo"];
      // What a node sends to an address of its own has that address as its source.
      execFileSync("ip", ["addr", "add", ...own, ...(bits === 128 ? ["nodad"] : [])]);
      try {
        assert.deepEqual((await stage.calls(node, loadBalancer)).by, [L, R]);
      } finally {
        execFileSync("ip", ["addr", "del", ...own]);
      }
      await stage.dropped(outside, loadBalancer);
    });
  });
}
