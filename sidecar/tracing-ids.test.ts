/** Identifiers have their form, however many are drawn, and no two are the same. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { seededRandom } from "#lib/random.ts";
import { Ids } from "./tracing-ids.ts";

test("uuid() gives UUIDs of version 4, each another one", () => {
  const ids = new Ids(seededRandom(3));
  const drawn = Array.from({ length: 1000 }, () => ids.uuid());
  for (const id of drawn) assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.equal(new Set(drawn).size, drawn.length);
  assert.equal(new Set(drawn.map((id) => id[19])).size, 4);
});

test("hex() gives as many digits as were asked for, over the end of what was drawn", () => {
  const ids = new Ids(seededRandom(3));
  for (let turn = 0; turn < 2000; turn++) for (const digits of [16, 32]) assert.equal(ids.hex(digits).length, digits);
});
