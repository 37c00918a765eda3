/** Tests of admission over HTTP: addresses and ports of Services, sidecars, Secrets, defaults of pods. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pod } from "#api/core/pod.ts";
import { seededRandom } from "#lib/random.ts";
import { type Testbed, textOf, withServer } from "../testbed.ts";
import { ServiceAllocator } from "./service-allocator.ts";
import { isInjected } from "./sidecar.ts";

const services = "/api/v1/namespaces/default/services";

function service(name: string, spec: object = {}): object {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name },
    spec: { ports: [{ port: 80 }], selector: { app: name }, ...spec },
  };
}

async function code(reply: ReturnType<Testbed["call"]>, wanted: number, message = /./): ReturnType<Testbed["call"]> {
  const got = await reply;
  assert.equal(got.code, wanted, got.text);
  assert.match(got.text, message);
  return got;
}

test("Services get cluster IPs of their own, keep them over updates, and give them back", async () => {
  await withServer(async ({ call }) => {
    const created = await Promise.all(
      Array.from({ length: 30 }, (_, index) => code(call("POST", services, service(`s${index}`)), 201)),
    );
    const addresses = created.map(({ body }) => textOf(body["spec"]?.["clusterIP"]));
    assert.equal(new Set(addresses).size, 30);
    for (const address of addresses) assert.match(address, /^10\.96\.\d+\.\d+$/);
    const kept = await code(call("PUT", `${services}/s0`, service("s0", { ports: [{ port: 81 }] })), 200);
    assert.equal(kept.body["spec"]?.["clusterIP"], addresses[0]);
    assert.equal(kept.body["spec"]?.["ports"]?.[0]?.["targetPort"], 81);
    await code(
      call("POST", services, service("t", { clusterIP: addresses[0] })),
      422,
      /provided IP is already allocated/,
    );
    await code(
      call("PATCH", `${services}/s0`, { spec: { clusterIP: "10.96.9.9", clusterIPs: null } }),
      422,
      /may not change once set/,
    );
    await code(call("DELETE", `${services}/s0`), 200);
    await code(call("POST", services, service("t", { clusterIP: addresses[0] })), 201);
    await code(call("POST", services, service("u", { clusterIP: "10.97.0.1" })), 422, /not in the valid range/);
    await code(call("POST", services, service("u", { clusterIP: "10.96.0.1" })), 422, /already allocated/);
    await code(call("POST", services, service("dns", { clusterIP: "10.96.0.10" })), 201);
    const headless = await code(call("POST", services, service("v", { clusterIP: "None" })), 201);
    assert.deepEqual(headless.body["spec"]?.["clusterIPs"], ["None"]);
    const external = {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "w" },
      spec: { type: "ExternalName", externalName: "example.com" },
    };
    assert.equal((await code(call("POST", services, external), 201)).body["spec"]?.["clusterIP"], undefined);
  });
});

test("node ports come with the types that have them, and go with them", async () => {
  await withServer(async ({ call }) => {
    const { body } = await code(call("POST", services, service("a", { type: "NodePort" })), 201);
    const port = Number(body["spec"]?.["ports"]?.[0]?.["nodePort"]);
    assert.ok(port >= 30_000 && port <= 32_767);
    await code(
      call("POST", services, service("b", { type: "NodePort", ports: [{ port: 80, nodePort: port }] })),
      422,
      /provided port is already allocated/,
    );
    await code(
      call("POST", services, service("b", { type: "NodePort", ports: [{ port: 80, nodePort: 80 }] })),
      422,
      /not in the valid range/,
    );
    await code(
      call("POST", services, service("b", { ports: [{ port: 80, nodePort: 30_001 }] })),
      422,
      /may not be used when `type` is 'ClusterIP'/,
    );
    const dns = [
      { name: "udp", port: 53, protocol: "UDP", nodePort: 30_053 },
      { name: "tcp", port: 53, protocol: "TCP", nodePort: 30_053 },
    ];
    await code(call("POST", services, service("dns", { type: "NodePort", ports: dns })), 201);
    const plain = await code(
      call("PATCH", `${services}/a`, { spec: { type: "ClusterIP", externalTrafficPolicy: null } }),
      200,
    );
    assert.equal(plain.body["spec"]?.["ports"]?.[0]?.["nodePort"], undefined);
    await code(
      call("POST", services, service("b", { type: "LoadBalancer", ports: [{ port: 80, nodePort: port }] })),
      201,
    );
  });
});

test("ServiceAllocator uses every address of a small network once, and says when there is none", () => {
  const allocator = new ServiceAllocator(seededRandom(3), { serviceCIDR: "10.0.0.0/27", nodePorts: [30_000, 30_001] });
  const seen = new Set<string>();
  for (let address = allocator.pickAddress(); address !== undefined; address = allocator.pickAddress()) {
    assert.ok(allocator.isInRange(address) && !seen.has(address));
    seen.add(address);
    allocator.reserve(address, "x");
  }
  // 32 less network, broadcast, .1 and .10.
  assert.equal(seen.size, 28);
});

test("isInjected() hears the pod first, then the namespace, and leaves gateways alone", () => {
  const pod = (labels: Record<string, string>, annotations: Record<string, string> = {}): Pod => ({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "p", labels, annotations },
    spec: { containers: [] },
  });
  const inject = "sidecar.istio.io/inject";
  const enabled = { "istio-injection": "enabled" };
  assert.equal(isInjected(pod({}), enabled), true);
  assert.equal(isInjected(pod({}), {}), false);
  assert.equal(isInjected(pod({}), { "istio-injection": "disabled" }), false);
  assert.equal(isInjected(pod({ [inject]: "false" }), enabled), false);
  assert.equal(isInjected(pod({}, { [inject]: "false" }), enabled), false);
  assert.equal(isInjected(pod({ [inject]: "true" }), {}), true);
  assert.equal(isInjected(pod({ "gateway.networking.k8s.io/gateway-name": "g" }), enabled), false);
});

test("pods of an injected namespace are marked when created, by the server alone", async () => {
  await withServer(async ({ call }) => {
    const namespace = {
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name: "shop", labels: { "istio-injection": "enabled" } },
    };
    await code(call("POST", "/api/v1/namespaces", namespace), 201);
    const pod = (annotations: object): object => ({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "p", annotations },
      spec: { containers: [{ name: "a", image: "a" }] },
    });
    const marked = await code(call("POST", "/api/v1/namespaces/shop/pods", pod({ x: "y" })), 201);
    assert.deepEqual(marked.body["metadata"]?.["annotations"], { x: "y", "sidecar.wherry.dev/status": "injected" });
    const plain = await code(
      call("POST", "/api/v1/namespaces/default/pods", pod({ "sidecar.wherry.dev/status": "injected" })),
      201,
    );
    assert.deepEqual(plain.body["metadata"]?.["annotations"], {});
    assert.equal(plain.body["spec"]?.["serviceAccountName"], "default");
    assert.equal(plain.body["status"]?.["qosClass"], "BestEffort");
  });
});

test("a Secret's stringData is folded into its data", async () => {
  await withServer(async ({ call }) => {
    const secret = {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: "s" },
      stringData: { a: "hello" },
      data: { a: "eA==", b: "eQ==" },
    };
    const { body } = await code(call("POST", "/api/v1/namespaces/default/secrets", secret), 201);
    assert.deepEqual(body["data"], { a: "aGVsbG8=", b: "eQ==" });
    assert.equal(body["stringData"], undefined);
    assert.equal(body["type"], "Opaque");
    await code(
      call("PATCH", "/api/v1/namespaces/default/secrets/s", { type: "x" }),
      422,
      /type: Invalid value: .*field is immutable/,
    );
  });
});

test("bootstrap() gives a cluster its namespaces, its Service and its GatewayClass", async () => {
  await withServer(async ({ call }) => {
    const kubernetes = (await code(call("GET", `${services}/kubernetes`), 200)).body["spec"];
    assert.equal(kubernetes?.["clusterIP"], "10.96.0.1");
    const slice = (
      await code(call("GET", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes"), 200)
    ).body;
    assert.deepEqual(slice["endpoints"]?.[0]?.["addresses"], ["100.64.0.1"]);
    await code(call("GET", "/apis/gateway.networking.k8s.io/v1/gatewayclasses/wherry"), 200);
  });
});
