/** A sidecar end to end on loopback: interception, configuration, metrics, tracing, gateway. */
import assert from "node:assert/strict";
import { createServer } from "node:net";
import { test } from "node:test";
import { typeUrls } from "#api/xds/envoy.ts";
import type { WorkloadResource } from "#api/wire/workload.ts";
import { RawClient, eventually, listenOn, raw, startAnswering, startUpstream } from "#proxy/l7/fixture.ts";
import { SidecarError } from "./errors.ts";
import { page, spec, startPod } from "./fixture.ts";

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const router = { name: "router", typed_config: { "@type": typeUrls.router } };
const ads = { ads: {}, resource_api_version: "V3" };
const address = (ip: string, port: number): object => ({ socket_address: { address: ip, port_value: port } });

const edsCluster = {
  name: "outbound|9080||ratings.default.svc.cluster.local",
  type: "EDS",
  eds_cluster_config: { eds_config: ads },
  lb_policy: "ROUND_ROBIN",
  connect_timeout: "1s",
  metadata: {
    filter_metadata: {
      istio: { services: [{ host: "ratings.default.svc.cluster.local", name: "ratings", namespace: "default" }] },
    },
  },
};

const endpoints = (ports: readonly number[]): object => ({
  cluster_name: edsCluster.name,
  endpoints: [
    {
      locality: {},
      load_balancing_weight: 1,
      lb_endpoints: ports.map((port) => ({
        endpoint: { address: address("127.0.0.1", port) },
        health_status: "HEALTHY",
        metadata: { filter_metadata: { istio: { workload: "ratings;default;ratings;v1;Kubernetes" } } },
      })),
    },
  ],
});

const outboundListener = {
  name: "0.0.0.0_9080",
  address: address("0.0.0.0", 9080),
  bind_to_port: false,
  traffic_direction: "OUTBOUND",
  filter_chains: [
    {
      filters: [
        {
          name: "hcm",
          typed_config: {
            "@type": typeUrls.httpConnectionManager,
            stat_prefix: "x",
            rds: { config_source: ads, route_config_name: "9080" },
            http_filters: [router],
          },
        },
      ],
    },
  ],
};

const routes = {
  name: "9080",
  virtual_hosts: [
    {
      name: "ratings",
      domains: ["ratings", "ratings:9080"],
      routes: [{ match: { prefix: "/" }, route: { cluster: edsCluster.name, timeout: "0s" } }],
    },
  ],
};

const inboundListener = (port: number): object => ({
  name: "virtualInbound",
  address: address("0.0.0.0", 15006),
  traffic_direction: "INBOUND",
  filter_chains: [
    {
      filter_chain_match: { destination_port: port },
      filters: [
        {
          name: "hcm",
          typed_config: {
            "@type": typeUrls.httpConnectionManager,
            stat_prefix: "x",
            http_filters: [router],
            route_config: {
              name: "inbound",
              virtual_hosts: [
                { name: "app", domains: ["*"], routes: [{ match: { prefix: "/" }, route: { cluster: "inbound" } }] },
              ],
            },
          },
        },
      ],
    },
  ],
});

const inboundCluster = {
  name: "inbound",
  type: "ORIGINAL_DST",
  lb_policy: "CLUSTER_PROVIDED",
  metadata: {
    filter_metadata: {
      istio: { services: [{ host: "reviews.default.svc.cluster.local", name: "reviews", namespace: "default" }] },
    },
  },
};

const request = (host: string, headers = ""): string =>
  `GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n${headers}\r\n`;

test("Sidecar is listening once all that the first configuration names has come", async () => {
  await using pod = await startPod({});
  let isListening = false;
  void pod.sidecar.listening.then(() => (isListening = true));
  const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  pod.config.apply("cluster", [edsCluster]);
  assert.deepEqual(pod.config.names.get(typeUrls.endpoint), [edsCluster.name]);
  pod.config.apply("listener", [outboundListener]);
  assert.deepEqual(pod.config.names.get(typeUrls.route), ["9080"]);
  pod.config.apply("route", [routes]);
  await settle();
  assert.equal(isListening, false);
  assert.equal((await page(pod.ports.metrics, "/healthz/ready")).status, 503);
  pod.config.apply("endpoint", [endpoints([1])]);
  await settle();
  assert.equal(isListening, true);
  assert.equal((await page(pod.ports.metrics, "/healthz/ready")).status, 200);
});

test("Sidecar routes outbound by the original destination's port, and counts with Istio's labels", async () => {
  await using upstream = await startAnswering(ok);
  await using pod = await startPod({});
  pod.config.apply("cluster", [edsCluster]);
  pod.config.apply("endpoint", [endpoints([upstream.port])]);
  pod.config.apply("listener", [outboundListener]);
  pod.config.apply("route", [routes]);
  await pod.sidecar.listening;
  pod.destination = { address: "10.96.0.7", port: 9080 };
  assert.match(await raw(pod.ports.outbound, request("ratings")), /ok$/);
  assert.match(await raw(pod.ports.outbound, request("ratings:9080")), /ok$/);
  assert.match(await raw(pod.ports.outbound, request("unknown")), /^HTTP\/1\.1 404 .*NR/s);
  const { text } = await page(pod.ports.metrics, "/stats/prometheus");
  const labels =
    'reporter="source",source_workload="reviews",source_canonical_service="reviews",source_canonical_revision="v1",' +
    'source_workload_namespace="default",source_principal="unknown",source_app="reviews",source_version="v1",' +
    'source_cluster="Kubernetes",destination_workload="ratings",destination_workload_namespace="default",' +
    'destination_principal="unknown",destination_app="ratings",destination_version="v1",' +
    'destination_service="ratings.default.svc.cluster.local",destination_canonical_service="ratings",' +
    'destination_canonical_revision="v1",destination_service_name="ratings",destination_service_namespace="default",' +
    'destination_cluster="Kubernetes",request_protocol="http",response_code="200",grpc_response_status="",' +
    'response_flags="-",connection_security_policy="unknown"';
  assert.ok(text.includes(`istio_requests_total{${labels}} 2\n`), text);
  assert.ok(text.includes(`istio_request_duration_milliseconds_count{${labels}} 2\n`));
  assert.ok(text.includes(`istio_response_bytes_bucket{${labels},le="5"} 2\n`));
  assert.match(text, /istio_requests_total\{.*response_code="404".*response_flags="NR".*\} 1\n/);
});

test("Sidecar passes what it has no listener for through as TCP", async () => {
  await using upstream = await startUpstream((socket) => socket.end("greeting"));
  await using pod = await startPod({});
  pod.destination = { address: "127.0.0.1", port: upstream.port };
  assert.equal(await raw(pod.ports.outbound, ""), "greeting");
  assert.equal(await raw(pod.ports.inbound, ""), "greeting");
  await eventually(() => pod.sidecar.metrics().includes("istio_tcp_connections_closed_total{"), "closed");
  assert.match(pod.sidecar.metrics(), /istio_tcp_sent_bytes_total\{reporter="source".*PassthroughCluster.*\} 8\n/);
});

test("Sidecar refuses connections to itself", async () => {
  await using pod = await startPod({});
  for (const port of [15001, 15006]) {
    pod.destination = { address: spec.podIP, port };
    assert.equal(await raw(pod.ports.outbound, "x"), "");
  }
  assert.match(pod.sidecar.metrics(), /wherry_loops_refused_total 2\n/);
});

test("Sidecar serves inbound, names the caller, and hands back when the application is down", async () => {
  const caller: WorkloadResource = {
    address: "127.0.0.1",
    namespace: "default",
    podName: "productpage-1",
    workloadName: "productpage",
    serviceAccount: "productpage",
    app: "productpage",
    version: "v1",
    canonicalService: "productpage",
    canonicalRevision: "v1",
    nodeName: "n",
  };
  const app = await startAnswering(ok);
  await using pod = await startPod({ workloads: [caller] });
  pod.config.apply("cluster", [inboundCluster]);
  pod.config.apply("listener", [inboundListener(app.port)]);
  await pod.sidecar.listening;
  pod.destination = { address: "127.0.0.1", port: app.port };
  assert.match(await raw(pod.ports.inbound, request("reviews")), /ok$/);
  await app[Symbol.asyncDispose]();
  assert.equal(await raw(pod.ports.inbound, request("reviews")), "");
  const text = pod.sidecar.metrics();
  const line = text.split("\n").filter((line) => line.startsWith("istio_requests_total"));
  assert.equal(line.length, 1);
  assert.match(
    line[0]!,
    /reporter="destination",source_workload="productpage".*destination_workload="reviews".*policy="none"\} 1$/,
  );
  assert.match(text, /wherry_inbound_handed_back_total\{reason="connect"\} 1\n/);
});

test("Sidecar retries a handed-back request at another endpoint", async () => {
  // Two sidecars: the caller's outbound, and the inbound of a pod whose application is down.
  await using down = await startPod({});
  await using up = await startAnswering(ok);
  await using caller = await startPod({});
  const closed = createServer();
  const closedPort = await listenOn(closed);
  await new Promise<void>((resolve) => closed.close(() => resolve()));
  down.config.apply("cluster", [inboundCluster]);
  down.config.apply("listener", [inboundListener(closedPort)]);
  down.destination = { address: "127.0.0.1", port: closedPort };
  caller.config.apply("cluster", [edsCluster]);
  caller.config.apply("endpoint", [endpoints([down.ports.inbound, up.port])]);
  caller.config.apply("listener", [outboundListener]);
  const route = { cluster: edsCluster.name, retry_policy: { retry_on: "connect-failure,reset" } };
  const [host] = routes.virtual_hosts;
  caller.config.apply("route", [
    { ...routes, virtual_hosts: [{ ...host, routes: [{ match: { prefix: "/" }, route }] }] },
  ]);
  caller.destination = { address: "10.96.0.7", port: 9080 };
  for (let turn = 0; turn < 4; turn++) assert.match(await raw(caller.ports.outbound, request("ratings")), /ok$/);
  assert.match(down.sidecar.metrics(), /handed_back_total\{reason="connect"\} [1-9]/);
});

test("Sidecar without tracing passes trace headers as they came, and makes request ids", async () => {
  await using upstream = await startAnswering(ok);
  await using pod = await startPod({});
  pod.config.apply("cluster", [inboundCluster]);
  pod.config.apply("listener", [inboundListener(upstream.port)]);
  pod.destination = { address: "127.0.0.1", port: upstream.port };
  const trace = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\ntracestate: k=v\r\n";
  await raw(pod.ports.inbound, request("a", `${trace}X-Request-Id: mine\r\n`));
  await raw(pod.ports.inbound, request("a"));
  const [first = "", second = ""] = upstream.received.join("").split(/(?<=\r\n\r\n)/);
  assert.ok(first.includes(trace), first);
  assert.match(first, /x-request-id: mine\r\n/);
  assert.doesNotMatch(second, /traceparent/);
  assert.match(second, /x-request-id: [0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\r\n/);
});

test("Sidecar of a gateway binds the ports of its listeners and serves published connections", async () => {
  await using upstream = await startAnswering(ok);
  await using pod = await startPod({ gateway: "default/bookinfo" });
  const listener = { ...outboundListener, name: "http", address: address("0.0.0.0", 8080), bind_to_port: true };
  pod.config.apply("cluster", [edsCluster]);
  pod.config.apply("endpoint", [endpoints([upstream.port])]);
  pod.config.apply("listener", [listener]);
  pod.config.apply("route", [routes]);
  await pod.sidecar.listening;
  assert.match(await raw(pod.gatewayPorts.get(8080)!, request("ratings")), /ok$/);
  const published = createServer((socket) => pod.sidecar.acceptPublished(socket, 8080));
  const port = await listenOn(published);
  assert.match(await raw(port, request("ratings")), /ok$/);
  await new Promise<void>((resolve) => published.close(() => resolve()));
  pod.config.apply("listener", [], ["http"]);
  await eventually(() => pod.gatewayPorts.size === 1, "bound once");
});

test("Sidecar refuses a resource by the path of its field and keeps what it has", async () => {
  await using upstream = await startAnswering(ok);
  await using pod = await startPod({});
  pod.config.apply("cluster", [edsCluster]);
  pod.config.apply("endpoint", [endpoints([upstream.port])]);
  pod.config.apply("listener", [outboundListener]);
  pod.config.apply("route", [routes]);
  const bad = { ...edsCluster, name: "x", track_cluster_stats: { timeout_budgets: true } };
  assert.throws(
    () => pod.config.apply("cluster", [{ ...edsCluster, connect_timeout: "2s" }, bad]),
    (error) => error instanceof SidecarError && /x: Cannot use Cluster\.track_cluster_stats/.test(error.message),
  );
  pod.destination = { address: "10.96.0.7", port: 9080 };
  assert.match(await raw(pod.ports.outbound, request("ratings")), /ok$/);
});

test("Sidecar loses no request while clusters, routes and endpoints are replaced and removed", async () => {
  await using one = await startAnswering(ok);
  await using two = await startAnswering(ok);
  await using pod = await startPod({});
  pod.config.apply("cluster", [edsCluster]);
  pod.config.apply("endpoint", [endpoints([one.port])]);
  pod.config.apply("listener", [outboundListener]);
  pod.config.apply("route", [routes]);
  pod.destination = { address: "10.96.0.7", port: 9080 };
  const other = { ...edsCluster, name: "other" };
  const otherRoutes = JSON.parse(JSON.stringify(routes).replaceAll(edsCluster.name, "other")) as object;
  const client = new RawClient(pod.ports.outbound);
  const steps: readonly (() => void)[] = [
    () => pod.config.apply("endpoint", [endpoints([one.port, two.port])]),
    // A route to a cluster that is not there yet waits, a cluster that is still in use stays.
    () => pod.config.apply("route", [otherRoutes]),
    () => pod.config.apply("cluster", [other], [edsCluster.name]),
    () => pod.config.apply("endpoint", [{ ...endpoints([two.port]), cluster_name: "other" }]),
    () => pod.config.apply("cluster", [{ ...other, connect_timeout: "3s" }]),
    () => pod.config.apply("endpoint", [{ ...endpoints([one.port]), cluster_name: "other" }]),
  ];
  for (let turn = 0; turn < 60; turn++) {
    if (turn % 10 === 5) steps[(turn - 5) / 10]!();
    client.text = "";
    client.send("GET / HTTP/1.1\r\nHost: ratings\r\n\r\n");
    assert.match(await client.until("ok"), /^HTTP\/1\.1 200/, `turn ${turn}`);
  }
  client.close();
  assert.deepEqual(
    [...pod.sidecar.metrics().matchAll(/response_code="(\d+)"/g)].filter(([, code]) => code !== "200"),
    [],
  );
});

test("Sidecar's admin pages show the configuration", async () => {
  await using pod = await startPod({});
  pod.config.apply("cluster", [edsCluster]);
  pod.config.apply("endpoint", [endpoints([1234])]);
  pod.config.apply("listener", [outboundListener]);
  pod.config.apply("route", [routes]);
  const { configs } = JSON.parse((await page(pod.ports.admin, "/config_dump")).text) as {
    configs: { resources: { name: string; resource: unknown }[] }[];
  };
  assert.deepEqual(configs[0]!.resources, [{ name: outboundListener.name, resource: outboundListener }]);
  assert.match((await page(pod.ports.admin, "/clusters")).text, /ratings.*::127\.0\.0\.1:1234::health_flags::healthy/);
  assert.match((await page(pod.ports.admin, "/listeners")).text, /0\.0\.0\.0_9080::0\.0\.0\.0:9080/);
  assert.equal((await page(pod.ports.admin, "/ready")).status, 200);
  assert.match((await page(pod.ports.admin, "/server_info")).text, /"state": "LIVE"/);
  assert.equal((await page(pod.ports.admin, "/drain_listeners")).status, 405);
  assert.equal((await page(pod.ports.admin, "/drain_listeners", "POST")).status, 200);
  assert.equal((await page(pod.ports.admin, "/nothing")).status, 404);
});

test("SidecarHost.remove() waits for what is in flight and closes the stream", async () => {
  let release: (() => void) | undefined;
  await using upstream = await startUpstream((socket) => socket.on("data", () => (release = () => socket.write(ok))));
  await using pod = await startPod({});
  pod.config.apply("cluster", [inboundCluster]);
  pod.config.apply("listener", [inboundListener(upstream.port)]);
  pod.destination = { address: "127.0.0.1", port: upstream.port };
  const answer = raw(pod.ports.inbound, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  await eventually(() => release !== undefined, "in flight");
  const removed = pod.host.remove(spec.podUid, { drainMs: 5000 });
  release!();
  assert.match(await answer, /Connection: close\r\n\r\nok$/);
  await removed;
  assert.equal(pod.config.isClosed, true);
  assert.equal(pod.host.get(spec.podUid), undefined);
});
