/** The nft that stays, in a network namespace of the test's own. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import test from "node:test";

test("NftSession.run() commits each text whole or not at all, and says what nft has against it", () => {
  const script = `
    import { NftSession } from "${import.meta.dirname}/session.ts";
    import { realClock as clock } from "#lib/clock.ts";
    const session = new NftSession({ clock, timeoutMs: 10_000 });
    const answers = await Promise.all([
      session.run("add table ip t\\nadd chain ip t c\\n"),
      session.run("add chain ip t d\\nadd rule ip t nowhere drop\\n"),
      session.run("nonsense"),
      session.run("add rule ip t c accept"),
      session.run("list chain ip t d"),
    ]);
    process.stdout.write(JSON.stringify(answers));`;
  const command = [
    "--user",
    "--map-root-user",
    "--net",
    process.execPath,
    "--input-type=module-typescript",
    "-e",
    script,
  ];
  const env = { ...process.env, PATH: `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin` };
  const { stdout, stderr } = spawnSync("unshare", command, { encoding: "utf8", env, timeout: 30_000 });
  assert.equal(stderr, "");
  const [made = "?", refused = "", nonsense = "", ruled = "?", missing = ""] = JSON.parse(stdout) as string[];
  assert.deepEqual([made, ruled], ["", ""]);
  assert.match(refused, /^Error: .*No such file or directory/s);
  assert.match(nonsense, /syntax error/);
  assert.match(missing, /No such file or directory/);
});
