/** Objects out of text, image maps, names of kinds: with complaints that say where. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseImageMap } from "./images.ts";
import { parsePublished } from "./launcher/publish.ts";
import { checkClusterName } from "./launcher/state-dir.ts";
import { parseManifests } from "./manifests.ts";
import { displayName, findKind } from "./resources.ts";

const doc = (kind: string, name: string, apiVersion = "v1"): string =>
  `apiVersion: ${apiVersion}\nkind: ${kind}\nmetadata: { name: ${name} }\n`;

describe("parseManifests()", () => {
  it("reads every document with the line where it starts, and skips empty ones", () => {
    const found = parseManifests(`${doc("Service", "a")}---\n---\n# nothing\n---\n${doc("ConfigMap", "b")}`, "f.yaml");
    assert.deepEqual(
      found.map(({ where, kind, object }) => [where, kind.plural, object.metadata.name]),
      [
        ["f.yaml:1", "services", "a"],
        ["f.yaml:8", "configmaps", "b"],
      ],
    );
  });

  it("takes a List apart", () => {
    const items = [1, 2].map((at) => ({ apiVersion: "v1", kind: "Service", metadata: { name: `s${at}` } }));
    const found = parseManifests(JSON.stringify({ apiVersion: "v1", kind: "List", items }), "f.json");
    assert.deepEqual(
      found.map(({ where }) => where),
      ["f.json:1 items[0]", "f.json:1 items[1]"],
    );
  });

  const refused: readonly [text: string, message: RegExp][] = [
    ["kind: Service", /^Cannot read f:1: apiVersion: Required value$/],
    ["apiVersion: v1", /^Cannot read f:1: kind: Required value$/],
    ["apiVersion: v1\nkind: Service", /^Cannot read f:1: metadata.name: Required value$/],
    ["- a", /^Cannot read f:1: wanted an object with apiVersion, kind and metadata$/],
    ["a: [", /^Cannot parse f:\d+:\d+: /],
    ["a: 1\na: 2", /^Cannot parse f:2:1: Map keys must be unique$/],
    [doc("Deployment", "a", "v1"), /unknown kind Deployment in v1, wanted apiVersion apps\/v1$/],
    [doc("Nothing", "a"), /unknown kind Nothing in v1, wanted one of /],
  ];
  for (const [text, message] of refused) {
    it(`refuses ${JSON.stringify(text)}`, () => assert.throws(() => parseManifests(text, "f"), { message }));
  }
});

describe("parseImageMap()", () => {
  it("reads entries, folders from where the file is", () => {
    const text = "images:\n  - { image: web, directory: ./web, command: [node, a.ts], env: { A: b } }\n";
    assert.deepEqual(parseImageMap(text, "/srv/images.yaml"), [
      { image: "web", directory: "/srv/web", command: ["node", "a.ts"], env: { A: "b" } },
    ]);
  });

  const refused: readonly [text: string, message: RegExp][] = [
    ["", /images: wanted a list$/],
    ["images: [{ command: [a] }]", /images\[0\]\.image: wanted a name pattern$/],
    ["images: [{ image: a, command: [] }]", /images\[0\]\.command: wanted a list of words$/],
    ["images: [{ image: a, command: a }]", /images\[0\]\.command: wanted a list of words$/],
    ["images: [{ image: a, command: [a], path: b }]", /images\[0\]\.path: wanted one of image, /],
    ["images: [x]", /images\[0\]: wanted an object$/],
    ["images: [null]", /images\[0\]: wanted an object$/],
    ["images: [{ image: a, command: [a], env: { A: [1] } }]", /images\[0\]\.env: wanted names and values$/],
  ];
  for (const [text, message] of refused) {
    it(`refuses ${JSON.stringify(text)}`, () => assert.throws(() => parseImageMap(text, "f"), { message }));
  }
});

describe("findKind()", () => {
  for (const [word, plural] of [
    ["po", "pods"],
    ["Pod", "pods"],
    ["SVC", "services"],
    ["deployments.apps", "deployments"],
    ["rs", "replicasets"],
  ] as const) {
    it(`takes ${word} for ${plural}`, () => assert.equal(findKind(word).plural, plural));
  }
  it("says what there is", () => assert.throws(() => findKind("x"), /Cannot find kind "x": wanted one of .*pods/));
  it("goes with displayName()", () => {
    assert.equal(displayName(findKind("deploy"), "web"), "deployment.apps/web");
    assert.equal(displayName(findKind("po"), "web"), "pod/web");
  });
});

describe("parsePublished()", () => {
  it("reads address, port and target", () => {
    assert.deepEqual(parsePublished("0.0.0.0:8080=svc/shop/web:80"), {
      hostAddress: "0.0.0.0",
      hostPort: 8080,
      kind: "svc",
      namespace: "shop",
      name: "web",
      port: 80,
    });
    const { hostAddress, namespace, kind } = parsePublished("8080=gateway/web:80");
    assert.deepEqual([hostAddress, namespace, kind], ["127.0.0.1", "default", "gateway"]);
  });
  for (const text of ["", "8080", "8080=svc/web", "70000=svc/web:80", "1=svc/web:0", "1.2.3:1=svc/a:1", "x=pod/a:1"]) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      assert.throws(() => parsePublished(text), { code: "Usage", message: /^Cannot publish .*wanted/ });
    });
  }
});

describe("checkClusterName()", () => {
  it("takes DNS labels only, for the name becomes a folder", () => {
    assert.equal(checkClusterName("demo-1"), "demo-1");
    for (const name of ["", "-a", "a-", "A", "a.b", "../x", "a".repeat(64)]) {
      assert.throws(() => checkClusterName(name), { code: "Usage" });
    }
  });
});
