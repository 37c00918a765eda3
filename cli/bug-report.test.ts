/** What a bug report leaves out when the values of Secrets cannot be read. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { collect, collectObjects, sentenceOf } from "./bug-report.ts";

const canary = "correct horse battery";

test("collect() leaves the logs of pods out for a cluster that is stopped", async (t) => {
  const home = mkdtempSync(join(tmpdir(), "wherry-bug-report-"));
  const before = process.env["XDG_STATE_HOME"];
  process.env["XDG_STATE_HOME"] = home;
  t.after(() => {
    if (before === undefined) delete process.env["XDG_STATE_HOME"];
    else process.env["XDG_STATE_HOME"] = before;
    rmSync(home, { recursive: true });
  });
  const logs = join(home, "wherry", "stopped", "logs");
  const container = join(logs, "pods", "node-1", "uid", "app");
  mkdirSync(container, { recursive: true });
  writeFileSync(join(container, "0.log"), `password is ${canary}\n`);
  writeFileSync(join(logs, "control.log"), "started\n");
  const { entries, areSecretsKnown } = await collect("stopped");
  assert.equal(areSecretsKnown, false);
  assert.ok(entries.some(({ path }) => path === "logs/control.log"));
  assert.ok(!entries.some(({ path, text }) => path.startsWith("logs/pods/") || text.includes(canary)));
});

test("collectObjects() lists Secrets first, and nothing else when that fails", async () => {
  const asked: string[] = [];
  const { entries, areSecretsKnown } = await collectObjects(() => ({
    list: (kind) => {
      asked.push(kind.plural);
      return Promise.reject(new Error("no answer"));
    },
    close: () => Promise.resolve(),
  }));
  assert.deepEqual(asked, ["secrets"]);
  assert.equal(areSecretsKnown, false);
  assert.deepEqual(entries, [{ path: "objects/error.txt", text: "no answer\n" }]);
});

test("collectObjects() knows Secrets only when all kinds were read", async () => {
  const read = async (failing: string): Promise<boolean> => {
    const { areSecretsKnown } = await collectObjects(() => ({
      list: ({ kind, plural }) =>
        plural === failing
          ? Promise.reject(new Error("no answer"))
          : Promise.resolve({ apiVersion: "v1", kind: `${kind}List`, metadata: { resourceVersion: "1" }, items: [] }),
      close: () => Promise.resolve(),
    }));
    return areSecretsKnown;
  };
  assert.equal(await read("none"), true);
  assert.equal(await read("pods"), false);
});

test("sentenceOf() says what is left out", () => {
  const written = { file: "a.tar.gz", entries: 3 };
  assert.match(sentenceOf({ ...written, hasPodLogs: true }), /3 files, secrets redacted \(look/);
  assert.match(
    sentenceOf({ ...written, hasPodLogs: false }),
    /logs of pods left out because Secrets could not be read/,
  );
});
