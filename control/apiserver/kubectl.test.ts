/** What stock kubectl and client-go rely on, over HTTP: discovery, tables, OpenAPI, pages, patches, scale, reviews, rehearsals. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { openSqliteStore } from "../store/sqlite.ts";
import { each, type Loose, type Reply, textOf, withServer } from "./testbed.ts";

const configMaps = "/api/v1/namespaces/default/configmaps";
const deployments = "/apis/apps/v1/namespaces/default/deployments";
const tableAccept = { accept: "application/json;as=Table;v=v1;g=meta.k8s.io,application/json" };
const discoveryAccept = { accept: "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList" };

const configMap = (name: string): object => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name },
  data: { a: "1" },
});

const deployment = {
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name: "web" },
  spec: {
    replicas: 2,
    selector: { matchLabels: { app: "web" } },
    template: {
      metadata: { labels: { app: "web" } },
      spec: {
        containers: [
          { name: "app", image: "app:1" },
          { name: "side", image: "side:1" },
        ],
      },
    },
  },
};

/** The list at a path of a reply. */
function listAt(value: Loose | undefined, ...path: readonly string[]): Loose[] {
  let found: Loose | undefined = value;
  for (const name of path) found = found?.[name];
  return (found ?? []) as unknown as Loose[];
}

function ok({ code, text, ...rest }: Reply, wanted = 200): Reply {
  assert.equal(code, wanted, text);
  return { code, text, ...rest };
}

test("aggregated discovery says its media type and lists scale, status and short names", async () => {
  await withServer(async ({ call }) => {
    const reply = ok(await call("GET", "/apis", undefined, discoveryAccept));
    const { kind, apiVersion, items } = JSON.parse(reply.text) as Loose;
    assert.deepEqual([kind, apiVersion], ["APIGroupDiscoveryList", "apidiscovery.k8s.io/v2"]);
    const apps = (items as unknown as Loose[]).find((item) => textOf(item["metadata"]?.["name"]) === "apps");
    const [version] = listAt(apps, "versions");
    const found = listAt(version, "resources").find(({ resource }) => textOf(resource) === "deployments");
    assert.deepEqual(found?.["shortNames"], ["deploy"]);
    assert.deepEqual(each(found?.["subresources"], "subresource"), ["scale", "status"]);
    const core = ok(await call("GET", "/api", undefined, discoveryAccept));
    assert.match(core.text, /"resource":"pods"/);
    assert.equal(ok(await call("GET", "/apis")).body["kind"], "APIGroupList");
  });
});

test("OpenAPI has a PATCH with fieldValidation for every kind, and a schema", async () => {
  await withServer(async ({ call }) => {
    const { body } = ok(await call("GET", "/openapi/v3"));
    assert.match(
      textOf(body["paths"]?.["apis/apps/v1"]?.["serverRelativeURL"]),
      /^\/openapi\/v3\/apis\/apps\/v1\?hash=[0-9A-F]{64}$/,
    );
    for (const place of Object.keys(body["paths"] ?? {})) ok(await call("GET", `/openapi/v3/${place}`));
    const apps = ok(await call("GET", "/openapi/v3/apis/apps/v1")).body;
    const operation = apps["paths"]?.["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]?.["patch"];
    assert.deepEqual(operation?.["x-kubernetes-group-version-kind"], {
      group: "apps",
      version: "v1",
      kind: "Deployment",
    });
    assert.ok(each(operation?.["parameters"], "name").includes("fieldValidation"));
    assert.ok(apps["components"]?.["schemas"]?.["io.k8s.api.apps.v1.Deployment"] !== undefined);
    ok(await call("GET", "/openapi/v3/apis/none/v1"), 404);
    ok(await call("GET", "/openapi/v2"), 404);
  });
});

test("objects, lists and watches are given as tables", async () => {
  await withServer(async ({ call }) => {
    ok(await call("POST", deployments, deployment), 201);
    const list = ok(await call("GET", deployments, undefined, tableAccept)).body;
    assert.equal(textOf(list["kind"]), "Table");
    assert.deepEqual(each(list["columnDefinitions"], "name").slice(0, 5), [
      "Name",
      "Ready",
      "Up-to-date",
      "Available",
      "Age",
    ]);
    const [row] = listAt(list, "rows");
    assert.deepEqual(row?.["cells"], ["web", "0/2", 0, 0, "0s", "app,side", "app:1,side:1", "app=web"]);
    assert.equal(textOf(row?.["object"]?.["kind"]), "PartialObjectMetadata");
    const one = ok(await call("GET", `${deployments}/web?includeObject=Object`, undefined, tableAccept)).body;
    assert.equal(textOf(listAt(one, "rows")[0]?.["object"]?.["kind"]), "Deployment");
    const none = ok(await call("GET", `${deployments}/web?includeObject=None`, undefined, tableAccept)).body;
    assert.equal(listAt(none, "rows")[0]?.["object"], undefined);
    ok(await call("GET", `${deployments}/web?includeObject=All`, undefined, tableAccept), 400);
    const partial = { accept: "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io" };
    assert.equal(
      textOf(ok(await call("GET", deployments, undefined, partial)).body["kind"]),
      "PartialObjectMetadataList",
    );
  });
});

test("a list comes in pages of one revision, also after changes", async () => {
  await withServer(async ({ call }) => {
    for (const name of ["a", "b", "c", "d"]) ok(await call("POST", configMaps, configMap(name)), 201);
    const first = ok(await call("GET", `${configMaps}?limit=2`)).body;
    const { continue: token, remainingItemCount, resourceVersion } = first["metadata"] ?? {};
    assert.equal(textOf(remainingItemCount), "2");
    ok(await call("DELETE", `${configMaps}/c`));
    ok(await call("POST", configMaps, configMap("bb")), 201);
    const second = ok(await call("GET", `${configMaps}?limit=2&continue=${textOf(token)}`)).body;
    assert.deepEqual(
      listAt(second, "items").map(({ metadata }) => textOf(metadata?.["name"])),
      ["c", "d"],
    );
    assert.equal(textOf(second["metadata"]?.["resourceVersion"]), textOf(resourceVersion));
    assert.equal(second["metadata"]?.["continue"], undefined);
    const exact = ok(
      await call("GET", `${configMaps}?resourceVersionMatch=Exact&resourceVersion=${textOf(resourceVersion)}`),
    );
    assert.equal(listAt(exact.body, "items").length, 4);
    const both = await call("GET", `${configMaps}?resourceVersion=1&continue=${textOf(token)}`);
    assert.equal(both.code, 400);
  });
});

test("a page whose revision was compacted is 410 Expired", async () => {
  const store = openSqliteStore({ path: ":memory:" });
  await withServer(
    async ({ call }) => {
      for (const name of ["a", "b"]) ok(await call("POST", configMaps, configMap(name)), 201);
      const { continue: token } = ok(await call("GET", `${configMaps}?limit=1`)).body["metadata"] ?? {};
      ok(await call("DELETE", `${configMaps}/b`));
      await store.compact(await store.revision());
      const reply = await call("GET", `${configMaps}?limit=1&continue=${textOf(token)}`);
      assert.deepEqual([reply.code, reply.body["reason"]], [410, "Expired"]);
    },
    { store },
  );
});

test("a watch with sendInitialEvents gives the state, an annotated bookmark, then changes", async () => {
  await withServer(async ({ call, watch }) => {
    ok(await call("POST", configMaps, configMap("a")), 201);
    const query = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    const stream = await watch(`${configMaps}?${query}`);
    const [added, bookmark] = await stream.take(2);
    assert.equal(added, "ADDED a");
    assert.match(bookmark ?? "", /^BOOKMARK \d+ initial-events-end$/);
    ok(await call("POST", configMaps, configMap("b")), 201);
    assert.deepEqual(await stream.take(1), ["ADDED b"]);
    stream.close();
    const refused = await call("GET", `${configMaps}?watch=true&sendInitialEvents=true`);
    assert.equal(refused.code, 422);
    assert.match(refused.text, /requires setting resourceVersionMatch to NotOlderThan/);
  });
});

test("a watch with sendInitialEvents=false begins now", async () => {
  await withServer(async ({ call, watch }) => {
    ok(await call("POST", configMaps, configMap("a")), 201);
    const stream = await watch(`${configMaps}?watch=true&sendInitialEvents=false&resourceVersionMatch=NotOlderThan`);
    ok(await call("POST", configMaps, configMap("b")), 201);
    assert.deepEqual(await stream.take(1), ["ADDED b"]);
    stream.close();
  });
});

test("all three patch formats change an object; a rehearsal changes nothing", async () => {
  await withServer(async ({ call }) => {
    ok(await call("POST", deployments, deployment), 201);
    const patch = (type: string, body: unknown, query = ""): Promise<Reply> =>
      call("PATCH", `${deployments}/web${query}`, body, { "content-type": `application/${type}+json` });
    const strategic = { spec: { template: { spec: { containers: [{ name: "side", image: "side:2" }] } } } };
    const dry = ok(await patch("strategic-merge-patch", strategic, "?dryRun=All"));
    assert.match(dry.text, /side:2/);
    assert.doesNotMatch(ok(await call("GET", `${deployments}/web`)).text, /side:2/);
    assert.match(ok(await patch("strategic-merge-patch", strategic)).text, /"app:1".*"side:2"/);
    assert.match(ok(await patch("merge-patch", { metadata: { labels: { x: "y" } } })).text, /"x":"y"/);
    const operations = [{ op: "replace", path: "/spec/replicas", value: 5 }];
    assert.equal(textOf(ok(await patch("json-patch", operations)).body["spec"]?.["replicas"]), "5");
    ok(await patch("json-patch", [{ op: "test", path: "/spec/replicas", value: 1 }]), 422);
    const unknown = await patch("merge-patch", { spec: { foo: 1 } }, "?fieldValidation=Strict");
    assert.match(ok(unknown, 400).text, /unknown field \\"spec.foo\\"/);
  });
});

test("scale reads and writes the number of replicas alone", async () => {
  await withServer(async ({ call }) => {
    ok(await call("POST", deployments, deployment), 201);
    const scale = `${deployments}/web/scale`;
    const { body } = ok(await call("GET", scale));
    assert.deepEqual(
      [body["kind"], body["spec"], body["status"]],
      ["Scale", { replicas: 2 }, { replicas: 0, selector: "app=web" }],
    );
    assert.deepEqual(ok(await call("PATCH", scale, { spec: { replicas: 3 } })).body["spec"], { replicas: 3 });
    assert.deepEqual(ok(await call("PUT", scale, { ...body, metadata: { name: "web" }, spec: {} })).body["spec"], {
      replicas: 0,
    });
    const stale = await call("PUT", scale, body);
    assert.equal(stale.code, 409);
    ok(await call("PATCH", scale, { spec: { replicas: -1 } }), 422);
    ok(await call("GET", `${configMaps}/a/scale`), 404);
    const stored = ok(await call("GET", `${deployments}/web`)).body;
    assert.equal(textOf(stored["spec"]?.["replicas"]), "0");
  });
});

test("reviews say who asks and what is allowed", async () => {
  await withServer(async ({ call }) => {
    const ask = (group: string, kind: string): Promise<Reply> =>
      call("POST", `/apis/${group}/v1/${kind.toLowerCase()}s`, {
        apiVersion: `${group}/v1`,
        kind,
        spec: { nonResourceAttributes: { verb: "get", path: "/metrics" } },
      });
    const me = ok(await ask("authentication.k8s.io", "SelfSubjectReview"), 201).body;
    assert.deepEqual(me["status"]?.["userInfo"]?.["username"], "tester");
    const access = ok(await ask("authorization.k8s.io", "SelfSubjectAccessReview"), 201).body;
    assert.equal(access["status"]?.["allowed"], true);
    ok(await call("GET", "/apis/authentication.k8s.io/v1/selfsubjectreviews"), 405);
    ok(await call("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", configMap("a")), 400);
  });
});

test("a deletion that is rehearsed deletes nothing, wherever dryRun stands", async () => {
  await withServer(async ({ call }) => {
    ok(await call("POST", configMaps, configMap("a")), 201);
    ok(await call("DELETE", `${configMaps}/a`, { kind: "DeleteOptions", apiVersion: "v1", dryRun: ["All"] }));
    ok(await call("DELETE", `${configMaps}/a?dryRun=All`));
    ok(await call("DELETE", configMaps, { kind: "DeleteOptions", apiVersion: "v1", dryRun: ["All"] }));
    ok(await call("DELETE", `${configMaps}/a`, { dryRun: ["Some"] }), 400);
    ok(await call("GET", `${configMaps}/a`));
  });
});

test("a Job selects its pods by its own uid, and events are selected by what they are about", async () => {
  await withServer(async ({ call }) => {
    const template = { spec: { restartPolicy: "Never", containers: [{ name: "a", image: "a" }] } };
    const job = { apiVersion: "batch/v1", kind: "Job", metadata: { name: "j" }, spec: { template } };
    const { body } = ok(await call("POST", "/apis/batch/v1/namespaces/default/jobs", job), 201);
    const label = { "batch.kubernetes.io/controller-uid": body["metadata"]?.["uid"] };
    assert.deepEqual(body["spec"]?.["selector"], { matchLabels: label });
    assert.equal(textOf(body["spec"]?.["completions"]), "1");
    const event = (name: string, about: string): object => ({
      apiVersion: "v1",
      kind: "Event",
      metadata: { name },
      involvedObject: { kind: "Pod", namespace: "default", name: about },
    });
    for (const about of ["x", "y"])
      ok(await call("POST", "/api/v1/namespaces/default/events", event(about, about)), 201);
    const found = ok(
      await call("GET", "/api/v1/events?fieldSelector=involvedObject.name%3Dx,involvedObject.kind%3DPod"),
    );
    assert.equal(listAt(found.body, "items").length, 1);
  });
});
