import assert from "node:assert/strict";
import { test } from "node:test";
import type { Node } from "#api/core/node.ts";
import type { Pod } from "#api/core/pod.ts";
import type { Service } from "#api/core/service.ts";
import type { NetworkPolicy } from "#api/networking/network-policy.ts";
import type { EndpointSlice } from "#api/discovery/endpointslice.ts";
import { type EgressPolicy, decideEgress } from "../../launcher/egress-policy.ts";
import { type ClusterObjects, noObjects } from "../observation.ts";
import { type NodeSurroundings, followNode, headlessHint, serviceAt } from "./node-path.ts";
import type { DescribeEndpoint } from "./sidecar-path.ts";

const describe: DescribeEndpoint = ({ address, port, isServing }) => ({
  address,
  port,
  serving: isServing,
  pod: "",
  node: "",
  hasSidecar: false,
  refusedBy: "",
  isUnheard: false,
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
const caller: Pod = {
  ...pod,
  metadata: { name: "caller", namespace: "shop", labels: { app: "caller" } },
  spec: { ...pod.spec, nodeName: "node2" },
  status: { phase: "Running", podIP: "10.244.2.9" },
};
const objects = (ready: boolean): ClusterObjects => ({
  ...noObjects,
  services: [web, headless],
  pods: [pod],
  endpointSlices: [slice("web", ready)],
});
const around = (isReady: boolean, outbound: EgressPolicy["outbound"] = "allow-any"): NodeSurroundings => ({
  objects: objects(isReady),
  describe,
  from: caller,
  addresses: ["10.244.1.2", "10.244.2.2"],
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

const node = (name: string, address: string): Node => ({
  apiVersion: "v1",
  kind: "Node",
  metadata: { name },
  spec: {},
  status: { addresses: [{ type: "InternalIP", address }] },
});
const nodes = [node("node1", "100.64.0.2"), node("node2", "100.64.0.3")];
/** One endpoint on each node. */
const spread: EndpointSlice = {
  ...slice("web", true),
  endpoints: [
    { addresses: ["10.244.1.2"], conditions: { ready: true }, nodeName: "node1" },
    { addresses: ["10.244.2.2"], conditions: { ready: true }, nodeName: "node2" },
  ],
};

/** How it ends and what takes it, for a Service `web` that has these fields, too. */
function follow(spec: Partial<Service["spec"]>, to: string, port = 80, networkPolicies: NetworkPolicy[] = []): string {
  const own: Service = { ...web, spec: { ...web.spec, ...spec } };
  const cluster = { ...objects(true), nodes, services: [own], endpointSlices: [spread], networkPolicies };
  const surroundings = { ...around(true), objects: { ...cluster, pods: [pod, caller] } };
  const { shares, outcome } = followNode(serviceAt(to, "", cluster), at(to, port), surroundings);
  const ends = shares[0]?.endpoints?.map(({ address, port: target }) => `${address}:${target}`).join(" ") ?? "";
  const { why } = { why: "", ...outcome };
  return [outcome.kind, why, shares[0]?.cluster ?? "", ends].filter((text) => text !== "").join("; ");
}
const ends = "10.244.1.2:8080 10.244.2.2:8080";

test("followNode() knows node ports, of which the called node's rules decide", () => {
  const nodePort = { type: "NodePort", ports: [{ name: "http", port: 80, nodePort: 30_080 }] } as const;
  const told = `forwarded; service shop/web, by node port 30080 of node1; ${ends}`;
  assert.equal(follow(nodePort, "100.64.0.2", 30_080), told);
  // Pods use every endpoint also where those outside would get this node's alone (kubernetes#99299).
  assert.equal(follow({ ...nodePort, externalTrafficPolicy: "Local" }, "100.64.0.2", 30_080), told);
  assert.equal(follow(nodePort, "100.64.0.2", 30_081), "node");
  assert.match(follow({}, "100.64.0.9", 30_080), /^fails; .* is reset: .*the cluster's own network/);
});

test("followNode() knows external addresses, at the Service's ports alone", () => {
  const external = { externalIPs: ["198.51.100.7"] };
  assert.equal(follow(external, "198.51.100.7"), `forwarded; service shop/web, by an external address; ${ends}`);
  assert.equal(follow(external, "198.51.100.7", 81), "leaves");
});

test("followNode() leaves to policy Local the endpoints of the caller's node", () => {
  const told = follow({ internalTrafficPolicy: "Local" }, "10.96.0.5");
  assert.equal(told, "forwarded; service shop/web, 1 of its 2 from node2; 10.244.2.2:8080");
  const here = { ...spread, endpoints: spread.endpoints.slice(0, 1) };
  const own: Service = { ...web, spec: { ...web.spec, internalTrafficPolicy: "Local" } };
  const cluster = { ...objects(true), nodes, services: [own], endpointSlices: [here] };
  const { outcome } = followNode(own, at("10.96.0.5", 80), { ...around(true), objects: cluster });
  assert.match(outcome.kind === "fails" ? outcome.why : "", /dropped, internalTrafficPolicy .* node2 has no endpoint/);
});

test("followNode() says each request only where the node's HTTP engine stands in for nobody that policies judge", () => {
  const http = { ports: [{ name: "http", port: 80, appProtocol: "http" }] };
  const engine = /each request by the node's HTTP engine/;
  assert.match(follow(http, "10.96.0.5"), engine);
  const policy = (direction: "Ingress" | "Egress", app: string): NetworkPolicy => ({
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: { namespace: "shop", name: "some" },
    spec: { podSelector: app === "" ? {} : { matchLabels: { app } }, policyTypes: [direction] },
  });
  assert.doesNotMatch(follow(http, "10.96.0.5", 80, [policy("Egress", "caller")]), engine);
  assert.doesNotMatch(follow(http, "10.96.0.5", 80, [policy("Ingress", "")]), engine);
  assert.match(follow(http, "10.96.0.5", 80, [policy("Ingress", "caller")]), engine);
});

test("followNode() leads a headless name to all its pods, at the port that was asked for", () => {
  const { shares } = followNode(headless, at("10.244.1.2", 80), around(true));
  assert.deepEqual(
    shares[0]?.endpoints?.map(({ address, port }) => `${address}:${port}`),
    ["10.244.1.2:80", "10.244.2.2:80"],
  );
  const cluster = { ...objects(true), endpointSlices: [slice("headless", true)] };
  assert.match(headlessHint(headless, 80, cluster), /does not translate ports, wanted 8080/);
  assert.equal(headlessHint(headless, 8080, cluster), "");
  assert.equal(headlessHint(web, 80, cluster), "");
});
