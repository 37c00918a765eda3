/** Files that people write or change: what is wrong with one is said in a sentence that names it. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { readClusterKubeconfig } from "./cluster-kubeconfig.ts";
import { parseImageMap } from "./images.ts";

const several = "a: 1\n---\nb: 2\n";

test("parseImageMap() names the file that is not one YAML document", () => {
  const rows = [
    [several, "it has 2 YAML documents, wanted one"],
    ["{", "it is no YAML: Flow map must end with a } at line 1, column 2"],
    ["images: 1", "images: wanted a list"],
  ] as const;
  for (const [text, problem] of rows)
    assert.throws(() => parseImageMap(text, "map.yaml"), {
      name: "CliError",
      message: `Cannot read image map map.yaml: ${problem}`,
    });
});

test("readClusterKubeconfig() names the file that it cannot use, and what helps", (t) => {
  const dir = mkdtempSync(join(tmpdir(), "wherry-kubeconfig-"));
  t.after(() => rmSync(dir, { recursive: true }));
  const file = join(dir, "kubeconfig");
  const rows = [
    [several, "it has 2 YAML documents, wanted one"],
    ["- a", "it is no YAML object"],
    ["clusters: []", "wanted a cluster and a user"],
  ] as const;
  for (const [text, problem] of rows) {
    writeFileSync(file, text);
    assert.throws(() => readClusterKubeconfig(dir), {
      name: "CliError",
      message: `Cannot read ${file}: ${problem} (run: wherry down; wherry up)`,
    });
  }
  const good = {
    clusters: [{ cluster: { server: "https://127.0.0.1:1", "certificate-authority-data": "" } }],
    users: [{ user: { "client-certificate-data": "", "client-key-data": "" } }],
  };
  writeFileSync(file, JSON.stringify(good));
  assert.deepEqual(readClusterKubeconfig(dir), good);
});
