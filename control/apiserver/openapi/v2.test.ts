import assert from "node:assert/strict";
import { test } from "node:test";
import { kinds } from "#api/scheme.ts";
import { Reader } from "#api/xds/wire.ts";
import { withServer } from "../testbed.ts";
import { schemaName } from "./schemas.ts";
import { openAPIV2, openAPIV2Accept } from "./v2.ts";

/** The values of a message by field number. */
function fieldsOf(bytes: Uint8Array): Map<number, Buffer[]> {
  const found = new Map<number, Buffer[]>();
  const reader = new Reader(bytes);
  while (!reader.done) {
    const [id] = reader.tag();
    found.set(id, [...(found.get(id) ?? []), reader.bytes()]);
  }
  return found;
}

/** Names and values of the entries of a Definitions or Properties. */
function entriesOf(bytes: Uint8Array | undefined): Map<string, Buffer> {
  const entries = (fieldsOf(bytes ?? new Uint8Array()).get(1) ?? []).map((entry) => {
    const fields = fieldsOf(entry);
    return [fields.get(1)?.[0]?.toString() ?? "", fields.get(2)?.[0] ?? Buffer.of()] as const;
  });
  return new Map(entries);
}

const properties = (schema: Buffer | undefined): Map<string, Buffer> =>
  entriesOf(fieldsOf(schema ?? Buffer.of()).get(25)?.[0]);

test("openAPIV2() defines every kind, with merge keys where apply needs them", () => {
  const document = fieldsOf(openAPIV2());
  assert.equal(document.get(1)?.[0]?.toString(), "2.0");
  const definitions = entriesOf(document.get(9)?.[0]);
  assert.deepEqual([...definitions.keys()].sort(), kinds.map(schemaName).sort());
  const spec = properties(definitions.get("io.k8s.api.core.v1.Pod")).get("spec");
  const containers = fieldsOf(properties(spec).get("containers") ?? Buffer.of());
  const extensions = (containers.get(31) ?? []).map((extension) => extension.toString("latin1"));
  assert.ok(
    extensions.some((extension) => extension.includes("x-kubernetes-patch-merge-key") && extension.endsWith('"name"')),
  );
});

test("OpenAPI v2 is served as protobuf and as nothing else", async () => {
  await withServer(async ({ call }) => {
    const reply = await call("GET", "/openapi/v2", undefined, { accept: openAPIV2Accept });
    assert.equal(reply.code, 200);
    assert.ok(reply.text.includes("io.k8s.api.apps.v1.Deployment"));
    assert.equal((await call("GET", "/openapi/v2")).code, 404);
  });
});
