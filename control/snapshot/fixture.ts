/** Objects shaped like Istio's Bookinfo, for the tests of snapshot/ and push/. */
import { replicaSets, type ReplicaSet } from "#api/apps/replicaset.ts";
import { namespaces, type Namespace } from "#api/core/namespace.ts";
import { pods, type Pod } from "#api/core/pod.ts";
import { services, type Service, type ServicePort } from "#api/core/service.ts";
import { endpointSlices, serviceNameLabel, type Endpoint, type EndpointSlice } from "#api/discovery/endpointslice.ts";
import { gatewayClasses, gatewayController, gateways, type Gateway, type GatewayClass } from "#api/gateway/gateway.ts";
import { httpRoutes, type HTTPBackendRef, type HTTPRoute, type HTTPRouteRule } from "#api/gateway/httproute.ts";
import type { KindRef } from "#api/kind.ts";
import type { KubeObject, ObjectMeta } from "#api/meta.ts";
import type { Snapshot } from "./index.ts";
import { snapshotKinds } from "./kinds.ts";

export type Fixture = readonly [KindRef, KubeObject];

function meta(name: string, namespace: string, more: Partial<ObjectMeta> = {}): ObjectMeta {
  return { name, namespace, uid: `uid-${namespace}-${name}`, generation: 1, ...more };
}

export function service(
  name: string,
  clusterIP: string,
  ports: readonly ServicePort[],
  more: { namespace?: string; selector?: Record<string, string> } = {},
): readonly [KindRef, Service] {
  const { namespace = "default", selector = { app: name } } = more;
  return [
    services,
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: meta(name, namespace),
      spec: { clusterIP, clusterIPs: [clusterIP], selector, ports },
    },
  ];
}

/** A slice of `serviceName` with these endpoints on one port. */
export function slice(
  serviceName: string,
  port: number,
  endpoints: readonly (Partial<Endpoint> & { readonly addresses: readonly string[] })[],
  more: { namespace?: string; portName?: string; suffix?: string } = {},
): readonly [KindRef, EndpointSlice] {
  const { namespace = "default", portName = "http", suffix = "1" } = more;
  return [
    endpointSlices,
    {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: meta(`${serviceName}-${suffix}`, namespace, { labels: { [serviceNameLabel]: serviceName } }),
      addressType: "IPv4",
      endpoints,
      ports: [{ name: portName, port, protocol: "TCP" }],
    },
  ];
}

export function pod(
  name: string,
  podIP: string,
  labels: Record<string, string>,
  more: { namespace?: string; replicaSet?: string; port?: number } = {},
): readonly [KindRef, Pod] {
  const { namespace = "default", replicaSet, port = 9080 } = more;
  const ownerReferences =
    replicaSet === undefined
      ? []
      : [
          {
            apiVersion: "apps/v1",
            kind: "ReplicaSet",
            name: replicaSet,
            uid: `uid-${namespace}-${replicaSet}`,
            controller: true,
          },
        ];
  return [
    pods,
    {
      apiVersion: "v1",
      kind: "Pod",
      metadata: meta(name, namespace, { labels, ownerReferences }),
      spec: {
        nodeName: "node1",
        serviceAccountName: `bookinfo-${labels["app"] ?? "none"}`,
        containers: [{ name: "app", ports: [{ containerPort: port }] }],
      },
      status: { phase: "Running", podIP },
    },
  ];
}

export function replicaSet(
  name: string,
  deployment: string,
  namespace: string = "default",
): readonly [KindRef, ReplicaSet] {
  const ownerReferences = [
    { apiVersion: "apps/v1", kind: "Deployment", name: deployment, uid: `uid-${deployment}`, controller: true },
  ];
  return [
    replicaSets,
    {
      apiVersion: "apps/v1",
      kind: "ReplicaSet",
      metadata: meta(name, namespace, { ownerReferences }),
      spec: { selector: {} },
    },
  ];
}

/** An HTTPRoute whose parent is a Service, or the Gateway when `gateway` is given. */
export function httpRoute(
  name: string,
  parent: { service?: string; gateway?: string; namespace?: string; port?: number; sectionName?: string },
  rules: readonly HTTPRouteRule[],
  more: { namespace?: string; hostnames?: readonly string[]; createdAt?: string } = {},
): readonly [KindRef, HTTPRoute] {
  const { namespace = "default", hostnames, createdAt = "2026-01-01T00:00:00Z" } = more;
  const { service: serviceName, gateway: gatewayName, ...place } = parent;
  const parentRef =
    serviceName === undefined
      ? { ...place, name: gatewayName ?? "" }
      : { ...place, group: "", kind: "Service", name: serviceName };
  return [
    httpRoutes,
    {
      apiVersion: "gateway.networking.k8s.io/v1",
      kind: "HTTPRoute",
      metadata: meta(name, namespace, { creationTimestamp: createdAt }),
      spec: { parentRefs: [parentRef], rules, ...(hostnames === undefined ? {} : { hostnames }) },
    },
  ];
}

export function backend(name: string, weight?: number, port: number = 9080): HTTPBackendRef {
  return { name, port, ...(weight === undefined ? {} : { weight }) };
}

export const gatewayClass: readonly [KindRef, GatewayClass] = [
  gatewayClasses,
  {
    apiVersion: "gateway.networking.k8s.io/v1",
    kind: "GatewayClass",
    metadata: { name: "wherry" },
    spec: { controllerName: gatewayController },
  },
];

export function gateway(
  name: string,
  listeners: Gateway["spec"]["listeners"],
  namespace: string = "default",
): readonly [KindRef, Gateway] {
  return [
    gateways,
    {
      apiVersion: "gateway.networking.k8s.io/v1",
      kind: "Gateway",
      metadata: meta(name, namespace),
      spec: { gatewayClassName: "wherry", listeners },
    },
  ];
}

export function namespace(name: string, labels: Record<string, string> = {}): readonly [KindRef, Namespace] {
  return [namespaces, { apiVersion: "v1", kind: "Namespace", metadata: { name, labels } }];
}

const httpPort: readonly ServicePort[] = [{ name: "http", port: 9080, targetPort: 9080, protocol: "TCP" }];

function endpoint(podName: string, address: string): Endpoint {
  return {
    addresses: [address],
    conditions: { ready: true, serving: true, terminating: false },
    targetRef: { kind: "Pod", name: podName },
  };
}

/** reviews with three versions and a Service for each of two, productpage, a canary route and a gateway. */
export const bookinfo: readonly Fixture[] = [
  namespace("default"),
  service("productpage", "10.96.0.20", httpPort),
  slice("productpage", 9080, [endpoint("productpage-v1-a", "10.244.0.2")]),
  service("reviews", "10.96.0.21", httpPort),
  service("reviews-v1", "10.96.0.22", httpPort, { selector: { app: "reviews", version: "v1" } }),
  service("reviews-v2", "10.96.0.23", httpPort, { selector: { app: "reviews", version: "v2" } }),
  slice("reviews", 9080, [
    endpoint("reviews-v1-a", "10.244.0.3"),
    endpoint("reviews-v2-a", "10.244.1.4"),
    endpoint("reviews-v3-a", "10.244.1.5"),
  ]),
  slice("reviews-v1", 9080, [endpoint("reviews-v1-a", "10.244.0.3")]),
  slice("reviews-v2", 9080, [endpoint("reviews-v2-a", "10.244.1.4")]),
  replicaSet("reviews-v1-5d", "reviews-v1"),
  replicaSet("reviews-v2-6e", "reviews-v2"),
  pod("productpage-v1-a", "10.244.0.2", { app: "productpage", version: "v1" }),
  pod("reviews-v1-a", "10.244.0.3", { app: "reviews", version: "v1" }, { replicaSet: "reviews-v1-5d" }),
  pod("reviews-v2-a", "10.244.1.4", { app: "reviews", version: "v2" }, { replicaSet: "reviews-v2-6e" }),
  pod("reviews-v3-a", "10.244.1.5", { app: "reviews", version: "v3" }),
  httpRoute("reviews", { service: "reviews", port: 9080 }, [
    { backendRefs: [backend("reviews-v1", 90), backend("reviews-v2", 10)] },
  ]),
  gatewayClass,
  gateway("bookinfo-gateway", [{ name: "http", port: 80, protocol: "HTTP" }]),
  httpRoute("bookinfo", { gateway: "bookinfo-gateway" }, [
    {
      matches: [{ path: { type: "Exact", value: "/productpage" } }, { path: { type: "PathPrefix", value: "/static" } }],
      backendRefs: [backend("productpage")],
    },
  ]),
];

/** Gives all objects to a snapshot, says that every kind has synced, and flushes. */
export function fill(snapshot: Snapshot, objects: readonly Fixture[]): Snapshot {
  for (const [kind, object] of objects) snapshot.onEvent(kind, "ADDED", object);
  for (const kind of snapshotKinds) snapshot.synced(kind);
  snapshot.flush();
  return snapshot;
}
