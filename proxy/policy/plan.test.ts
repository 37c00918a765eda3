import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import type { NetworkPolicy } from "#api/networking/network-policy.ts";
import { defaultFacts } from "../config.ts";
import { Claims } from "../l4/claims.ts";
import { FakeNft } from "../l4/nft/fake.ts";
import { Table } from "../l4/nft/table.ts";
import { planChange, planWhole } from "../l4/nft/transactions.ts";
import { planPolicies } from "./plan.ts";
import { portMatches } from "./ports.ts";
import { planPolicySkeleton } from "./skeleton.ts";
import type { PolicyPod, PolicyView } from "./view.ts";

const skeleton = planPolicySkeleton({ ...defaultFacts, nodeIPs: ["100.64.0.2"] }, "IPv4");
const options = { family: "IPv4", nodeName: "n1" } as const;
const pod = (last: number, app: string, nodeName = "n1"): PolicyPod => ({
  namespace: "default",
  labels: { app },
  addresses: [`10.244.1.${last}`, `fd00::${last}`],
  nodeName,
  ports: [{ name: "web", protocol: "TCP", port: 8000 + last }],
});
const policy = (name: string, spec: NonNullable<NetworkPolicy["spec"]>): NetworkPolicy => ({
  apiVersion: "networking.k8s.io/v1",
  kind: "NetworkPolicy",
  metadata: { namespace: "default", name },
  spec,
});
const viewOf = (policies: readonly NetworkPolicy[], pods: readonly PolicyPod[]): PolicyView => ({
  policies,
  pods,
  namespaces: new Map([["default", {}]]),
});

test("planPolicies() isolates the pods of this node alone, each family by its addresses", () => {
  const view = viewOf([policy("deny", {})], [pod(2, "a"), pod(3, "b", "n2")]);
  assert.deepEqual([...(planPolicies(view, options).elements.get("ingress")?.keys() ?? [])], ["10.244.1.2"]);
  const six = planPolicies(view, { ...options, family: "IPv6" });
  assert.deepEqual([...(six.elements.get("ingress")?.keys() ?? [])], ["fd00::2"]);
});

test("planPolicies() writes what nft reads", () => {
  const { chains, elements } = planPolicies(
    viewOf(
      [
        policy("web", {
          podSelector: { matchLabels: { app: "a" } },
          ingress: [
            {
              from: [
                { podSelector: { matchLabels: { app: "b" } } },
                { ipBlock: { cidr: "10.0.0.0/8", except: ["10.1.0.0/16"] } },
              ],
              ports: [{ port: 80 }, { port: "web" }],
            },
          ],
        }),
      ],
      [pod(2, "a"), pod(3, "b")],
    ),
    options,
  );
  assert.deepEqual(chains.get("ingress/default/web"), [
    "ip saddr @peers/default/web/ingress/0 tcp dport { 80 } return",
    "ip saddr 10.0.0.0/8 ip saddr != 10.1.0.0/16 tcp dport { 80 } return",
    "ip saddr @peers/default/web/ingress/0 ip daddr . meta l4proto . th dport @ports/default/web/ingress/0 return",
    "ip saddr 10.0.0.0/8 ip saddr != 10.1.0.0/16 ip daddr . meta l4proto . th dport @ports/default/web/ingress/0 return",
    "drop",
  ]);
  assert.deepEqual([...(elements.get("peers/default/web/ingress/0")?.keys() ?? [])], ["10.244.1.3"]);
  assert.deepEqual([...(elements.get("ports/default/web/ingress/0")?.keys() ?? [])], ["10.244.1.2 . tcp . 8002"]);
});

test("portMatches() joins ranges that touch", () => {
  const ports = [{ port: 5, endPort: 9 }, { port: 10 }, { port: 7, endPort: 8 }, { port: 80 }];
  assert.deepEqual(portMatches(ports, false), ["tcp dport { 5-10, 80 } "]);
  assert.deepEqual(portMatches([{ protocol: "UDP" }, { protocol: "UDP", port: 3 }], false), ["meta l4proto udp "]);
  assert.deepEqual(portMatches([{ port: "web" }], false), []);
});

const apps = fc.constantFrom("a", "b", "c");
const peers = fc.array(
  fc.oneof(
    apps.map((app) => ({ podSelector: { matchLabels: { app } } })),
    fc.constant({ ipBlock: { cidr: "10.0.0.0/8" } }),
  ),
  { maxLength: 2 },
);
const ports = fc.array(fc.oneof(fc.constant({ port: 80 }), fc.constant({ port: "web" })), { maxLength: 2 });
const policies = fc.uniqueArray(
  fc.record({
    name: fc.constantFrom("p", "q", "r"),
    app: apps,
    ingress: fc.array(fc.record({ from: peers, ports }), { maxLength: 2 }),
    egress: fc.array(fc.record({ to: peers, ports }), { maxLength: 2 }),
  }),
  { selector: ({ name }) => name, maxLength: 3 },
);
const pods = fc.uniqueArray(fc.record({ last: fc.integer({ min: 2, max: 8 }), app: apps }), {
  selector: ({ last }) => last,
});
const views = fc.record({ policies, pods }).map(({ policies, pods }) =>
  viewOf(
    policies.map(({ name, app, ingress, egress }) =>
      policy(name, { podSelector: { matchLabels: { app } }, ingress, egress, policyTypes: ["Ingress", "Egress"] }),
    ),
    pods.map(({ last, app }) => pod(last, app, last % 2 === 0 ? "n1" : "n2")),
  ),
);

test("any way of changes ends in the table that the last view alone makes", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(views, { minLength: 1, maxLength: 6 }), async (many) => {
      const [changed, fresh] = [new FakeNft(), new FakeNft()];
      const run = async (nft: FakeNft, texts: readonly string[]): Promise<void> => {
        for (const text of texts)
          assert.deepEqual(await nft.exec(["nft", "-f", "-"], text), { exitCode: 0, stdout: "", stderr: "" });
      };
      const [table, claims] = [new Table(skeleton), new Claims()];
      await run(changed, [...planWhole("ip t", [], skeleton, table.takeAll())]);
      for (const view of many) {
        table.update(claims.put("policies", planPolicies(view, options)));
        await run(changed, planChange("ip t", skeleton.collections, table.take()));
      }
      const last = new Table(skeleton);
      last.update(new Claims().put("policies", planPolicies(many.at(-1) ?? viewOf([], []), options)));
      await run(fresh, [...planWhole("ip t", [], skeleton, last.takeAll())]);
      assert.deepEqual(changed.dump(), fresh.dump());
    }),
    { numRuns: 100 },
  );
});

test("a table of policies goes when the one that replaces it is in force", () => {
  const [built = "", removed, ...rest] = [...planWhole("ip new", ["ip old"], skeleton, new Table(skeleton).takeAll())];
  assert.match(built, / hook forward /);
  assert.doesNotMatch(built, /ip old/);
  assert.equal(removed, "add table ip old\ndelete table ip old\n");
  assert.deepEqual(rest, []);
});
