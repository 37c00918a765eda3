/**
 * The node proxy against the real kernel, in user, network, mount and pid namespaces of its own, as root and as an
 * ordinary user. The host's network is never entered: the programs below run on the other side of `unshare`.
 */
import assert from "node:assert/strict";
import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";

const unshare = ["unshare", "--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child"];

function inNamespaces(script: string, program: string): SpawnSyncReturns<string> {
  // Without the parent test's context, the child reports as text that we show when it fails.
  const { NODE_TEST_CONTEXT: _context, NODE_OPTIONS: _options, ...rest } = process.env;
  const env = { ...rest, PATH: `${rest["PATH"] ?? "/usr/bin:/bin"}:/usr/sbin:/sbin` };
  const shell = ["--mount-proc", "dash", "-c", script, "dash", process.execPath, join(import.meta.dirname, program)];
  return spawnSync("setpriv", ["--pdeathsig", "KILL", ...unshare, ...shell], {
    env,
    encoding: "utf8",
    timeout: 60_000,
  });
}

for (const [name, program] of [
  ["packets go where the Services say", "packets.ts"],
  ["packets go where kube-proxy would send them", "behaviours.ts"],
  ["policies let through what they allow, and nothing else", "policies.ts"],
  ["nothing is lost while endpoints roll", "rolling.ts"],
  ["packets go where the model sends them", "model.ts"],
] as const) {
  test(name, (t) => {
    const probe = inNamespaces("nft list ruleset", program);
    if (probe.status !== 0) return t.skip(`SKIP ${probe.error?.message ?? probe.stderr.trim()}`);
    const script = 'timeout -s KILL 50 "$1" --test-reporter=spec "$2"; exit $?';
    const { status, stdout, stderr } = inNamespaces(script, program);
    assert.equal(status, 0, `${stdout}${stderr}`);
    assert.match(stdout, /pass [1-9]/);
  });
}
