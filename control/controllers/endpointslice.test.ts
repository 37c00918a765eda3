/** Endpoints of a Service, in slices. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Pod } from "#api/core/pod.ts";
import type { Service } from "#api/core/service.ts";
import type { EndpointSlice } from "#api/discovery/endpointslice.ts";
import { type SlicePlan, isManaged, planSlices } from "./endpointslice.ts";

const service: Service = {
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "web", namespace: "shop", uid: "s1" },
  spec: { selector: { app: "web" }, ports: [{ name: "http", port: 80, targetPort: "http" }] },
};

interface PodFacts {
  readonly ready?: boolean;
  readonly terminating?: boolean;
  readonly port?: number;
  readonly phase?: "Running" | "Succeeded";
  readonly labels?: Record<string, string>;
}

function podOf(at: number, { ready = true, terminating = false, port = 8080, phase, labels }: PodFacts = {}): Pod {
  const deletion = terminating ? { deletionTimestamp: "2026-01-01T00:00:00Z" } : {};
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: `web-${at}`, namespace: "shop", uid: `u${at}`, labels: labels ?? { app: "web" }, ...deletion },
    spec: { nodeName: "node1", containers: [{ name: "web", ports: [{ name: "http", containerPort: port }] }] },
    status: {
      phase: phase ?? "Running",
      podIP: `10.244.${Math.floor(at / 250)}.${at % 250}`,
      conditions: [{ type: "Ready", status: ready ? "True" : "False" }],
    },
  };
}

const podsOf = (count: number): Pod[] => Array.from({ length: count }, (_, at) => podOf(at));

let names = 0;
/** The slices after a plan was carried out. */
function carryOut(plan: SlicePlan, slices: readonly EndpointSlice[]): EndpointSlice[] {
  const gone = new Set(plan.remove.map(({ metadata }) => metadata.name));
  const changed = new Map(plan.update.map((slice) => [slice.metadata.name, slice]));
  const kept = slices.filter(({ metadata }) => !gone.has(metadata.name));
  const created = plan.create.map((slice) => ({
    ...slice,
    metadata: { ...slice.metadata, name: `web-s${(names += 1)}` },
  }));
  return [...kept.map((slice) => changed.get(slice.metadata.name) ?? slice), ...created];
}

const sizes = (slices: readonly EndpointSlice[]): number[] => slices.map(({ endpoints }) => endpoints.length);
const counts = ({ create, update, remove }: SlicePlan): number[] => [create.length, update.length, remove.length];
const only = (pod: Pod, of: Service = service): EndpointSlice["endpoints"][number] | undefined =>
  planSlices(of, { pods: [pod], slices: [] }).create[0]?.endpoints[0];

function withDistribution(trafficDistribution: Service["spec"]["trafficDistribution"]): Service {
  const { spec } = service;
  return trafficDistribution === undefined ? service : { ...service, spec: { ...spec, trafficDistribution } };
}

describe("planSlices()", () => {
  it("writes an endpoint with its node and pod, and the port that the name stands for", () => {
    const [slice] = planSlices(service, { pods: [podOf(2)], slices: [] }).create;
    assert.deepEqual(slice?.ports, [{ name: "http", protocol: "TCP", port: 8080 }]);
    assert.deepEqual(slice.endpoints, [
      {
        addresses: ["10.244.0.2"],
        conditions: { ready: true, serving: true, terminating: false },
        nodeName: "node1",
        targetRef: { kind: "Pod", namespace: "shop", name: "web-2", uid: "u2" },
      },
    ]);
    assert.equal(slice.metadata.labels?.["kubernetes.io/service-name"], "web");
  });

  const conditions: readonly [PodFacts, publish: boolean, ready: boolean, serving: boolean, terminating: boolean][] = [
    [{}, false, true, true, false],
    [{ ready: false }, false, false, false, false],
    [{ terminating: true }, false, false, true, true],
    [{ terminating: true, ready: false }, false, false, false, true],
    [{ ready: false }, true, true, false, false],
    [{ terminating: true, ready: false }, true, true, false, true],
  ];
  for (const [facts, publish, ready, serving, terminating] of conditions) {
    it(`gives ${JSON.stringify(facts)}${publish ? " under publishNotReadyAddresses" : ""} its conditions`, () => {
      const of = { ...service, spec: { ...service.spec, publishNotReadyAddresses: publish } };
      assert.deepEqual(only(podOf(2, facts), of)?.conditions, { ready, serving, terminating });
    });
  }

  it("leaves out pods that ended, have no address, or are not selected", () => {
    const { status: _status, ...noAddress } = podOf(3);
    const pods = [podOf(2, { phase: "Succeeded" }), noAddress, podOf(4, { labels: { app: "other" } })];
    assert.deepEqual(sizes(planSlices(service, { pods, slices: [] }).create), [0]);
  });

  it("keeps at most 100 endpoints a slice, and fills up before it makes more", () => {
    let slices = carryOut(planSlices(service, { pods: podsOf(250), slices: [] }), []);
    assert.deepEqual(sizes(slices), [100, 100, 50]);
    slices = carryOut(planSlices(service, { pods: podsOf(260), slices }), slices);
    assert.deepEqual(sizes(slices), [100, 100, 60]);
  });

  it("writes only the slices that change, and nothing when nothing changed", () => {
    const slices = carryOut(planSlices(service, { pods: podsOf(250), slices: [] }), []);
    assert.deepEqual(counts(planSlices(service, { pods: podsOf(250), slices })), [0, 0, 0]);
    const pods = podsOf(250).with(5, podOf(5, { ready: false }));
    assert.deepEqual(counts(planSlices(service, { pods, slices })), [0, 1, 0]);
    assert.deepEqual(counts(planSlices(service, { pods: podsOf(250).slice(0, 200), slices })), [0, 0, 1]);
  });

  it("keeps one empty slice for a Service without pods", () => {
    const slices = carryOut(planSlices(service, { pods: [], slices: [] }), []);
    assert.deepEqual(sizes(slices), [0]);
    assert.deepEqual(counts(planSlices(service, { pods: [], slices })), [0, 0, 0]);
  });

  it("puts pods whose named port differs into slices of their own, and moves them when it changes", () => {
    const mixed = [podOf(1), podOf(2, { port: 9090 })];
    const slices = carryOut(planSlices(service, { pods: mixed, slices: [] }), []);
    assert.deepEqual(
      slices.map(({ ports }) => ports?.[0]?.port),
      [8080, 9090],
    );
    const alike = carryOut(planSlices(service, { pods: [podOf(1), podOf(2)], slices }), slices);
    assert.deepEqual(
      alike.map(({ ports, endpoints }) => [ports?.[0]?.port, endpoints.length]),
      [[8080, 2]],
    );
  });

  it("leaves slices of others alone", () => {
    const [mine] = carryOut(planSlices(service, { pods: podsOf(1), slices: [] }), []);
    assert.ok(mine !== undefined);
    const foreign = { ...mine, metadata: { ...mine.metadata, name: "foreign", labels: {} } };
    assert.deepEqual(counts(planSlices(service, { pods: podsOf(1), slices: [mine, foreign] })), [0, 0, 0]);
  });
});

describe("isManaged()", () => {
  it("is false for Services without selector and for external names", () => {
    assert.equal(isManaged(service), true);
    assert.equal(isManaged({ ...service, spec: { ports: [] } }), false);
    assert.equal(isManaged({ ...service, spec: { ...service.spec, type: "ExternalName" } }), false);
  });

  // Rows of kubernetes' staging/src/k8s.io/endpointslice/trafficdist.
  const place = { zone: "zone-a", node: "node1" };
  const hints: readonly [Service["spec"]["trafficDistribution"], PodFacts, Partial<typeof place>, wanted: unknown][] = [
    ["PreferClose", {}, place, { forZones: [{ name: "zone-a" }] }],
    ["PreferSameZone", {}, place, { forZones: [{ name: "zone-a" }] }],
    ["PreferSameNode", {}, place, { forZones: [{ name: "zone-a" }], forNodes: [{ name: "node1" }] }],
    ["PreferSameNode", {}, { node: "node1" }, { forNodes: [{ name: "node1" }] }],
    ["PreferSameZone", {}, { node: "node1" }, undefined],
    ["PreferSameZone", { ready: false }, place, undefined],
    ["PreferSameNode", { terminating: true }, place, undefined],
    [undefined, {}, place, undefined],
  ];
  for (const [trafficDistribution, facts, { zone }, wanted] of hints) {
    it(`gives ${JSON.stringify(facts)} in ${zone ?? "no zone"} under ${trafficDistribution ?? "nothing"} its hints`, () => {
      const of = withDistribution(trafficDistribution);
      const zoneOfNode = (name: string): string | undefined => (name === "node1" ? zone : "elsewhere");
      const [endpoint] = planSlices(of, { pods: [podOf(2, facts)], slices: [], zoneOfNode }).create[0]?.endpoints ?? [];
      assert.deepEqual([endpoint?.zone, endpoint?.hints], [zone, wanted]);
    });
  }

  it("corrects hints that are wrong or no longer wanted, and leaves right ones and unready endpoints alone", () => {
    const zoned = (of: Service, slices: readonly EndpointSlice[], zone: string): SlicePlan =>
      planSlices(of, { pods: [podOf(1), podOf(2, { ready: false })], slices, zoneOfNode: () => zone });
    const near = withDistribution("PreferSameZone");
    const slices = carryOut(zoned(near, [], "zone-a"), []);
    assert.deepEqual(counts(zoned(near, slices, "zone-a")), [0, 0, 0]);
    assert.deepEqual(counts(zoned(withDistribution("PreferClose"), slices, "zone-a")), [0, 0, 0]);
    assert.deepEqual(counts(zoned(near, slices, "zone-b")), [0, 1, 0]);
    assert.deepEqual(counts(zoned(withDistribution("PreferSameNode"), slices, "zone-a")), [0, 1, 0]);
    const [without] = carryOut(zoned(service, slices, "zone-a"), slices);
    assert.deepEqual(
      without?.endpoints.map((endpoint) => [endpoint.zone, endpoint.hints]),
      [
        ["zone-a", undefined],
        ["zone-a", undefined],
      ],
    );
  });
});
