/** docs/ARCHITECTURE.md names files and functions: they are there. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

const root = join(import.meta.dirname, "..");
const text = readFileSync(join(root, "docs", "ARCHITECTURE.md"), "utf8");

test("docs/ARCHITECTURE.md names no file and no function that is not there", () => {
  // `file` `name()`, in prose or in two columns of a table, which may break the line between them.
  const pairs = [...text.matchAll(/`([\w./-]+\.ts)`[\s|]+`(\w+)\(\)`/g)].map(([, file = "", name = ""]) => ({
    file,
    name,
  }));
  assert.ok(pairs.length >= 50, `${pairs.length} pairs`);
  const missing = pairs.filter(({ file, name }) => {
    const path = join(root, file);
    return !existsSync(path) || !new RegExp(`\\b${name}\\b`).test(readFileSync(path, "utf8"));
  });
  assert.deepEqual(missing, []);
});
