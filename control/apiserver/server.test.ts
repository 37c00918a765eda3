/** Tests over HTTP against a real server: verbs, errors, watches, limits, authentication. */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import { each, type Testbed, textOf, whileTimePasses, withServer } from "./testbed.ts";

const configMaps = "/api/v1/namespaces/default/configmaps";
const pods = "/api/v1/namespaces/default/pods";

function configMap(name: string, data: Readonly<Record<string, string>> = {}, extra: object = {}): object {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { name, ...extra }, data };
}

function pod(name: string, extra: object = {}): object {
  const spec = { containers: [{ name: "app", image: "app:1" }], ...extra };
  return { apiVersion: "v1", kind: "Pod", metadata: { name, labels: { app: name } }, spec };
}

async function ok(reply: ReturnType<Testbed["call"]>, code = 200): ReturnType<Testbed["call"]> {
  const { code: got, text, ...rest } = await reply;
  assert.equal(got, code, text);
  return { code: got, text, ...rest };
}

/** Asserts the answer's code, reason and message. */
async function fails(reply: ReturnType<Testbed["call"]>, code: number, message: RegExp): Promise<void> {
  const { body } = await ok(reply, code);
  assert.equal(body["kind"], "Status");
  assert.equal(body["code"], code);
  assert.match(textOf(body["message"]), message);
}

test("an object is created, read, replaced, patched, listed and deleted", async () => {
  await withServer(async ({ call }) => {
    const created = await ok(call("POST", configMaps, configMap("a", { x: "1" })), 201);
    const { uid, creationTimestamp, resourceVersion } = created.body["metadata"] ?? {};
    assert.match(textOf(uid), /^[0-9a-f-]{36}$/);
    assert.equal(creationTimestamp, "2026-01-01T00:00:00Z");
    assert.deepEqual((await ok(call("GET", `${configMaps}/a`))).body, created.body);
    const replaced = await ok(call("PUT", `${configMaps}/a`, configMap("a", { x: "2" }, { resourceVersion })));
    assert.deepEqual(replaced.body["data"], { x: "2" });
    assert.equal(replaced.body["metadata"]?.["uid"], uid);
    const patched = await ok(call("PATCH", `${configMaps}/a`, { data: { x: null, y: "3" } }));
    assert.deepEqual(patched.body["data"], { y: "3" });
    const { body } = await ok(call("GET", configMaps));
    assert.equal(body["kind"], "ConfigMapList");
    assert.equal(body["items"]?.["length"], 1);
    assert.equal((await ok(call("DELETE", `${configMaps}/a`))).body["metadata"]?.["uid"], uid);
    await fails(call("GET", `${configMaps}/a`), 404, /^configmaps "a" not found$/);
  });
});

test("writes that cannot be are refused with Kubernetes' codes and words", async () => {
  await withServer(async ({ call }) => {
    const { body } = await ok(call("POST", configMaps, configMap("a")), 201);
    const resourceVersion = body["metadata"]?.["resourceVersion"];
    await ok(call("PUT", `${configMaps}/a`, configMap("a", { x: "1" })));
    await fails(call("POST", configMaps, configMap("a")), 409, /^configmaps "a" already exists$/);
    await fails(
      call("PUT", `${configMaps}/a`, configMap("a", {}, { resourceVersion })),
      409,
      /^Operation cannot be fulfilled on configmaps "a": the object has been modified/,
    );
    await fails(call("PATCH", `${configMaps}/a`, { metadata: { resourceVersion } }), 409, /has been modified/);
    await fails(call("PUT", `${configMaps}/b`, configMap("b")), 404, /"b" not found/);
    await fails(call("PUT", `${configMaps}/a`, configMap("b")), 400, /name of the object \(b\) does not match/);
    await fails(
      call("POST", configMaps, configMap("A_b")),
      422,
      /metadata.name: Invalid value: "A_b": a lowercase RFC 1123/,
    );
    await fails(call("POST", configMaps, configMap("c", {}, { resourceVersion: "1" })), 400, /should not be set/);
    await fails(call("POST", configMaps, { ...configMap("c"), kind: "Pod" }), 400, /wanted v1 and ConfigMap/);
    await fails(call("POST", "/api/v1/namespaces/none/configmaps", configMap("c")), 404, /namespaces "none" not found/);
    await fails(call("POST", "/api/v1/configmaps", configMap("c")), 400, /empty namespace/);
    await fails(call("POST", `${configMaps}/a`, configMap("a")), 405, /does not allow this method/);
    await fails(call("GET", "/api/v1/namespaces/default/things"), 404, /could not find the requested resource/);
    await fails(call("GET", "/apis/v9"), 404, /could not find/);
  });
});

test("bodies are bounded, of a known media type, and valid JSON", async () => {
  await withServer(async ({ call }) => {
    const post = (body: string, type = "application/json"): ReturnType<Testbed["call"]> =>
      call("POST", configMaps, body, { "content-type": type });
    await fails(post("{"), 400, /^Cannot read the body as JSON/);
    await fails(post("[]"), 400, /wanted a JSON object/);
    await fails(post(`${"[".repeat(200)}${"]".repeat(200)}`), 400, /nests deeper than 100/);
    await fails(post("k8s\0", "application/vnd.kubernetes.protobuf"), 415, /protobuf of kind "" in ""/);
    await fails(post("{}", "application/vnd.kubernetes.protobuf"), 400, /does not begin with "k8s"/);
    await fails(post("a: b", "application/yaml"), 415, /YAML is not supported/);
    await fails(post("x", "text/plain"), 415, /got media type "text\/plain"/);
    await fails(post(`"${"x".repeat(3 * 1024 * 1024)}"`), 413, /limit is 3145728/);
    await ok(call("POST", configMaps, configMap("a")), 201);
    const apply = call("PATCH", `${configMaps}/a`, "{}", { "content-type": "application/apply-patch+yaml" });
    await fails(apply, 415, /server-side apply is not supported/);
    await fails(call("GET", configMaps, undefined, { accept: "application/yaml" }), 406, /only application\/json/);
  });
});

test("fieldValidation refuses, reports or drops unknown fields", async () => {
  await withServer(async ({ call }) => {
    const body = { ...configMap("a"), foo: 1 };
    await fails(
      call("POST", `${configMaps}?fieldValidation=Strict`, body),
      400,
      /strict decoding error: unknown field "foo"/,
    );
    const warned = await ok(call("POST", configMaps, body), 201);
    assert.deepEqual(warned.warnings, ['299 - "unknown field \\"foo\\""']);
    assert.equal(warned.body["foo"], undefined);
    const silent = await ok(
      call("POST", `${configMaps}?fieldValidation=Ignore`, { ...body, metadata: { name: "b" } }),
      201,
    );
    assert.deepEqual(silent.warnings, []);
    const host = await ok(call("POST", `${pods}?fieldValidation=Strict`, pod("p", { hostPID: true })), 201);
    assert.match(host.warnings[0] ?? "", /spec\.hostPID: accepted and kept, but not honoured/);
    assert.equal(host.body["spec"]?.["hostPID"], true);
    const annotations = { "proxy.wherry.dev/l7": "maybe" };
    const service = { ...configMap("s"), kind: "Service", metadata: { name: "s", annotations }, data: undefined };
    const services = configMaps.replace("configmaps", "services");
    const kept = await ok(call("POST", services, { ...service, spec: { ports: [{ port: 80 }] } }), 201);
    assert.match(kept.warnings[0] ?? "", /l7\]: .*maybe.* has no effect/);
  });
});

test("generateName makes names, dryRun writes nothing", async () => {
  await withServer(async ({ call }) => {
    const generated = { apiVersion: "v1", kind: "ConfigMap", metadata: { generateName: "web-" } };
    const names = new Set<string>();
    for (let index = 0; index < 5; index++)
      names.add(textOf((await ok(call("POST", configMaps, generated), 201)).body["metadata"]?.["name"]));
    assert.equal(names.size, 5);
    for (const name of names) assert.match(name, /^web-[a-z0-9]{5}$/);
    await ok(call("POST", `${configMaps}?dryRun=All`, configMap("dry")), 201);
    await fails(call("GET", `${configMaps}/dry`), 404, /not found/);
    await fails(
      call("POST", configMaps, { apiVersion: "v1", kind: "ConfigMap", metadata: {} }),
      422,
      /metadata.name: Required value: name or generateName is required/,
    );
  });
});

test("status and spec are written apart, and only the spec makes a generation", async () => {
  await withServer(async ({ call }) => {
    await ok(call("POST", pods, { ...pod("p"), status: { phase: "Running" } }), 201);
    const started = (await ok(call("GET", `${pods}/p`))).body;
    assert.equal(started["status"]?.["phase"], "Pending");
    assert.equal(started["metadata"]?.["generation"], 1);
    const withStatus = await ok(
      call("PATCH", `${pods}/p/status`, {
        status: { phase: "Running" },
        spec: { hostname: "x" },
        metadata: { labels: { x: "y" } },
      }),
    );
    assert.equal(withStatus.body["status"]?.["phase"], "Running");
    assert.equal(withStatus.body["spec"]?.["hostname"], undefined);
    assert.deepEqual(withStatus.body["metadata"]?.["labels"], { app: "p" });
    const image = { spec: { containers: [{ name: "app", image: "app:2" }] }, status: { phase: "Failed" } };
    const updated = await ok(call("PATCH", `${pods}/p`, image));
    assert.equal(updated.body["status"]?.["phase"], "Running");
    assert.equal(updated.body["metadata"]?.["generation"], 2);
    await fails(
      call("PATCH", `${pods}/p`, { spec: { hostname: "x" } }),
      422,
      /spec: Forbidden: pod updates may not change fields/,
    );
    const same = await ok(call("PATCH", `${pods}/p`, { metadata: { labels: { app: "p" } } }));
    assert.equal(same.body["metadata"]?.["resourceVersion"], updated.body["metadata"]?.["resourceVersion"]);
  });
});

test("a pod is bound once, and deleted with grace by its kubelet", async () => {
  await withServer(async ({ call }) => {
    const binding = (node: string): object => ({
      apiVersion: "v1",
      kind: "Binding",
      metadata: { name: "p" },
      target: { kind: "Node", name: node },
    });
    await ok(call("POST", pods, pod("p")), 201);
    await ok(call("POST", `${pods}/p/binding`, binding("n1")), 201);
    await fails(call("POST", `${pods}/p/binding`, binding("n2")), 409, /pod p is already assigned to node "n1"/);
    await fails(call("POST", "/api/v1/namespaces/default/bindings", binding("n2")), 409, /already assigned/);
    const bound = (await ok(call("GET", `${pods}?fieldSelector=spec.nodeName%3Dn1`))).body;
    assert.equal(bound["items"]?.[0]?.["status"]?.["conditions"]?.[0]?.["type"], "PodScheduled");
    const marked = (await ok(call("DELETE", `${pods}/p`))).body["metadata"];
    assert.equal(marked?.["deletionGracePeriodSeconds"], 30);
    assert.equal(marked?.["deletionTimestamp"], "2026-01-01T00:00:30Z");
    const longer = (await ok(call("DELETE", `${pods}/p`, { gracePeriodSeconds: 60 }))).body["metadata"];
    assert.equal(longer?.["deletionGracePeriodSeconds"], 30);
    await ok(call("DELETE", `${pods}/p?gracePeriodSeconds=0`));
    await fails(call("GET", `${pods}/p`), 404, /not found/);
    await ok(call("POST", pods, pod("unbound")), 201);
    await ok(call("DELETE", `${pods}/unbound`));
    await fails(call("GET", `${pods}/unbound`), 404, /not found/);
  });
});

test("finalizers hold an object until the last is gone; preconditions and collections are honoured", async () => {
  await withServer(async ({ call }) => {
    await ok(call("POST", configMaps, configMap("a", {}, { finalizers: ["example.com/x"] })), 201);
    await fails(
      call("DELETE", `${configMaps}/a`, { preconditions: { uid: "other" } }),
      409,
      /Precondition failed: UID/,
    );
    const marked = await ok(call("DELETE", `${configMaps}/a`));
    assert.ok(marked.body["metadata"]?.["deletionTimestamp"]);
    await fails(
      call("PATCH", `${configMaps}/a`, { metadata: { finalizers: ["example.com/x", "example.com/y"] } }),
      422,
      /no new finalizers/,
    );
    await ok(call("PATCH", `${configMaps}/a`, { metadata: { finalizers: null } }));
    await fails(call("GET", `${configMaps}/a`), 404, /not found/);
    for (const name of ["b", "c", "d"])
      await ok(call("POST", configMaps, configMap(name, {}, { labels: { app: name === "d" ? "y" : "x" } })), 201);
    await ok(call("DELETE", `${configMaps}?labelSelector=app%3Dx`));
    const left = (await ok(call("GET", configMaps))).body["items"];
    assert.equal(left?.["length"], 1);
    assert.equal(left?.[0]?.["metadata"]?.["name"], "d");
    await fails(
      call("DELETE", `${configMaps}/d`, { propagationPolicy: "Cut" }),
      422,
      /Unsupported value: "Cut": supported values: "Foreground"/,
    );
    await ok(call("DELETE", `${configMaps}/d`, { propagationPolicy: "Orphan" }));
    const held = await ok(call("DELETE", `${configMaps}/d`, { propagationPolicy: "Foreground" }));
    assert.deepEqual(held.body["metadata"]?.["finalizers"], ["foregroundDeletion"]);
    await ok(call("DELETE", `${configMaps}/d`));
    await ok(call("GET", `${configMaps}/d`));
    await ok(call("DELETE", `${configMaps}/d`, { propagationPolicy: "Background" }));
    await fails(call("GET", `${configMaps}/d`), 404, /not found/);
  });
});

test("a Namespace terminates until it is finalized, and takes nothing new meanwhile", async () => {
  await withServer(async ({ call }) => {
    const shop = "/api/v1/namespaces/shop";
    const created = await ok(
      call("POST", "/api/v1/namespaces", { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } }),
      201,
    );
    assert.deepEqual(created.body["spec"], { finalizers: ["kubernetes"] });
    assert.equal(created.body["status"]?.["phase"], "Active");
    await ok(call("POST", `${shop}/configmaps`, configMap("a")), 201);
    const marked = await ok(call("DELETE", shop));
    assert.equal(marked.body["status"]?.["phase"], "Terminating");
    await fails(call("POST", `${shop}/configmaps`, configMap("b")), 403, /because it is being terminated/);
    await ok(call("PATCH", shop, { spec: { finalizers: [] } }));
    await ok(call("GET", shop));
    await ok(
      call("PUT", `${shop}/finalize`, { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" }, spec: {} }),
    );
    await fails(call("GET", shop), 404, /not found/);
    await fails(call("DELETE", "/api/v1/namespaces/default"), 403, /may not be deleted/);
  });
});

test("lists follow the rules of resourceVersion and selectors", async () => {
  await withServer(async ({ call }) => {
    const { body } = await ok(call("GET", configMaps));
    const newest = Number(body["metadata"]?.["resourceVersion"]);
    await ok(call("GET", `${configMaps}?resourceVersion=0&limit=500`));
    await ok(call("GET", `${configMaps}?resourceVersion=${newest}&resourceVersionMatch=Exact`));
    await ok(call("GET", `${configMaps}?resourceVersion=1&resourceVersionMatch=NotOlderThan`));
    await fails(call("GET", `${configMaps}?resourceVersion=${newest + 9}`), 504, /Too large resource version/);
    await fails(
      call("GET", `${configMaps}?resourceVersionMatch=Exact`),
      422,
      /forbidden unless resourceVersion is provided/,
    );
    await fails(
      call("GET", `${configMaps}?resourceVersion=0&resourceVersionMatch=Exact`),
      422,
      /forbidden for resourceVersion "0"/,
    );
    await fails(call("GET", `${configMaps}?resourceVersion=x`), 400, /Cannot read resourceVersion/);
    await fails(call("GET", `${configMaps}?continue=abc`), 400, /continue key is not valid/);
    await fails(call("GET", `${pods}?fieldSelector=spec.image%3Dx`), 400, /^field label not supported: spec.image$/);
    await fails(call("GET", `${pods}?labelSelector=a%3D%3D%3Db`), 400, /Cannot parse label selector/);
    await fails(call("GET", `${pods}?sendInitialEvents=true`), 422, /sendInitialEvents is forbidden for list/);
  });
});

test("a watch streams changes as the selector sees them, over HTTP", async () => {
  await withServer(async ({ call, watch, clock }) => {
    const { body } = await ok(call("GET", configMaps));
    const since = body["metadata"]?.["resourceVersion"];
    const stream = await watch(
      `${configMaps}?watch=true&resourceVersion=${textOf(since)}&labelSelector=on&timeoutSeconds=100&allowWatchBookmarks=true`,
    );
    await ok(call("POST", configMaps, configMap("a")), 201);
    await ok(call("PATCH", `${configMaps}/a`, { metadata: { labels: { on: "" } } }));
    await ok(call("PATCH", `${configMaps}/a`, { data: { x: "1" } }));
    await ok(call("PATCH", `${configMaps}/a`, { metadata: { labels: null } }));
    assert.deepEqual(await stream.take(3), ["ADDED a", "MODIFIED a", "DELETED a"]);
    const newest = (await ok(call("GET", configMaps))).body["metadata"]?.["resourceVersion"];
    await clock.advance(60_000);
    assert.deepEqual(await stream.take(1), [`BOOKMARK ${textOf(newest)}`]);
    await clock.advance(40_000);
    assert.equal(await stream.ended, 0);
    const all = await watch(`${configMaps}?watch=1`);
    const one = await watch(`${configMaps}/b?watch=true`);
    await ok(call("POST", configMaps, configMap("b")), 201);
    assert.deepEqual(await all.take(2), ["ADDED a", "ADDED b"]);
    assert.deepEqual(await one.take(1), ["ADDED b"]);
    all.close();
    one.close();
  });
});

test("a watch from a revision that is gone is answered with 410, and one of the future with 504", async () => {
  await withServer(
    async ({ call }) => {
      for (let index = 0; index < 5; index++) await ok(call("POST", configMaps, configMap(`c${index}`)), 201);
      await fails(call("GET", `${configMaps}?watch=true&resourceVersion=1`), 410, /^too old resource version: 1/);
      await fails(call("GET", `${configMaps}?watch=true&resourceVersion=999`), 504, /Too large resource version/);
    },
    { cacheConfig: { ringCapacity: 2 } },
  );
});

test("a watcher that does not read is cut off, and leaves nothing behind", async () => {
  await withServer(
    async ({ call, cache, port, client }) => {
      const socket = connect(port, "127.0.0.1");
      socket.on("error", () => socket.destroy());
      socket.write(`GET ${configMaps}?watch=true HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer letmein\r\n\r\n`);
      await new Promise((resolve) => socket.once("data", resolve));
      socket.pause();
      const big = "x".repeat(500_000);
      for (let index = 0; cache.counts.slowTotal === 0 && index < 200; index++)
        await client.create(
          {
            group: "",
            version: "v1",
            kind: "ConfigMap",
            plural: "configmaps",
            singular: "configmap",
            shortNames: [],
            namespaced: true,
          },
          {
            apiVersion: "v1",
            kind: "ConfigMap",
            metadata: { name: `big${index}`, namespace: "default" },
            data: { big },
          } as never,
        );
      assert.equal(cache.counts.slowTotal, 1);
      assert.equal(cache.counts.watchers, 0);
      socket.destroy();
      await ok(call("GET", "/readyz"));
    },
    { cacheConfig: { queueMax: 5 } },
  );
});

test("anonymous clients get 401 for all but health and version", async () => {
  await withServer(async ({ call }) => {
    const none = { authorization: "" };
    for (const path of ["/healthz", "/livez", "/readyz", "/version"]) await ok(call("GET", path, undefined, none));
    for (const path of ["/api", "/apis", configMaps, "/metrics", "/nonsense"])
      await fails(call("GET", path, undefined, none), 401, /^Unauthorized$/);
    await fails(call("GET", configMaps, undefined, { authorization: "Bearer wrong" }), 401, /Unauthorized/);
  });
});

test("discovery lists groups, resources and subresources", async () => {
  await withServer(async ({ call }) => {
    assert.deepEqual((await ok(call("GET", "/api"))).body["versions"], ["v1"]);
    const groups = (await ok(call("GET", "/apis"))).body["groups"];
    for (const name of ["apps", "batch", "discovery.k8s.io", "gateway.networking.k8s.io", "authorization.k8s.io"])
      assert.ok(each(groups, "name").includes(name), name);
    const names = (await ok(call("GET", "/api/v1"))).body["resources"];
    for (const name of ["pods", "pods/status", "pods/log", "pods/binding", "namespaces/finalize", "bindings"])
      assert.ok(each(names, "name").includes(name), name);
    await ok(call("GET", "/apis/apps"));
    await ok(call("GET", "/apis/apps/v1"));
    await fails(call("GET", "/apis/apps/v9"), 404, /could not find/);
  });
});

test("metrics count requests under kube-apiserver's names", async () => {
  await withServer(async ({ call }) => {
    await ok(call("GET", configMaps));
    await ok(call("GET", `${configMaps}/none`), 404);
    const { text } = await ok(call("GET", "/metrics"));
    assert.match(text, /apiserver_request_total\{verb="LIST",resource="configmaps",code="200"\} 1/);
    assert.match(text, /apiserver_request_total\{verb="GET",resource="configmaps",code="404"\} 1/);
    assert.match(text, /apiserver_request_duration_seconds_bucket\{verb="LIST",resource="configmaps",le="\+Inf"\} 1/);
    assert.match(text, /apiserver_storage_objects\{resource="namespaces"\} 4/);
  });
});

test("logs come from the kubelet of the pod's node, of the container asked for", async () => {
  const seen: string[] = [];
  const openLog = async (target: {
    readonly address: string;
    readonly container: string;
    readonly query: URLSearchParams;
  }): Promise<AsyncIterable<Uint8Array>> => {
    seen.push(`${target.address} ${target.container} ${target.query.toString()}`);
    return (async function* () {
      yield Buffer.from("line 1\n");
      yield Buffer.from("line 2\n");
    })();
  };
  await withServer(
    async ({ call, client }) => {
      const node = {
        apiVersion: "v1",
        kind: "Node",
        metadata: { name: "n1" },
        status: { addresses: [{ type: "InternalIP", address: "100.64.0.2" }] },
      };
      await ok(call("POST", "/api/v1/nodes", node), 201);
      const containers = ["a", "b"].map((name) => ({ name, image: "x" }));
      await ok(call("POST", pods, pod("p", { containers })), 201);
      await ok(call("GET", `${pods}/p/log?container=a`), 204);
      await client.bind({ namespace: "default", name: "p" }, "n1");
      await fails(call("GET", `${pods}/p/log`), 400, /must be specified for pod p, choose one of: \[a b\]$/);
      const rows = [
        ["tailLines=x", 400, /strconv.ParseInt: parsing "x": invalid syntax/],
        ["follow=maybe", 400, /strconv.ParseBool: parsing "maybe": invalid syntax/],
        [
          "tailLines=-1",
          422,
          /PodLogOptions "p" is invalid: tailLines: Invalid value: -1: must be greater than or equal to 0/,
        ],
        ["limitBytes=0", 422, /limitBytes: Invalid value: 0: must be greater than 0/],
        [
          "sinceSeconds=5&sinceTime=2026-01-01T00:00:00Z",
          422,
          /at most one of `sinceTime` or `sinceSeconds` may be specified/,
        ],
      ] as const;
      for (const [query, code, message] of rows)
        await fails(call("GET", `${pods}/p/log?container=a&${query}`), code, message);

      await fails(call("GET", `${pods}/p/log?container=c`), 400, /container c is not valid for pod p/);
      const { text } = await ok(call("GET", `${pods}/p/log?container=b&tailLines=5&x=1`));
      assert.equal(text, "line 1\nline 2\n");
      assert.deepEqual(seen, ["100.64.0.2 b tailLines=5"]);
    },
    { openLog },
  );
});

test("what is no HTTP at all is answered with a Status, and the server goes on", async () => {
  await withServer(async ({ call, port }) => {
    const socket = connect(port, "127.0.0.1");
    let text = "";
    socket.on("data", (chunk) => (text += chunk.toString()));
    socket.end("NONSENSE\r\n\r\n");
    await new Promise((resolve) => socket.once("close", resolve));
    assert.match(text, /^HTTP\/1\.1 400 .*"reason":"BadRequest"/s);
    await fails(call("GET", `${configMaps}/%zz`), 400, /not percent-encoded/);
    await fails(call("GET", `/${"x".repeat(20_000)}`), 400, /URL is too long/);
    await ok(call("GET", "/livez"));
  });
});

test("a connection is kept after errors, unless a body does not come to its end", async () => {
  await withServer(async ({ port, clock }) => {
    const socket = connect(port, "127.0.0.1");
    let text = "";
    const answers = (): number => text.split("HTTP/1.1 ").length - 1;
    const ask = async (head: string, body = ""): Promise<void> => {
      const before = answers();
      socket.write(`${head} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer letmein\r\n${body}`);
      while (answers() === before)
        await new Promise<void>((resolve) => {
          socket.once("data", (chunk: Buffer) => {
            text += chunk.toString();
            resolve();
          });
        });
    };
    await ask("GET /none", "\r\n");
    await ask("GET /livez", "\r\n");
    await ask("POST /none", "Content-Length: 10\r\n\r\n{12345678}");
    const refused = ask("POST /none", "Content-Length: 100\r\n\r\n{");
    await whileTimePasses(clock, refused, 500);
    assert.deepEqual(text.match(/Connection: [a-z-]+/g), [
      "Connection: keep-alive",
      "Connection: keep-alive",
      "Connection: keep-alive",
      "Connection: close",
    ]);
    socket.destroy();
  });
});

test("concurrent patches of one object all take effect", async () => {
  await withServer(async ({ call }) => {
    await ok(call("POST", configMaps, configMap("a")), 201);
    await Promise.all(
      Array.from({ length: 20 }, (_, index) => ok(call("PATCH", `${configMaps}/a`, { data: { [`k${index}`]: "v" } }))),
    );
    assert.equal(Object.keys((await ok(call("GET", `${configMaps}/a`))).body["data"] ?? {}).length, 20);
  });
});
