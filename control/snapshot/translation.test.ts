/** Small translators, by table: protocols, endpoints, Services, inbound ports. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Service } from "#api/core/service.ts";
import { type EndpointSlice, lastChangeAnnotation } from "#api/discovery/endpointslice.ts";
import { plainPolicies, type ServiceResource } from "#api/wire/service.ts";
import { parseNode, toNode, type NodeId } from "#api/xds/node-id.ts";
import { loadAssignmentsOf, outboundClustersOf } from "./cluster.ts";
import { pod, service, slice } from "./fixture.ts";
import { inboundOf } from "./inbound.ts";
import { outboundListenersOf } from "./outbound.ts";
import { protocolOf, type PortProtocol } from "./protocol.ts";
import { endpointsOf, serviceResourceOf } from "#api/wire/service-join.ts";

test("protocolOf() takes appProtocol, then the name's prefix, then leaves it to the connection", () => {
  const forms: readonly [name: string, appProtocol: string, port: number, PortProtocol][] = [
    ["http", "", 80, "http"],
    ["http-web", "", 80, "http"],
    ["HTTP", "", 80, "http"],
    ["httpx", "", 80, "auto"],
    ["grpc", "", 80, "http"],
    ["grpc-web", "", 80, "http"],
    ["http2", "", 80, "http"],
    ["tcp-db", "", 80, "tcp"],
    ["http", "kubernetes.io/h2c", 80, "http"],
    ["tcp", "http", 80, "http"],
    ["http", "example.com/mine", 80, "tcp"],
    ["", "", 80, "auto"],
    ["", "", 3306, "tcp"],
    ["http", "", 9300, "http"],
  ];
  for (const [name, appProtocol, port, wanted] of forms)
    assert.equal(protocolOf({ name, appProtocol, port }), wanted, `${name} ${appProtocol} ${port}`);
});

test("loadAssignmentsOf() chooses ready endpoints, else those that serve while they terminate", () => {
  const [, made] = service("a", "10.96.0.1", [{ name: "http", port: 80 }]);
  const choose = (conditions: readonly object[]): (string | undefined)[] => {
    const [, one] = slice(
      "a",
      8080,
      conditions.map((condition, index) => ({ addresses: [`10.0.0.${index}`], conditions: condition })),
    );
    const [assignment] = loadAssignmentsOf(made, endpointsOf([one]), () => undefined);
    return (assignment?.endpoints ?? []).flatMap(({ lb_endpoints }) =>
      lb_endpoints.map(({ endpoint }) => endpoint.address.socket_address.address),
    );
  };
  const ready = { ready: true, serving: true, terminating: false };
  const leaving = { ready: false, serving: true, terminating: true };
  const starting = { ready: false, serving: false, terminating: false };
  assert.deepEqual(choose([ready, leaving, starting, {}]), ["10.0.0.0", "10.0.0.3"]);
  assert.deepEqual(choose([leaving, starting]), ["10.0.0.0"]);
  assert.deepEqual(choose([starting]), []);
});

test("loadAssignmentsOf() groups endpoints by zone", () => {
  const [, made] = service("a", "10.96.0.1", [{ name: "http", port: 80 }]);
  const [, one] = slice("a", 8080, [
    { addresses: ["10.0.0.1"], zone: "b" },
    { addresses: ["10.0.0.2"], zone: "a" },
  ]);
  const [assignment] = loadAssignmentsOf(made, endpointsOf([one]), () => undefined);
  assert.deepEqual(
    assignment?.endpoints.map(({ locality, load_balancing_weight }) => [locality, load_balancing_weight]),
    [
      [{ zone: "a" }, 1],
      [{ zone: "b" }, 1],
    ],
  );
});

test("serviceResourceOf() joins slices by address and sorts them", () => {
  const [, made] = service("a", "None", [{ name: "http", port: 80 }]);
  const [, first] = slice("a", 8080, [{ addresses: ["10.0.0.2"] }, { addresses: ["10.0.0.1"] }]);
  const [, second] = slice("a", 8443, [{ addresses: ["10.0.0.2"], conditions: { ready: false } }], {
    portName: "https",
    suffix: "2",
  });
  const resource = serviceResourceOf(made, [first, second]);
  assert.deepEqual(resource.clusterIPs, []);
  assert.ok(resource.headless);
  assert.deepEqual(
    resource.endpoints.map(({ address, ports, ready }) => [address, ports, ready]),
    [
      ["10.0.0.1", { http: 8080 }, true],
      ["10.0.0.2", { http: 8080, https: 8443 }, false],
    ],
  );
});

test("outboundClustersOf() carries the breaker that a Service asks for", () => {
  const [, plain] = service("a", "10.96.0.1", [{ name: "http", port: 80 }]);
  const breakerOf = (made: Service): unknown =>
    outboundClustersOf(made)[0]?.metadata?.filter_metadata["wherry.failure_accrual"];
  assert.equal(breakerOf(plain), undefined);
  const annotations = {
    "balancer.linkerd.io/failure-accrual": "consecutive",
    "balancer.linkerd.io/failure-accrual-consecutive-min-penalty": "500ms",
  };
  const made = { ...plain, metadata: { ...plain.metadata, annotations } };
  assert.deepEqual(breakerOf(made), { max_failures: 7, min_penalty: "0.5s", max_penalty: "60s", jitter_ratio: 0.5 });
});

test("outboundListenersOf() looks into connections only where the protocol is not declared", () => {
  const [, made] = service("a", "10.96.0.1", [
    { name: "http", port: 80 },
    { name: "tcp", port: 81 },
    { name: "x", port: 82 },
    { name: "dns", port: 53, protocol: "UDP" },
  ]);
  assert.deepEqual(
    outboundListenersOf(made).map(({ name, listener_filters, filter_chains }) => [
      name,
      listener_filters?.length ?? 0,
      filter_chains?.length,
    ]),
    [
      ["10.96.0.1_80", 0, 1],
      ["10.96.0.1_81", 0, 1],
      ["10.96.0.1_82", 1, 2],
    ],
  );
});

test("inboundOf() resolves named target ports and declared container ports", () => {
  const [, made] = pod("a", "10.0.0.1", { app: "a" }, { port: 7070 });
  const named = {
    ...made,
    spec: {
      containers: [
        {
          name: "c",
          ports: [
            { name: "web", containerPort: 7070 },
            { name: "tcp-x", containerPort: 7071 },
          ],
        },
      ],
    },
  };
  const [, one] = service("a", "10.96.0.1", [
    { name: "http", port: 80, targetPort: "web" },
    { name: "tcp", port: 81, targetPort: "none" },
  ]);
  const { listener, clusters } = inboundOf("10.0.0.1", named, [one]);
  assert.deepEqual(
    clusters.map(({ name }) => name),
    ["inbound|7070||", "inbound|7071||"],
  );
  assert.deepEqual(listener.listener_filters?.[1]?.filter_disabled, {
    destination_port_range: { start: 7071, end: 7072 },
  });
});

test("parseNode() inverts toNode() and refuses anything else", () => {
  const ids: readonly NodeId[] = [
    { kind: "sidecar", podIP: "fd00::1", namespace: "default", podName: "a.b-c" },
    { kind: "router", podIP: "10.0.0.1", namespace: "x", podName: "gw-1", gateway: "x/gw" },
    { kind: "node", nodeName: "node1" },
  ];
  for (const id of ids) assert.deepEqual(parseNode(toNode(id)), id);
  for (const id of [
    "",
    "node~",
    "sidecar~1.2.3.4~pod~d",
    "waypoint~1.2.3.4~a.b~d",
    "router~1.2.3.4~a.b~d",
    "sidecar~~a.b~d",
  ])
    assert.throws(() => parseNode({ id }), /Cannot serve node/, id);
});

test("serviceResourceOf() carries every policy of a Service, with Kubernetes' defaults", () => {
  const [, plain] = service("a", "10.96.0.1", [{ port: 80 }]);
  assert.deepEqual(policiesIn(serviceResourceOf(plain, [])), plainPolicies);
  const full: Service = {
    ...plain,
    metadata: {
      ...plain.metadata,
      labels: { "service.kubernetes.io/service-proxy-name": "other" },
      annotations: { "proxy.wherry.dev/l7": "true" },
    },
    spec: {
      ...plain.spec,
      type: "LoadBalancer",
      externalIPs: ["198.51.100.1"],
      loadBalancerSourceRanges: [" 203.0.113.0/24"],
      sessionAffinity: "ClientIP",
      internalTrafficPolicy: "Local",
      externalTrafficPolicy: "Local",
      healthCheckNodePort: 30_001,
      trafficDistribution: "PreferSameZone",
    },
    status: { loadBalancer: { ingress: [{ ip: "198.51.100.2" }, { ip: "198.51.100.3", ipMode: "Proxy" }] } },
  };
  assert.deepEqual(policiesIn(serviceResourceOf(full, [])), {
    type: "LoadBalancer",
    externalIPs: ["198.51.100.1"],
    loadBalancerIPs: ["198.51.100.2"],
    loadBalancerSourceRanges: ["203.0.113.0/24"],
    affinitySeconds: 10_800,
    internalTrafficPolicy: "Local",
    externalTrafficPolicy: "Local",
    healthCheckNodePort: 30_001,
    trafficDistribution: "PreferSameZone",
    proxyName: "other",
    l7: "true",
    changedMs: 0,
  });
});

test("serviceResourceOf() says when its endpoints changed last, by the slices that say it", () => {
  const [, web] = service("a", "10.96.0.1", [{ port: 80 }]);
  const at = (time?: string): EndpointSlice => ({
    ...slice("a", 80, [{ addresses: ["10.244.0.1"] }])[1],
    metadata: { name: `a-${time}`, ...(time === undefined ? {} : { annotations: { [lastChangeAnnotation]: time } }) },
  });
  const changed = (...slices: readonly EndpointSlice[]): number => serviceResourceOf(web, slices).changedMs;
  assert.equal(changed(at("2026-01-01T00:00:00.5Z"), at("2026-01-01T00:00:02Z"), at()), Date.UTC(2026, 0, 1) + 2000);
  assert.equal(changed(at(), at("yesterday")), 0);
});

function policiesIn(resource: ServiceResource): object {
  return Object.fromEntries(
    Object.keys(plainPolicies).map((name) => [name, resource[name as keyof typeof plainPolicies]]),
  );
}
