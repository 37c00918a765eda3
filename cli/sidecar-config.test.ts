/** A configuration file that cannot be read is told by its name, and why. */
import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { readConfig } from "./sidecar-config.ts";

const folder = mkdtempSync(join(tmpdir(), "wherry-sidecar-config-"));
after(() => rmSync(folder, { recursive: true }));

const refused = (configPath: string, message: string): void =>
  assert.throws(() => readConfig({ configPath }), { code: "Failed", message });

test("readConfig() says which file cannot be read, and why", () => {
  const missing = join(folder, "none.yaml");
  refused(missing, `Cannot read ${missing}: no such file`);
  refused(folder, `Cannot read ${folder}: it is a folder, wanted a file`);
  const file = join(folder, "envoy.yaml");
  writeFileSync(file, "a: [");
  refused(join(file, "x"), `Cannot read ${join(file, "x")}: no such file`);
  assert.throws(() => readConfig({ configPath: file }), { message: /^Cannot read bootstrap .*envoy\.yaml: / });
  assert.throws(() => readConfig({}), { code: "Usage" });
});

test("readConfig() says that a file may not be read", { skip: process.getuid?.() === 0 && "root reads all" }, () => {
  const file = join(folder, "secret.yaml");
  writeFileSync(file, "");
  chmodSync(file, 0);
  refused(file, `Cannot read ${file}: permission denied`);
});
