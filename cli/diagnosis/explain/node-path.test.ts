import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "#api/core/pod.ts";
import type { Service } from "#api/core/service.ts";
import type { EndpointSlice } from "#api/discovery/endpointslice.ts";
import { type EgressPolicy, decideEgress } from "../../launcher/egress-policy.ts";
import { type ClusterObjects, noObjects } from "../observation.ts";
import { type NodeSurroundings, followNode, serviceAt } from "./node-path.ts";
import type { DescribeEndpoint } from "./sidecar-path.ts";

const describe: DescribeEndpoint = ({ address, port, isServing }) => ({
  address,
  port,
  serving: isServing,
  pod: "",
  node: "",
  hasSidecar: false,
  refusedBy: "",
});

const service = (name: string, clusterIP: string): Service => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { name, namespace: "shop" },
  spec: { clusterIP, clusterIPs: [clusterIP], ports: [{ name: "http", port: 80 }] },
});
const slice = (name: string, ready: boolean): EndpointSlice => ({
  apiVersion: "discovery.k8s.io/v1",
  kind: "EndpointSlice",
  metadata: { name: `${name}-1`, namespace: "shop", labels: { "kubernetes.io/service-name": name } },
  addressType: "IPv4",
  ports: [{ name: "http", port: 8080 }],
  endpoints: [{ addresses: ["10.244.1.2"], conditions: { ready } }],
});
const pod: Pod = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "web", namespace: "shop" },
  spec: { containers: [] },
  status: { phase: "Running", podIP: "10.244.1.2" },
};
const web = service("web", "10.96.0.5");
const headless = service("headless", "None");
const objects = (ready: boolean): ClusterObjects => ({
  ...noObjects,
  services: [web, headless],
  pods: [pod],
  endpointSlices: [slice("web", ready)],
});
const around = (isReady: boolean, outbound: EgressPolicy["outbound"] = "allow-any"): NodeSurroundings => ({
  objects: objects(isReady),
  describe,
  egress: (to) => decideEgress(to, { outbound, hostPorts: [] }, []),
});
const at = (address: string, port: number): { address: string; port: number } => ({ address, port });

test("serviceAt() finds a Service by its address, a headless one by its name", () => {
  assert.equal(serviceAt("10.96.0.5", "", objects(true)), web);
  assert.equal(serviceAt("10.244.1.2", "headless.shop.svc.cluster.local", objects(true)), headless);
  assert.equal(serviceAt("192.0.2.1", "", objects(true)), undefined);
});

test("followNode() leads to the endpoints' own port", () => {
  const { shares, outcome } = followNode(web, at("10.96.0.5", 80), around(true));
  assert.deepEqual(outcome, { kind: "forwarded" });
  assert.deepEqual(
    shares[0]?.endpoints?.map(({ address, port }) => `${address}:${port}`),
    ["10.244.1.2:8080"],
  );
});

test("followNode() says why a connection is refused", () => {
  const why = (port: number, ready: boolean): string => {
    const { outcome } = followNode(web, at("10.96.0.5", port), around(ready));
    return outcome.kind === "fails" ? outcome.why : outcome.kind;
  };
  assert.match(why(80, false), /Service shop\/web has no ready endpoint/);
  assert.match(why(81, true), /Service shop\/web has no port 81, wanted one of 80/);
});

test("followNode() tells a pod's own address, an address outside and one that nobody has apart", () => {
  const kind = (address: string): string => followNode(undefined, at(address, 80), around(true)).outcome.kind;
  assert.equal(kind("10.244.1.2"), "forwarded");
  assert.equal(kind("192.0.2.1"), "leaves");
  assert.equal(kind("10.244.9.9"), "fails");
  assert.equal(kind("169.254.169.254"), "fails");
});

test("followNode() says what the outbound policy does", () => {
  const { outcome } = followNode(undefined, at("192.0.2.1", 80), around(true, "registry-only"));
  assert.equal(outcome.kind, "fails");
  assert.match(outcome.kind === "fails" ? outcome.why : "", /192\.0\.2\.1:80 is reset: .*registry-only/);
});
