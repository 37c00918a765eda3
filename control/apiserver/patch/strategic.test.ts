import assert from "node:assert/strict";
import { test } from "node:test";
import { deployments } from "#api/apps/deployment.ts";
import { pods } from "#api/core/pod.ts";
import { wholeSchema } from "#api/schema/kind.ts";
import { strategicMerge } from "./strategic.ts";

type JSONObject = Record<string, unknown>;

const pod = (spec: object, metadata: object = {}): JSONObject => ({ metadata, spec });
const merge = (target: JSONObject, patch: JSONObject): unknown => strategicMerge(wholeSchema(pods), target, patch);

/** Behaviour, the pod's spec, the patch of the spec, the spec afterwards. */
const rows: readonly (readonly [string, object, object, object])[] = [
  [
    "merges containers by name",
    {
      containers: [
        { name: "a", image: "a:1" },
        { name: "b", image: "b:1" },
      ],
    },
    {
      containers: [
        { name: "b", image: "b:2" },
        { name: "c", image: "c:1" },
      ],
    },
    {
      containers: [
        { name: "a", image: "a:1" },
        { name: "b", image: "b:2" },
        { name: "c", image: "c:1" },
      ],
    },
  ],
  [
    "merges lists inside of merged items, by their own keys",
    { containers: [{ name: "a", env: [{ name: "X", value: "1" }], ports: [{ containerPort: 80, name: "http" }] }] },
    { containers: [{ name: "a", env: [{ name: "Y", value: "2" }], ports: [{ containerPort: 80, protocol: "TCP" }] }] },
    {
      containers: [
        {
          name: "a",
          env: [
            { name: "X", value: "1" },
            { name: "Y", value: "2" },
          ],
          ports: [{ containerPort: 80, name: "http", protocol: "TCP" }],
        },
      ],
    },
  ],
  [
    "replaces lists without a merge key",
    { tolerations: [{ key: "a" }], containers: [{ name: "a", args: ["1", "2"] }] },
    { tolerations: [{ key: "b" }], containers: [{ name: "a", args: ["3"] }] },
    { tolerations: [{ key: "b" }], containers: [{ name: "a", args: ["3"] }] },
  ],
  ["deletes a field by null", { nodeName: "n", hostname: "h" }, { nodeName: null }, { hostname: "h" }],
  [
    "deletes an item by $patch: delete",
    { containers: [{ name: "a" }, { name: "b" }] },
    { containers: [{ $patch: "delete", name: "a" }] },
    { containers: [{ name: "b" }] },
  ],
  [
    "replaces a list by $patch: replace",
    { containers: [{ name: "a" }, { name: "b" }] },
    { containers: [{ $patch: "replace" }, { name: "c" }] },
    { containers: [{ name: "c" }] },
  ],
  [
    "replaces an object by $patch: replace",
    { nodeSelector: { a: "1", b: "2" } },
    { nodeSelector: { $patch: "replace", c: "3" } },
    { nodeSelector: { c: "3" } },
  ],
  [
    "retains only the keys of $retainKeys",
    { volumes: [{ name: "v", emptyDir: {} }] },
    { volumes: [{ name: "v", configMap: { name: "c" }, $retainKeys: ["name", "configMap"] }] },
    { volumes: [{ name: "v", configMap: { name: "c" } }] },
  ],
];

for (const [behaviour, before, patch, after] of rows)
  test(`strategicMerge() ${behaviour}`, () => {
    const target = pod(before);
    const copy = structuredClone(target);
    assert.deepEqual(merge(target, { spec: patch }), pod(after));
    assert.deepEqual(target, copy);
  });

test("strategicMerge() orders items by $setElementOrder, and keeps those that it does not name", () => {
  const target = pod({ containers: [{ name: "a" }, { name: "x" }, { name: "b" }] });
  const order = [{ name: "b" }, { name: "a" }, { name: "c" }];
  const patch = { spec: { "$setElementOrder/containers": order, containers: [{ name: "c" }] } };
  assert.deepEqual(
    merge(target, patch),
    pod({ containers: [{ name: "x" }, { name: "b" }, { name: "a" }, { name: "c" }] }),
  );
});

test("strategicMerge() unites finalizers and deletes from them", () => {
  const target = { metadata: { finalizers: ["a", "b"] } };
  assert.deepEqual(merge(target, { metadata: { finalizers: ["c", "a"] } }), {
    metadata: { finalizers: ["a", "b", "c"] },
  });
  assert.deepEqual(merge(target, { metadata: { "$deleteFromPrimitiveList/finalizers": ["a"] } }), {
    metadata: { finalizers: ["b"] },
  });
});

test("strategicMerge() reaches the template of a Deployment", () => {
  const template = (containers: readonly object[]): JSONObject => ({ spec: { template: { spec: { containers } } } });
  const before = template([
    { name: "a", image: "a:1" },
    { name: "b", image: "b" },
  ]);
  const after = template([
    { name: "a", image: "a:2" },
    { name: "b", image: "b" },
  ]);
  assert.deepEqual(strategicMerge(wholeSchema(deployments), before, template([{ name: "a", image: "a:2" }])), after);
});

test("strategicMerge() refuses directives that make no sense", () => {
  const refuse = (patch: JSONObject, message: RegExp): void =>
    assert.throws(() => merge(pod({ containers: [{ name: "a" }] }), { spec: patch }), { code: "BadRequest", message });
  refuse({ $patch: "destroy" }, /got \$patch "destroy"/);
  refuse({ $retainKeys: "a" }, /\$retainKeys: wanted a list/);
  refuse({ $retainKeys: ["a"], b: 1 }, /the patch sets "b"/);
  refuse({ "$setElementOrder/containers": {} }, /wanted a list/);
  refuse({ containers: [{ image: "x" }] }, /an item of a list has no name/);
  refuse({ containers: ["x"] }, /is not an object/);
});
