import assert from "node:assert/strict";
import test from "node:test";
import { networkPolicies, type NetworkPolicy } from "./network-policy.ts";

const make = (spec: NonNullable<NetworkPolicy["spec"]>): NetworkPolicy => ({
  apiVersion: "networking.k8s.io/v1",
  kind: "NetworkPolicy",
  metadata: { namespace: "default", name: "p" },
  spec,
});

test("networkPolicies.default() adds Egress only where there are such rules", () => {
  const typesOf = (spec: NonNullable<NetworkPolicy["spec"]>): unknown =>
    networkPolicies.default?.(make(spec)).spec?.policyTypes;
  assert.deepEqual(typesOf({}), ["Ingress"]);
  assert.deepEqual(typesOf({ egress: [{}] }), ["Ingress", "Egress"]);
  assert.deepEqual(typesOf({ policyTypes: ["Egress"] }), ["Egress"]);
});

for (const [spec, path] of [
  [{ ingress: [{ from: [{}] }] }, "spec.ingress[0].from[0]"],
  [{ ingress: [{ from: [{ ipBlock: { cidr: "10.0.0.0/8" }, podSelector: {} }] }] }, "spec.ingress[0].from[0]"],
  [{ egress: [{ to: [{ ipBlock: { cidr: "10.0.0.0" } }] }] }, "spec.egress[0].to[0].ipBlock.cidr"],
  [
    { egress: [{ to: [{ ipBlock: { cidr: "10.0.0.0/8", except: ["11.0.0.0/9"] } }] }] },
    "spec.egress[0].to[0].ipBlock.except[0]",
  ],
  [{ ingress: [{ ports: [{ port: 0 }] }] }, "spec.ingress[0].ports[0].port"],
  [{ ingress: [{ ports: [{ port: "No" }] }] }, "spec.ingress[0].ports[0].port"],
  [{ ingress: [{ ports: [{ endPort: 9 }] }] }, "spec.ingress[0].ports[0].endPort"],
  [{ ingress: [{ ports: [{ port: 10, endPort: 9 }] }] }, "spec.ingress[0].ports[0].endPort"],
] as const)
  test(`networkPolicies.validate() refuses ${JSON.stringify(spec)}`, () => {
    assert.deepEqual(
      networkPolicies.validate?.(make(spec)).map((error) => error.path),
      [path],
    );
  });

test("networkPolicies.validate() takes blocks with exceptions of both families", () => {
  const to = [
    { ipBlock: { cidr: "10.0.0.0/8", except: ["10.1.0.0/16"] } },
    { ipBlock: { cidr: "fd00::/8", except: ["fd01::/16"] } },
  ];
  assert.deepEqual(
    networkPolicies.validate?.(make({ egress: [{ to, ports: [{ port: "dns-tcp" }, { port: 1, endPort: 9 }] }] })),
    [],
  );
});
