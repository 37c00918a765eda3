/**
 * The node proxy against the real kernel, in user, network, mount and pid namespaces of its own, as root and as an
 * ordinary user. The host's network is never entered: packets.ts runs on the other side of `unshare`.
 */
import assert from "node:assert/strict";
import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";

const program = join(import.meta.dirname, "packets.ts");
const unshare = ["unshare", "--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child"];

function inNamespaces(script: string): SpawnSyncReturns<string> {
  // Without the parent test's context, the child reports as text that we show when it fails.
  const { NODE_TEST_CONTEXT: _context, NODE_OPTIONS: _options, ...rest } = process.env;
  const env = { ...rest, PATH: `${rest["PATH"] ?? "/usr/bin:/bin"}:/usr/sbin:/sbin` };
  const shell = ["--mount-proc", "dash", "-c", script, "dash", process.execPath, program];
  return spawnSync("setpriv", ["--pdeathsig", "KILL", ...unshare, ...shell], {
    env,
    encoding: "utf8",
    timeout: 60_000,
  });
}

test("packets go where the Services say", (t) => {
  const probe = inNamespaces("nft list ruleset");
  if (probe.status !== 0) return t.skip(`SKIP ${probe.error?.message ?? probe.stderr.trim()}`);
  const { status, stdout, stderr } = inNamespaces('timeout -s KILL 30 "$1" --test-reporter=spec "$2"; exit $?');
  assert.equal(status, 0, `${stdout}${stderr}`);
  assert.match(stdout, /pass [1-9]/);
});
