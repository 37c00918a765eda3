/** The stock kubernetes plugin against an API server of the test's own. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import test from "node:test";
import { answersOf, type Block, encodeQuestion, serveCorefile } from "../plugin-fixture.ts";

interface FakeAPI {
  readonly url: string;
  /** Sends a change to every watch of a path, once there is one. */
  send(path: string, type: string, object: unknown): Promise<void>;
}

/** What a label selector looks at. */
interface Selectable {
  readonly metadata: { readonly labels?: Readonly<Record<string, string>> };
}

const slicePath = "/apis/discovery.k8s.io/v1/endpointslices";

function slice(...addresses: readonly string[]): unknown {
  return {
    metadata: {
      namespace: "default",
      name: "web-1",
      resourceVersion: "5",
      labels: { "kubernetes.io/service-name": "web" },
    },
    addressType: "IPv4",
    endpoints: addresses.map((address) => ({ addresses: [address], targetRef: { kind: "Pod", name: "web-x" } })),
    ports: [{ name: "http", port: 8080 }],
  };
}

async function startAPI(
  t: test.TestContext,
  others: Readonly<Record<string, readonly Selectable[]>> = {},
): Promise<FakeAPI> {
  const service = (name: string, spec: unknown): unknown => ({ metadata: { namespace: "default", name }, spec });
  const objects: Readonly<Record<string, readonly unknown[]>> = {
    "/api/v1/namespaces": [{ metadata: { name: "default" } }, { metadata: { name: "idle" } }],
    "/api/v1/services": [
      service("web", { clusterIP: "None", clusterIPs: ["None"], ports: [{ name: "http", port: 80 }] }),
      service("api", { clusterIP: "10.96.0.7", clusterIPs: ["10.96.0.7"], ports: [{ port: 80 }] }),
    ],
    [slicePath]: [slice("10.244.0.5")],
    "/api/v1/pods": [{ metadata: { namespace: "default", name: "p" }, status: { podIP: "10.244.0.5" } }],
    ...others,
  };
  const watches: { path: string; response: ServerResponse }[] = [];
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? "/", "http://api");
    const [label = "", value] = url.searchParams.get("labelSelector")?.split("=") ?? [];
    const items = objects[url.pathname]?.filter(
      (object) => label === "" || (object as Selectable).metadata.labels?.[label] === value,
    );
    if (items === undefined) return void response.writeHead(404).end();
    if (url.searchParams.get("watch") === "true") {
      response.flushHeaders();
      return void watches.push({ path: url.pathname, response });
    }
    // One object a page, so that paging is used.
    const at = Number(url.searchParams.get("continue") ?? 0);
    const more = at + 1 < items.length ? { continue: String(at + 1) } : {};
    response.end(JSON.stringify({ metadata: { resourceVersion: "4", ...more }, items: items.slice(at, at + 1) }));
  });
  server.listen({ port: 0, host: "127.0.0.1" });
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const bound = server.address();
  const port = typeof bound === "object" && bound !== null ? bound.port : 0;
  return {
    url: `http://127.0.0.1:${port}`,
    async send(path, type, object) {
      while (!watches.some((watch) => watch.path === path)) await new Promise((resolve) => setImmediate(resolve));
      for (const watch of watches)
        if (watch.path === path) watch.response.write(`${JSON.stringify({ type, object })}\n`);
    },
  };
}

/** Asks until the answers are as wanted; the watch is another connection than ours. */
async function until(block: Block, query: string, wanted: readonly string[]): Promise<void> {
  for (let attempt = 0; attempt < 500; attempt++) {
    const found = answersOf(await block.ask(query)).map((line) => line.split(" ").at(-1));
    if (found.join(" ") === wanted.join(" ")) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.fail(`${query} never became ${wanted.join(" ")}`);
}

test("kubernetes watches an API server by endpoint", async (t) => {
  const api = await startAPI(t);
  const corefile = `. {\n  kubernetes cluster.local {\n    endpoint ${api.url}\n    pods verified\n  }\n}`;
  const block = await serveCorefile(t, corefile);
  assert.deepEqual(answersOf(await block.ask("api.default.svc.cluster.local A")), [
    "api.default.svc.cluster.local A 5 10.96.0.7",
  ]);
  assert.equal(answersOf(await block.ask("web.default.svc.cluster.local A")).length, 1);
  assert.equal((await block.ask("idle.svc.cluster.local A"))?.rcode, "NOERROR");
  assert.equal((await block.ask("none.svc.cluster.local A"))?.rcode, "NXDOMAIN");
  assert.equal(answersOf(await block.ask("10-244-0-5.default.pod.cluster.local A")).length, 1);
  assert.equal((await block.ask("10-244-0-6.default.pod.cluster.local A"))?.rcode, "NXDOMAIN");
  await api.send(slicePath, "MODIFIED", slice("10.244.0.8"));
  await until(block, "web.default.svc.cluster.local A", ["10.244.0.8"]);
  await api.send("/api/v1/services", "DELETED", { metadata: { namespace: "default", name: "api" } });
  await until(block, "api.default.svc.cluster.local A", []);
  assert.equal((await block.ask("api.default.svc.cluster.local A"))?.rcode, "NXDOMAIN");
});

test("kubernetes shows what is in namespaces with the labels, and nothing else", async (t) => {
  const service = (namespace: string, address: string): Selectable =>
    ({
      metadata: { namespace, name: "web" },
      spec: { clusterIP: address, clusterIPs: [address], ports: [{ port: 80 }] },
    }) as Selectable;
  const open = { metadata: { name: "open", labels: { dns: "yes" } } };
  const closed = { metadata: { name: "closed", labels: {} } };
  const api = await startAPI(t, {
    "/api/v1/namespaces": [open, closed],
    "/api/v1/services": [service("open", "10.96.0.7"), service("closed", "10.96.0.8")],
  });
  const options = `endpoint ${api.url}\n    namespace_labels dns=yes\n    pods insecure`;
  const corefile = `. {\n  transfer {\n    to *\n  }\n  kubernetes cluster.local in-addr.arpa {\n    ${options}\n  }\n}`;
  const block = await serveCorefile(t, corefile);
  const rcodes = async (namespace: string, address: string): Promise<readonly (string | undefined)[]> => {
    const names = [
      `web.${namespace}.svc.cluster.local A`,
      `${namespace}.svc.cluster.local A`,
      `1-2-3-4.${namespace}.pod.cluster.local A`,
    ];
    const packets = await Promise.all(
      [...names, `${address}.0.96.10.in-addr.arpa PTR`].map((query) => block.ask(query)),
    );
    return packets.map((packet) => packet?.rcode);
  };
  const transferred = async (): Promise<string> =>
    Buffer.concat(await block.sendAll(encodeQuestion("cluster.local AXFR"), { proto: "tcp" })).toString("latin1");
  const shown = ["NOERROR", "NOERROR", "NOERROR", "NOERROR"];
  const hidden = ["NXDOMAIN", "NXDOMAIN", "NXDOMAIN", "NXDOMAIN"];
  assert.deepEqual(await rcodes("open", "7"), shown);
  assert.deepEqual(await rcodes("closed", "8"), hidden);
  assert.deepEqual([(await transferred()).includes("open"), (await transferred()).includes("closed")], [true, false]);
  // The labels change: the server tells a watch with a selector so.
  await api.send("/api/v1/namespaces", "ADDED", closed);
  await api.send("/api/v1/namespaces", "DELETED", open);
  await until(block, "web.closed.svc.cluster.local A", ["10.96.0.8"]);
  await until(block, "web.open.svc.cluster.local A", []);
  assert.deepEqual(await rcodes("closed", "8"), shown);
  assert.deepEqual(await rcodes("open", "7"), hidden);
});

test("kubernetes gives an address to the pod that got it last, whatever becomes of those before", async (t) => {
  const pod = (name: string, phase = "Running"): Selectable =>
    ({ metadata: { namespace: name, name }, status: { podIP: "10.244.0.9", phase } }) as Selectable;
  const api = await startAPI(t, {
    "/api/v1/namespaces": ["old", "new"].map((name) => ({ metadata: { name, labels: {} } })),
  });
  const corefile = `. {\n  kubernetes cluster.local {\n    endpoint ${api.url}\n    pods verified\n  }\n}`;
  const block = await serveCorefile(t, corefile);
  const of = (namespace: string): string => `10-244-0-9.${namespace}.pod.cluster.local A`;
  const here = ["10.244.0.9"];
  await api.send("/api/v1/pods", "ADDED", pod("old"));
  await until(block, of("old"), here);
  await api.send("/api/v1/pods", "ADDED", pod("new"));
  await until(block, of("new"), here);
  // Another pod's change says that those before it were taken.
  const change = async (type: string, object: Selectable, mark: string): Promise<void> => {
    await api.send("/api/v1/pods", type, object);
    await api.send("/api/v1/pods", "ADDED", { metadata: { namespace: "old", name: mark }, status: { podIP: mark } });
    await until(block, `${mark.replaceAll(".", "-")}.old.pod.cluster.local A`, [mark]);
    assert.equal(answersOf(await block.ask(of("new"))).length, 1, `${type} ${mark}`);
  };
  await change("MODIFIED", pod("old"), "10.244.1.1");
  await change("MODIFIED", pod("old", "Failed"), "10.244.1.2");
  await change("DELETED", pod("old", "Failed"), "10.244.1.3");
  await api.send("/api/v1/pods", "DELETED", pod("new"));
  await until(block, of("new"), []);
});

test("kubernetes serves SERVFAIL while the API server does not answer", async (t) => {
  const corefile =
    ". {\n  kubernetes cluster.local {\n    endpoint http://127.0.0.1:1\n    startup_timeout 10ms\n  }\n}";
  const block = await serveCorefile(t, corefile);
  assert.equal((await block.ask("api.default.svc.cluster.local A"))?.rcode, "SERVFAIL");
  assert.equal((await block.ask("cluster.local SOA"))?.rcode, "NOERROR");
  assert.equal(block.instance.isReady(), false);
});

test("kubernetes reads a kubeconfig, and says what it lacks", async (t) => {
  const api = await startAPI(t);
  const files = {
    good: `current-context: a\nclusters: [{name: c, cluster: {server: "${api.url}"}}]\nusers: [{name: u, user: {token: x}}]\ncontexts: [{name: a, context: {cluster: c, user: u}}]\n`,
    bad: "current-context: b\n",
    several: "current-context: a\n---\ncurrent-context: b\n",
    list: "- a\n",
    broken: "{",
    lost: `current-context: a\nclusters: [{name: c, cluster: {server: "${api.url}", certificate-authority: ca.crt}}]\ncontexts: [{name: a, context: {cluster: c}}]\n`,
  };
  const corefile = (file: string): string => `. {\n  kubernetes cluster.local {\n    kubeconfig ${file}\n  }\n}`;
  const block = await serveCorefile(t, corefile("good"), { files });
  assert.equal(answersOf(await block.ask("api.default.svc.cluster.local A")).length, 1);
  await assert.rejects(serveCorefile(t, corefile("bad"), { files }), {
    message: 'Cannot use kubeconfig bad: no cluster for context "b"',
  });
  for (const [file, problem] of [
    ["several", "it has 2 YAML documents, wanted one"],
    ["list", "it is no YAML object"],
    ["broken", "it is no YAML: Flow map must end with a } at line 1, column 2"],
    ["none", "no file none"],
    ["lost", "certificate-authority: no file ca.crt"],
  ] as const)
    await assert.rejects(serveCorefile(t, corefile(file), { files }), {
      message: `Cannot use kubeconfig ${file}: ${problem}`,
    });
  await assert.rejects(serveCorefile(t, ". {\n  kubernetes cluster.local\n}"), {
    message:
      "Cannot find the API server: no KUBERNETES_SERVICE_HOST, wanted kubeconfig or endpoint outside of a cluster",
  });
});
