import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { CodecError } from "../xds/errors.ts";
import { Writer } from "../xds/wire.ts";
import { decodeKubernetes } from "./decode.ts";
import { messageOf } from "./messages.ts";

type Value = string | number | Uint8Array;

/** A message from its fields: numbers as varints, the rest as bytes. */
function message(...fields: readonly (readonly [number, Value])[]): Uint8Array {
  const writer = new Writer();
  for (const [id, value] of fields)
    if (typeof value === "number") {
      writer.tag(id, 0);
      writer.varint64(BigInt.asUintN(64, BigInt(value)));
    } else {
      writer.tag(id, 2);
      writer.bytes(typeof value === "string" ? Buffer.from(value) : value);
    }
  return writer.finish();
}

function envelope(apiVersion: string, kind: string, raw: Uint8Array): Uint8Array {
  const unknown = message([1, message([1, apiVersion], [2, kind])], [2, raw], [3, ""], [4, ""]);
  return Buffer.concat([Buffer.from("k8s\0"), unknown]);
}

test("decodeKubernetes() reads a ConfigMap with its metadata", () => {
  const metadata = message([1, "a"], [2, ""], [3, "default"], [7, 0], [8, ""], [11, message([1, "k"], [2, "v"])]);
  const raw = message([1, metadata], [2, message([1, "x"], [2, "1"])], [3, message([1, "bin"], [2, "hi"])]);
  assert.deepEqual(decodeKubernetes(envelope("v1", "ConfigMap", raw)), {
    apiVersion: "v1",
    kind: "ConfigMap",
    // Empty texts and times are what Go writes for absent ones.
    metadata: { name: "a", namespace: "default", labels: { k: "v" } },
    data: { x: "1" },
    binaryData: { bin: "aGk=" },
  });
});

test("decodeKubernetes() keeps zero where it is said, and drops it where it is Go's default", () => {
  const spec = message([1, 0], [5, 0]);
  const { spec: read } = decodeKubernetes(envelope("apps/v1", "Deployment", message([2, spec]))) as { spec: unknown };
  assert.deepEqual(read, { replicas: 0 });
});

test("decodeKubernetes() reads inlined messages, quantities, ports and times", () => {
  const probe = message([1, message([2, message([1, "/"], [2, message([1, 1], [3, "http"])])])], [2, 5]);
  const resources = message([2, message([1, "cpu"], [2, message([1, "100m"])])]);
  const container = message([1, "app"], [8, resources], [10, probe]);
  const metadata = message([9, message([1, 1_767_225_600])]);
  const pod = message([1, metadata], [2, message([2, container])]);
  assert.deepEqual(decodeKubernetes(envelope("v1", "Pod", pod)), {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { deletionTimestamp: "2026-01-01T00:00:00Z" },
    spec: {
      containers: [
        {
          name: "app",
          resources: { requests: { cpu: "100m" } },
          livenessProbe: { httpGet: { path: "/", port: "http" }, initialDelaySeconds: 5 },
        },
      ],
    },
  });
});

test("decodeKubernetes() reads DeleteOptions of any group", () => {
  const raw = message([1, 0], [4, "Background"], [5, "All"]);
  const wanted = { kind: "DeleteOptions", gracePeriodSeconds: 0, propagationPolicy: "Background", dryRun: ["All"] };
  for (const apiVersion of ["v1", "apps/v1", "meta.k8s.io/v1"])
    assert.deepEqual(decodeKubernetes(envelope(apiVersion, "DeleteOptions", raw)), { apiVersion, ...wanted });
});

test("decodeKubernetes() refuses other kinds, other bytes and wrong wire types", () => {
  assert.throws(() => decodeKubernetes(envelope("v1", "Widget", message())), { code: "unknown_type" });
  assert.throws(() => decodeKubernetes(Buffer.from("{}")), { code: "bad_bytes" });
  assert.throws(() => decodeKubernetes(envelope("v1", "ConfigMap", message([1, 1]))), { code: "bad_bytes" });
});

test("decodeKubernetes() throws nothing but CodecError on arbitrary bytes", () => {
  const kinds = fc.constantFrom(["v1", "Pod"], ["apps/v1", "Deployment"], ["v1", "Event"], ["batch/v1", "Job"]);
  fc.assert(
    fc.property(kinds, fc.uint8Array({ maxLength: 200 }), ([apiVersion = "", kind = ""], bytes) => {
      try {
        decodeKubernetes(envelope(apiVersion, kind, bytes));
      } catch (error) {
        assert.ok(error instanceof CodecError, String(error));
      }
    }),
  );
});

test("messageOf() knows every message that a table names", () => {
  const seen = new Set<string>();
  const visit = (name: string): void => {
    if (seen.has(name)) return;
    seen.add(name);
    const found = messageOf(name);
    assert.ok(found !== undefined, name);
    for (const { type } of found.values()) if (type.includes(".")) visit(type);
  };
  for (const name of ["core.Pod", "core.Node", "core.Service", "apps.Deployment", "apps.DaemonSet", "batch.Job"])
    visit(name);
  for (const name of ["networking.Ingress", "discovery.EndpointSlice", "policy.PodDisruptionBudget"]) visit(name);
  assert.ok(seen.size > 100);
});

test("decodeKubernetes() reads requests for tokens and evictions", () => {
  const ref = message([1, "Pod"], [2, "v1"], [3, "web"]);
  const request = message([1, message([1, ""])], [2, message([1, "vault"], [3, ref], [4, 600])], [3, message([1, ""])]);
  assert.deepEqual(decodeKubernetes(envelope("authentication.k8s.io/v1", "TokenRequest", request)), {
    apiVersion: "authentication.k8s.io/v1",
    kind: "TokenRequest",
    metadata: {},
    spec: {
      audiences: ["vault"],
      boundObjectRef: { kind: "Pod", apiVersion: "v1", name: "web" },
      expirationSeconds: 600,
    },
    status: { token: "" },
  });
  const eviction = message([1, message([1, "web"])], [2, message([1, 5])]);
  assert.deepEqual(decodeKubernetes(envelope("policy/v1", "Eviction", eviction)), {
    apiVersion: "policy/v1",
    kind: "Eviction",
    metadata: { name: "web" },
    deleteOptions: { gracePeriodSeconds: 5 },
  });
});
