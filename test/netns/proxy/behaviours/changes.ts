/** Services that change, and what a change costs: behaviours 39-41, 44, 46-48, and topology. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { describe, test } from "node:test";
import { port, service } from "../../../../proxy/l4/fixture.ts";
import { cleanUp } from "../../../../proxy/main.ts";
import { networks } from "../network.ts";
import type { Stage } from "./stage.ts";

export function changes(stage: Stage): void {
  const { cast, vip, twin, nodePort, L, R } = stage;
  const { caller, second, remote, outside } = cast;

  describe("Services that change", () => {
    test("39: types, ports and Services of one address come and go at runtime", async () => {
      await stage.put(stage.both, { type: "ClusterIP", externalIPs: [] });
      await stage.refused(outside, nodePort);
      await stage.put(stage.both, { type: "NodePort", externalIPs: [] });
      assert.deepEqual((await stage.calls(outside, nodePort)).by, [L, R]);
      await stage.put(stage.both, {
        type: "ExternalName",
        externalName: "example.com",
        clusterIPs: [],
        externalIPs: [],
      });
      await stage.refused(outside, nodePort);
      await stage.dropped(caller, vip);
      await stage.put(stage.both, { type: "ClusterIP", externalIPs: [] });
      assert.deepEqual((await stage.calls(caller, vip)).by, [L, R]);
      const { protocol } = stage.variant;
      await stage.put(stage.both, { ports: [port(80, protocol), port(81, protocol)] });
      assert.deepEqual((await stage.calls(caller, { ...vip, port: 81 })).by, [L, R]);
      await stage.put(stage.both, { ports: [port(80, protocol)] });
      await stage.refused(caller, { ...vip, port: 81 });
      const again = { ...stage.web([stage.on(second)]), name: "web-again" };
      await stage.apply([again], ["default/web"]);
      assert.deepEqual((await stage.calls(caller, vip)).by, [L]);
      await stage.apply([stage.web(stage.both)], ["default/web-again"]);
      assert.deepEqual((await stage.calls(caller, vip)).by, [L, R]);
    });
    test("40: of two Services with the same endpoints one can go", async () => {
      const ports = [port(80, stage.variant.protocol)];
      await stage.apply([stage.web(stage.both), service("twin", twin.address, { endpoints: stage.both, ports })]);
      await stage.apply([], ["default/web"]);
      assert.deepEqual((await stage.calls(caller, twin)).by, [L, R]);
      await stage.apply([], ["default/twin"]);
    });
    test("41: a Service of another proxy, or a headless one, is ignored until it is not", async () => {
      for (const given of [{ proxyName: "another" }, { headless: true }]) {
        await stage.put(stage.both, given);
        await stage.dropped(caller, vip);
        await stage.put(stage.both);
        assert.deepEqual((await stage.calls(caller, vip)).by, [L, R]);
      }
    });
    test("44: a change costs what it changes, whatever number of Services there is", async () => {
      const ports = [port(80, stage.variant.protocol)];
      const range = stage.variant.family === "IPv4" ? "10.96.2." : "fd00:10:96::2";
      const make = (n: number): ReturnType<typeof service> =>
        service(`many-${n}`, `${range}${n}`, { ports, endpoints: [stage.on(second)] });
      const costs: number[][] = [];
      for (const [count, measured] of [
        [1, 200],
        [100, 201],
      ] as const) {
        const many = Array.from({ length: count }, (_, n) => make(n + 1));
        await stage.apply(many);
        const cost: number[] = [];
        const counted = async (action: () => Promise<void>): Promise<void> => {
          stage.takeTexts();
          await action();
          // What nobody uses any more is deleted a second later, together, whatever is counted then.
          const isSweep = (line: string): boolean =>
            /^((flush|delete) (chain|set) |delete element \S+ \S+ \S*slots-)/.test(line);
          const texts = stage.takeTexts().filter((lines) => !lines.every(isSweep));
          cost.push(texts.flat().length);
        };
        await counted(() => stage.apply([make(measured)]));
        await counted(() => stage.apply([make(measured)]));
        await counted(() => stage.apply([{ ...make(measured), endpoints: [stage.on(remote)] }]));
        assert.deepEqual((await stage.calls(caller, { address: `${range}${measured}`, port: 80 })).by, [R]);
        await counted(() => stage.apply([], [`default/many-${measured}`]));
        costs.push(cost);
        await stage.apply(
          [],
          many.map(({ name }) => `default/${name}`),
        );
      }
      const [few = [], many = []] = costs;
      assert.deepEqual(few, many);
      // kube-proxy's are 10 for a Service more, none for no change, 4 for one less (TestSyncProxyRulesRepeated).
      const [added = 0, same, , removed = 0] = few;
      assert.ok(added <= 10 && same === 0 && removed <= 6, few.join(" "));
    });
    test("46: a Service of both families leads each to endpoints of its own; one of a single family works alone", async () => {
      const { family } = stage.variant;
      const other = networks[family === "IPv4" ? "IPv6" : "IPv4"];
      // Of another pod than this family's, so that the one cannot be taken for the other.
      const elsewhere = { ...stage.on(second), address: `${other.pods[0]}4` };
      const endpoints = [stage.on(second), elsewhere];
      await stage.put(endpoints, { clusterIPs: [stage.otherVIP, vip.address] });
      assert.deepEqual((await stage.calls(caller, vip)).by, [L]);
      const table = execFileSync("nft", ["list", "table", family === "IPv4" ? "ip6" : "ip", "wherry-proxy"], {
        encoding: "utf8",
      });
      assert.ok(table.includes(elsewhere.address) && !table.includes(second.address));
      await stage.put(stage.both);
      assert.deepEqual((await stage.calls(caller, vip)).by, [L, R]);
    });
    test("47: addresses and ranges in other spellings are the same ones", async () => {
      const { family } = stage.variant;
      const spell = family === "IPv4" ? padZeros : writeOut;
      const [loadBalancer] = stage.loadBalancers;
      await stage.put([{ ...stage.on(second), address: spell(L) }], {
        clusterIPs: [spell(vip.address)],
        externalIPs: [spell(stage.external.address)],
        loadBalancerIPs: [` ${spell(loadBalancer.address)}`],
        loadBalancerSourceRanges: [`${spell(outside.address)}/${networks[family].bits} `],
      });
      assert.deepEqual((await stage.calls(caller, vip)).by, [L]);
      for (const to of stage.fromOutside) assert.deepEqual((await stage.calls(outside, to)).by, [L]);
      await stage.dropped(caller, loadBalancer);
    });
    test("topology: endpoints of the node, or of its zone, are preferred when all have hints", async () => {
      await stage.put([stage.on(second, { hintZones: ["a"] }), stage.on(remote, { hintZones: ["b"] })]);
      assert.deepEqual((await stage.calls(caller, vip)).by, [L]);
      await stage.put([stage.on(second, { hintNodes: ["n2"] }), stage.on(remote, { hintNodes: ["n1"] })]);
      assert.deepEqual((await stage.calls(caller, vip)).by, [R]);
      await stage.put([stage.on(second, { hintZones: ["a"] }), stage.on(remote)]);
      assert.deepEqual((await stage.calls(caller, vip)).by, [L, R]);
    });
    test("48: cleaning up leaves no table of ours, and everything of others", async () => {
      const tables = (): readonly string[] =>
        execFileSync("nft", ["list", "tables"], { encoding: "utf8" })
          .trim()
          .split("\n")
          .filter((line) => line !== "");
      execFileSync("nft", ["add", "table", "ip", "foreign"]);
      stage.proxy.setPolicies({
        policies: [
          {
            apiVersion: "networking.k8s.io/v1",
            kind: "NetworkPolicy",
            metadata: { namespace: "default", name: "deny" },
            spec: { podSelector: {} },
          },
        ],
        pods: [{ namespace: "default", labels: {}, addresses: [L], nodeName: "n1", ports: [] }],
        namespaces: new Map([["default", {}]]),
      });
      await stage.proxy.programmed();
      assert.ok(tables().some((table) => table.endsWith("wherry-policy")));
      stage.proxy.close();
      await cleanUp(stage.exec);
      assert.deepEqual(tables(), ["table ip foreign"]);
      await stage.restart();
    });
  });
}

/** 10.0.0.1 → 010.000.000.001 */
function padZeros(address: string): string {
  return address.replaceAll(/[0-9]+/g, (part) => part.padStart(3, "0"));
}

/** fd00::1 → FD00:0:0:0:0:0:0:1 */
function writeOut(address: string): string {
  const missing = 8 - address.split(/::?/).length;
  return address.toUpperCase().replace("::", `:${"0:".repeat(missing)}`);
}
