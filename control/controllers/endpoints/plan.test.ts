/** What Endpoints hold, and which slices mirror those of a user. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Endpoints } from "#api/core/endpoints.ts";
import type { Pod } from "#api/core/pod.ts";
import type { Service } from "#api/core/service.ts";
import type { EndpointSlice } from "#api/discovery/endpointslice.ts";
import { isMirrored, planMirror } from "./mirror.ts";
import { endpointsOf } from "./plan.ts";

const service: Service = {
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "web", namespace: "shop", labels: { tier: "front" } },
  spec: { selector: { app: "web" }, ports: [{ name: "http", port: 80, targetPort: "http" }] },
};
const bare: Service = { ...service, spec: { ports: [{ port: 80 }] } };

function podOf(number: number, ready: boolean, port: number = 8080, leaving = false): Pod {
  const deletion = leaving ? { deletionTimestamp: "2026-01-01T00:00:00Z" } : {};
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: `p${number}`, namespace: "shop", uid: `u${number}`, labels: { app: "web" }, ...deletion },
    spec: { nodeName: "n1", containers: [{ name: "web", ports: [{ name: "http", containerPort: port }] }] },
    status: {
      phase: "Running",
      podIP: `10.244.${Math.trunc(number / 250)}.${(number % 250) + 1}`,
      conditions: [{ type: "Ready", status: ready ? "True" : "False" }],
    },
  };
}

describe("endpointsOf()", () => {
  it("groups addresses by ports, and keeps those that are not ready apart", () => {
    const pods = [podOf(1, true), podOf(2, false), podOf(3, true, 9090), podOf(4, true, 8080, true)];
    const { subsets = [], metadata } = endpointsOf(service, pods);
    const texts = subsets.map(({ addresses = [], notReadyAddresses = [], ports = [] }) => {
      const list = (some: readonly { readonly ip: string }[]): string => some.map(({ ip }) => ip).join(" ");
      return `${list(addresses)} | ${list(notReadyAddresses)} | ${ports.map(({ name, port }) => `${name}:${port}`).join(" ")}`;
    });
    assert.deepEqual(texts, ["10.244.0.2 | 10.244.0.3 | http:8080", "10.244.0.4 |  | http:9090"]);
    assert.deepEqual(metadata.labels, { tier: "front", "endpoints.kubernetes.io/managed-by": "endpoint-controller" });
  });

  it("is capped at 1000 addresses, and says so", () => {
    const { subsets, metadata } = endpointsOf(
      service,
      Array.from({ length: 1001 }, (_, at) => podOf(at, at > 0)),
    );
    assert.equal(subsets?.[0]?.addresses?.length, 1000);
    assert.equal(subsets[0].notReadyAddresses, undefined);
    assert.deepEqual(metadata.annotations, { "endpoints.kubernetes.io/over-capacity": "truncated" });
  });

  it("has no subsets without pods", () => {
    assert.equal(endpointsOf(service, []).subsets, undefined);
  });
});

describe("planMirror()", () => {
  const custom: Endpoints = {
    apiVersion: "v1",
    kind: "Endpoints",
    metadata: { name: "web", namespace: "shop", uid: "e1" },
    subsets: [{ addresses: [{ ip: "192.0.2.1" }], notReadyAddresses: [{ ip: "192.0.2.2" }], ports: [{ port: 80 }] }],
  };

  it("mirrors only what a user keeps by hand", () => {
    assert.equal(isMirrored(bare, custom), true);
    assert.equal(isMirrored(service, custom), false);
    assert.equal(isMirrored(undefined, custom), false);
    const labels = { "endpointslice.kubernetes.io/skip-mirror": "true" };
    assert.equal(isMirrored(bare, { ...custom, metadata: { ...custom.metadata, labels } }), false);
  });

  it("creates, updates and removes slices, and leaves them alone when nothing changed", () => {
    const [made] = planMirror(custom, []).create;
    assert.ok(made !== undefined);
    assert.deepEqual(
      made.endpoints.map(({ addresses, conditions }) => [addresses[0], conditions?.ready]),
      [
        ["192.0.2.1", true],
        ["192.0.2.2", false],
      ],
    );
    const slice: EndpointSlice = { ...made, metadata: { ...made.metadata, name: "web-1" } };
    assert.deepEqual(planMirror(custom, [slice]), { create: [], update: [], remove: [] });
    const moved = { ...custom, subsets: [{ addresses: [{ ip: "192.0.2.3" }], ports: [{ port: 80 }] }] };
    assert.equal(planMirror(moved, [slice]).update[0]?.endpoints.length, 1);
    assert.deepEqual(planMirror(undefined, [slice]).remove, [slice]);
  });
});
