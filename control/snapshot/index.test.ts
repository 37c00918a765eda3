/** The snapshot as a whole: Bookinfo's resources, what each change touches, and that increments equal a fresh start. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { services } from "#api/core/service.ts";
import { httpRoutes } from "#api/gateway/httproute.ts";
import { serviceTypeUrl } from "#api/wire/service.ts";
import { workloadTypeUrl, type WorkloadResource } from "#api/wire/workload.ts";
import { decodeResource } from "#api/xds/codec.ts";
import {
  typeUrls,
  type Cluster,
  type ClusterLoadAssignment,
  type Listener,
  type RouteConfiguration,
} from "#api/xds/envoy.ts";
import { Reader } from "#api/xds/wire.ts";
import type { NodeId } from "#api/xds/node-id.ts";
import * as fixture from "./fixture.ts";
import { bookinfo, fill, type Fixture } from "./fixture.ts";
import { Snapshot } from "./index.ts";
import type { View } from "./view.ts";

const sidecar: NodeId = { kind: "sidecar", podIP: "10.244.0.3", namespace: "default", podName: "reviews-v1-a" };
const router: NodeId = {
  kind: "router",
  podIP: "10.244.0.9",
  namespace: "default",
  podName: "gw",
  gateway: "default/bookinfo-gateway",
};
const node: NodeId = { kind: "node", nodeName: "node1" };

/** What each type URL carries. */
interface Types {
  readonly [typeUrls.listener]: Listener;
  readonly [typeUrls.route]: RouteConfiguration;
  readonly [typeUrls.cluster]: Cluster;
  readonly [typeUrls.endpoint]: ClusterLoadAssignment;
  readonly [workloadTypeUrl]: WorkloadResource;
}

/** The object inside a resource's wire form: Resource.resource (2), Any.value (2). */
function read<Type extends keyof Types>(view: View, typeUrl: Type, name: string): Types[Type] {
  const resource = view.get(typeUrl, name);
  assert.ok(resource, `${name} exists`);
  const inner = (bytes: Uint8Array): Uint8Array => {
    const reader = new Reader(bytes);
    while (!reader.done) {
      const [id] = reader.tag();
      const value = reader.bytes();
      if (id === 2) return value;
    }
    return new Uint8Array();
  };
  return decodeResource(typeUrl, inner(inner(resource.wire))) as unknown as Types[Type];
}

const allTypes = [...Object.values(typeUrls).slice(0, 4), serviceTypeUrl, workloadTypeUrl];

/** name → version of all that a view shows, as text. */
function dump(view: View): string {
  return allTypes
    .flatMap((typeUrl) =>
      [...view.names(typeUrl)].sort().map((name) => `${typeUrl} ${name} ${view.get(typeUrl, name)?.version}`),
    )
    .join("\n");
}

test("connect() shows a sidecar all outbound listeners and its own inbound one", () => {
  const { view } = fill(new Snapshot(), bookinfo).connect(sidecar);
  assert.deepEqual([...view.names(typeUrls.listener)].sort(), [
    "10.96.0.20_9080",
    "10.96.0.21_9080",
    "10.96.0.22_9080",
    "10.96.0.23_9080",
    "virtualInbound",
    "virtualOutbound",
  ]);
  const listener = read(view, typeUrls.listener, "10.96.0.21_9080");
  assert.equal(listener.bind_to_port, false);
  assert.equal(listener.traffic_direction, "OUTBOUND");
  const config = listener.filter_chains?.[0]?.filters[0]?.typed_config;
  assert.ok(config?.["@type"] === typeUrls.httpConnectionManager);
  assert.equal(config.rds?.route_config_name, "reviews.default.svc.cluster.local:9080");
});

test("flush() splits a canary by weight and routes the rest to the Service itself", () => {
  const { view } = fill(new Snapshot(), bookinfo).connect(sidecar);
  const reviews = read(view, typeUrls.route, "reviews.default.svc.cluster.local:9080");
  assert.deepEqual(reviews.virtual_hosts, [
    {
      name: "reviews.default.svc.cluster.local:9080",
      domains: ["*"],
      routes: [
        {
          name: "default/reviews/0",
          match: { prefix: "/" },
          route: {
            weighted_clusters: {
              clusters: [
                { name: "outbound|9080||reviews-v1.default.svc.cluster.local", weight: 90 },
                { name: "outbound|9080||reviews-v2.default.svc.cluster.local", weight: 10 },
              ],
            },
            timeout: "0s",
            retry_policy: { retry_on: "connect-failure,reset", num_retries: 1 },
          },
        },
      ],
    },
  ]);
  const page = read(view, typeUrls.route, "productpage.default.svc.cluster.local:9080");
  assert.equal(
    page.virtual_hosts[0]?.routes[0]?.route?.cluster,
    "outbound|9080||productpage.default.svc.cluster.local",
  );
});

test("flush() names the workload behind each endpoint", () => {
  const { view } = fill(new Snapshot(), bookinfo).connect(sidecar);
  const endpoints = read(view, typeUrls.endpoint, "outbound|9080||reviews.default.svc.cluster.local");
  assert.deepEqual(
    endpoints.endpoints.flatMap(({ lb_endpoints }) =>
      lb_endpoints.map(({ endpoint, metadata }) => [
        endpoint.address.socket_address.address,
        metadata?.filter_metadata["istio"]?.["workload"],
      ]),
    ),
    [
      ["10.244.0.3", "reviews-v1;default;reviews;v1;Kubernetes"],
      ["10.244.1.4", "reviews-v2;default;reviews;v2;Kubernetes"],
      ["10.244.1.5", "reviews-v3-a;default;reviews;v3;Kubernetes"],
    ],
  );
});

test("connect() makes a sidecar's inbound side from the Services that select the pod", () => {
  const { view } = fill(new Snapshot(), bookinfo).connect(sidecar);
  const cluster = read(view, typeUrls.cluster, "inbound|9080||");
  assert.deepEqual(cluster.load_assignment?.endpoints[0]?.lb_endpoints[0]?.endpoint.address, {
    socket_address: { address: "10.244.0.3", port_value: 9080 },
  });
  assert.deepEqual(cluster.metadata?.filter_metadata["istio"]?.["services"], [
    { host: "reviews.default.svc.cluster.local", name: "reviews", namespace: "default" },
    { host: "reviews-v1.default.svc.cluster.local", name: "reviews-v1", namespace: "default" },
  ]);
  const listener = read(view, typeUrls.listener, "virtualInbound");
  assert.deepEqual(
    listener.filter_chains?.map((chain) => chain.filter_chain_match),
    [{ destination_port: 9080 }, { application_protocols: ["http/1.0", "http/1.1", "h2c"] }],
  );
  assert.equal(
    listener.listener_filters?.[1]?.filter_disabled,
    undefined,
    "the inspector may look: clients of HTTP speak first",
  );
});

test("connect() makes nothing inbound for a pod that is not known yet, and the rest when it is", () => {
  const known = bookinfo.filter(([, object]) => object.metadata.name !== "reviews-v1-a");
  const snapshot = fill(new Snapshot(), known);
  const { view } = snapshot.connect(sidecar);
  assert.equal(view.get(typeUrls.cluster, "inbound|9080||"), undefined);
  const [kind, object] = fixture.pod("reviews-v1-a", "10.244.0.3", { app: "reviews", version: "v1" });
  snapshot.onEvent(kind, "ADDED", object);
  const changes = snapshot.flush();
  assert.ok(
    changes
      .get(view.scopes[0] ?? "")
      ?.get(typeUrls.cluster)
      ?.has("inbound|9080||"),
  );
});

test("connect() shows a gateway only its own listeners and the clusters that it sends to", () => {
  const { view } = fill(new Snapshot(), bookinfo).connect(router);
  assert.deepEqual([...view.names(typeUrls.listener)], ["0.0.0.0_80"]);
  assert.deepEqual([...view.names(typeUrls.cluster)], ["outbound|9080||productpage.default.svc.cluster.local"]);
  assert.equal(view.get(typeUrls.endpoint, "outbound|9080||reviews.default.svc.cluster.local"), undefined);
  const routes = read(view, typeUrls.route, "http.80");
  assert.deepEqual(
    routes.virtual_hosts.map(({ domains, routes: inside }) => [domains, inside.map(({ match }) => match)]),
    [[["*"], [{ path: "/productpage" }, { path_separated_prefix: "/static" }]]],
  );
});

test("connect() shows a node every Service and the workload of every address", () => {
  const { view } = fill(new Snapshot(), bookinfo).connect(node);
  assert.deepEqual([...view.names(serviceTypeUrl)].sort(), [
    "default/productpage",
    "default/reviews",
    "default/reviews-v1",
    "default/reviews-v2",
  ]);
  const workload = read(view, workloadTypeUrl, "10.244.0.3");
  assert.equal(workload.workloadName, "reviews-v1");
  assert.deepEqual([...view.names(typeUrls.cluster)], []);
});

test("flush() reports only what an endpoint change touches", () => {
  const snapshot = fill(new Snapshot(), bookinfo);
  const [kind, object] = fixture.slice("reviews", 9080, [{ addresses: ["10.244.0.3"], conditions: { ready: true } }]);
  snapshot.onEvent(kind, "MODIFIED", object);
  const changes = snapshot.flush();
  assert.deepEqual(
    [...changes].map(([scope, types]) => [scope, [...types].map(([typeUrl, names]) => [typeUrl, [...names]])]),
    [
      ["node", [[serviceTypeUrl, ["default/reviews"]]]],
      ["mesh", [[typeUrls.endpoint, ["outbound|9080||reviews.default.svc.cluster.local"]]]],
    ],
  );
  snapshot.onEvent(kind, "MODIFIED", object);
  assert.equal(snapshot.flush().size, 0, "the same object again changes nothing");
});

test("flush() answers 500 for the share of a backend that is deleted, and all when none is left", () => {
  const snapshot = fill(new Snapshot(), bookinfo);
  const { view } = snapshot.connect(sidecar);
  const remove = (name: string): RouteConfiguration => {
    const [kind, object] = bookinfo.find(([kind, one]) => kind === services && one.metadata.name === name) as Fixture;
    snapshot.onEvent(kind, "DELETED", object);
    snapshot.flush();
    return read(view, typeUrls.route, "reviews.default.svc.cluster.local:9080");
  };
  const route = remove("reviews-v2").virtual_hosts[0]?.routes[0]?.route;
  assert.equal(route?.cluster_not_found_response_code, "INTERNAL_SERVER_ERROR");
  assert.equal(route?.weighted_clusters?.clusters[1]?.name, "MissingBackend");
  assert.equal(remove("reviews-v1").virtual_hosts[0]?.routes[0]?.direct_response?.status, 500);
});

test("flush() gives consumer routes to their own namespace alone", () => {
  const consumer = fixture.httpRoute(
    "mine",
    { service: "reviews", namespace: "default" },
    [{ backendRefs: [{ ...fixture.backend("reviews-v2"), namespace: "default" }] }],
    { namespace: "shop" },
  );
  const snapshot = fill(new Snapshot(), [...bookinfo, consumer]);
  const name = "reviews.default.svc.cluster.local:9080";
  const first = (namespace: string): string | undefined => {
    const { view } = snapshot.connect({ kind: "sidecar", podIP: "10.244.0.8", namespace, podName: "x" });
    return read(view, typeUrls.route, name).virtual_hosts[0]?.routes[0]?.route?.cluster;
  };
  assert.equal(first("shop"), "outbound|9080||reviews-v2.default.svc.cluster.local");
  assert.equal(first("default"), undefined, "the producer's route is weighted");
  snapshot.onEvent(httpRoutes, "DELETED", consumer[1]);
  snapshot.flush();
  assert.equal(first("shop"), undefined);
});

test("flush() keeps serving a cluster IP that passes from one Service to another", () => {
  const snapshot = fill(new Snapshot(), bookinfo);
  const { view } = snapshot.connect(sidecar);
  const old = bookinfo.find(([kind, one]) => kind === services && one.metadata.name === "productpage") as Fixture;
  const [kind, object] = fixture.service("another", "10.96.0.20", [{ name: "tcp", port: 9080 }]);
  snapshot.onEvent(kind, "ADDED", object);
  snapshot.onEvent(kind, "DELETED", old[1]);
  snapshot.flush();
  const config = read(view, typeUrls.listener, "10.96.0.20_9080").filter_chains?.[0]?.filters[0]?.typed_config;
  assert.ok(config?.["@type"] === typeUrls.tcpProxy);
});

test("flush() after any changes equals a fresh snapshot of the same objects", () => {
  const variants: readonly Fixture[] = [
    ...bookinfo,
    fixture.service("reviews", "10.96.0.20", [{ name: "grpc", port: 9080 }]),
    fixture.service("reviews-v1", "10.96.0.22", [{ port: 9080, name: "x", targetPort: 8080 }], {
      selector: { app: "productpage" },
    }),
    fixture.slice("reviews", 9080, [
      {
        addresses: ["10.244.0.3"],
        conditions: { ready: false, serving: true, terminating: true },
        targetRef: { kind: "Pod", name: "reviews-v1-a" },
      },
    ]),
    fixture.slice("reviews", 9081, [{ addresses: ["10.244.0.7"], zone: "b" }], { suffix: "2" }),
    fixture.pod(
      "reviews-v1-a",
      "10.244.0.3",
      { app: "reviews", version: "v9" },
      { replicaSet: "reviews-v1-5d", port: 7070 },
    ),
    fixture.pod("reviews-v2-a", "10.244.0.3", { app: "reviews", version: "v2" }, { replicaSet: "reviews-v2-6e" }),
    fixture.replicaSet("reviews-v1-5d", "renamed"),
    fixture.httpRoute("reviews", { service: "productpage" }, [
      { backendRefs: [fixture.backend("reviews"), fixture.backend("gone")] },
    ]),
    fixture.httpRoute(
      "other",
      { service: "reviews", namespace: "default" },
      [{ backendRefs: [fixture.backend("reviews-v2")] }],
      { namespace: "shop" },
    ),
    fixture.httpRoute("bookinfo", { gateway: "bookinfo-gateway" }, [{ backendRefs: [fixture.backend("reviews")] }], {
      hostnames: ["a.example"],
    }),
    fixture.gateway("bookinfo-gateway", [
      {
        name: "a",
        port: 80,
        protocol: "HTTP",
        hostname: "*.example",
        allowedRoutes: { namespaces: { from: "Selector", selector: { matchLabels: { team: "a" } } } },
      },
      { name: "b", port: 81, protocol: "HTTP" },
    ]),
    fixture.namespace("default", { team: "a" }),
  ];
  const step = fc.record({ index: fc.nat(variants.length - 1), remove: fc.boolean(), flush: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60, size: "max" }), (steps) => {
      const clients = [sidecar, { ...sidecar, namespace: "shop" }, router, node] as const;
      const incremental = new Snapshot();
      const views = clients.map((id) => incremental.connect(id).view);
      const seen = views.map(() => new Map<string, string | undefined>());
      const present = new Map<string, Fixture>();
      // A client that looks again only at the names reported, as push does.
      const flush = (): void => {
        const changes = incremental.flush();
        views.forEach((view, index) => {
          for (const scope of view.scopes)
            for (const [typeUrl, names] of changes.get(scope) ?? [])
              for (const name of names) seen[index]?.set(`${typeUrl} ${name}`, view.get(typeUrl, name)?.version);
        });
      };
      for (const { index, remove, flush: now } of steps) {
        const [kind, object] = variants[index] as Fixture;
        const key = `${kind.plural} ${object.metadata.namespace}/${object.metadata.name}`;
        if (remove && !present.has(key)) continue;
        incremental.onEvent(kind, remove ? "DELETED" : present.has(key) ? "MODIFIED" : "ADDED", object);
        if (remove) present.delete(key);
        else present.set(key, [kind, object]);
        if (now) flush();
      }
      flush();
      const fresh = fill(new Snapshot(), [...present.values()]);
      clients.forEach((id, index) => {
        const wanted = dump(fresh.connect(id).view);
        assert.equal(dump(views[index] as View), wanted);
        const held = [...(seen[index] ?? [])]
          .filter(([, version]) => version !== undefined)
          .map(([name, version]) => `${name} ${version}`);
        const lines = wanted === "" ? [] : wanted.split("\n");
        assert.deepEqual(held.sort(), lines.sort(), "following the changes alone gives the same");
      });
      assert.deepEqual([...incremental.problems], []);
    }),
    { numRuns: 200 },
  );
});
