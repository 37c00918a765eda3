/** Environment, command and arguments of a container. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { EnvVar } from "#api/core/env.ts";
import type { Container, Pod } from "#api/core/pod.ts";
import { type Environment, expand, resolveEnvironment } from "./environment.ts";
import type { Data, References } from "./references.ts";

const data = (texts: Record<string, string>): Data =>
  new Map(Object.entries(texts).map(([key, text]) => [key, Buffer.from(text)]));

const references: References = {
  configMap: async (_, name) => (name === "settings" ? data({ mode: "fast", level: "3" }) : undefined),
  secret: async (_, name) => (name === "token" ? data({ value: "s3cret" }) : undefined),
};

const facts = {
  podIP: "10.244.1.2",
  hostIP: "100.64.0.2",
  nodeName: "node1",
  allocatable: { cpus: 4, memory: 2 ** 30, storage: 2 ** 33 },
};
const api = { host: "10.96.0.1", port: 443 };

function resolve(container: Partial<Container>): Promise<Environment> {
  const pod: Pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "web-1", namespace: "shop", uid: "u1", labels: { app: "web" }, annotations: { "a/b": "c" } },
    spec: { containers: [], serviceAccountName: "runner" },
  };
  const image = { image: "web", command: ["serve", "--port", "$(PORT)"], env: { PORT: "80", LANG: "C" } };
  return resolveEnvironment(pod, { name: "web", ...container }, image, { references, facts, api });
}

const field = (fieldPath: string): EnvVar => ({ name: "V", valueFrom: { fieldRef: { fieldPath } } });
const fromMap = (name: string, key: string, optional?: boolean): EnvVar => ({
  name: "V",
  valueFrom: { configMapKeyRef: { name, key, ...(optional === undefined ? {} : { optional }) } },
});

describe("resolveEnvironment()", () => {
  const values: readonly [what: string, env: readonly EnvVar[], value: string | undefined][] = [
    ["a plain value", [{ name: "V", value: "x" }], "x"],
    ["no value as the empty text", [{ name: "V" }], ""],
    [
      "an earlier variable",
      [
        { name: "A", value: "1" },
        { name: "V", value: "$(A)2" },
      ],
      "12",
    ],
    [
      "nothing of a later variable",
      [
        { name: "V", value: "$(B)" },
        { name: "B", value: "1" },
      ],
      "$(B)",
    ],
    ["the image's own variable", [{ name: "V", value: "$(LANG)" }], "C"],
    ["a key of a ConfigMap", [fromMap("settings", "mode")], "fast"],
    ["no variable for an optional ConfigMap that is missing", [fromMap("none", "mode", true)], undefined],
    ["no variable for an optional key that is missing", [fromMap("settings", "none", true)], undefined],
    ["a key of a Secret", [{ name: "V", valueFrom: { secretKeyRef: { name: "token", key: "value" } } }], "s3cret"],
    ["metadata.name", [field("metadata.name")], "web-1"],
    ["metadata.namespace", [field("metadata.namespace")], "shop"],
    ["a label", [field("metadata.labels['app']")], "web"],
    ["an annotation", [field("metadata.annotations['a/b']")], "c"],
    ["an absent label as the empty text", [field("metadata.labels['none']")], ""],
    ["spec.nodeName", [field("spec.nodeName")], "node1"],
    ["spec.serviceAccountName", [field("spec.serviceAccountName")], "runner"],
    ["status.podIP", [field("status.podIP")], "10.244.1.2"],
    ["status.hostIP", [field("status.hostIP")], "100.64.0.2"],
  ];
  for (const [what, env, value] of values) {
    it(`gives ${what}`, async () => {
      assert.equal((await resolve({ env })).env["V"], value);
    });
  }

  const failures: readonly [what: string, env: EnvVar, message: string][] = [
    ["ConfigMap", fromMap("none", "k"), 'configmap "none" not found'],
    ["key", fromMap("settings", "k"), "couldn't find key k in ConfigMap shop/settings"],
    ["Secret", { name: "V", valueFrom: { secretKeyRef: { name: "no", key: "k" } } }, 'secret "no" not found'],
  ];
  for (const [what, variable, message] of failures) {
    it(`names a missing ${what}`, async () => {
      await assert.rejects(resolve({ env: [variable] }), { code: "CreateContainerConfigError", message });
    });
  }

  for (const path of ["status.phase", "constructor"]) {
    it(`refuses the field ${path} and says what there is`, async () => {
      await assert.rejects(
        resolve({ env: [field(path)] }),
        /^KubeletError: Cannot read field .*: wanted one of metadata.name/,
      );
    });
  }

  it("takes whole ConfigMaps and Secrets, with a prefix", async () => {
    const envFrom = [{ prefix: "S_", configMapRef: { name: "settings" } }, { secretRef: { name: "token" } }];
    const { env } = await resolve({ envFrom });
    assert.deepEqual([env["S_mode"], env["S_level"], env["value"]], ["fast", "3", "s3cret"]);
  });

  it("refuses a whole ConfigMap that is missing, unless it is optional", async () => {
    await assert.rejects(resolve({ envFrom: [{ configMapRef: { name: "none" } }] }), /configmap "none" not found/);
    await resolve({ envFrom: [{ configMapRef: { name: "none", optional: true } }] });
  });

  it("lets the container's own variables win over those of references and image", async () => {
    const envFrom = [{ configMapRef: { name: "settings" } }];
    const { env } = await resolve({
      envFrom,
      env: [
        { name: "mode", value: "slow" },
        { name: "PORT", value: "8080" },
      ],
    });
    assert.deepEqual([env["mode"], env["PORT"]], ["slow", "8080"]);
  });

  it("takes the image's command where the container has none, and expands it", async () => {
    assert.deepEqual((await resolve({ args: ["-v"] })).command, ["serve", "--port", "80", "-v"]);
    assert.deepEqual((await resolve({ command: ["other"], args: ["$(PORT)"] })).command, ["other", "80"]);
  });
});

describe("expand()", () => {
  const env = { A: "1", EMPTY: "" };
  const rows: readonly [text: string, wanted: string][] = [
    ["$(A)", "1"],
    ["x$(A)y$(A)", "x1y1"],
    ["$$(A)", "$(A)"],
    ["$$$(A)", "$1"],
    ["$A", "$A"],
    ["$(B)", "$(B)"],
    ["$(EMPTY)", ""],
    ["$(constructor)", "$(constructor)"],
    ["$(A", "$(A"],
  ];
  for (const [text, wanted] of rows) {
    it(`turns ${text} into ${JSON.stringify(wanted)}`, () => assert.equal(expand(text, env), wanted));
  }
});
