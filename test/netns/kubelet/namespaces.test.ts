/**
 * Runs suite.ts against the real kernel, in user, network, mount and pid namespaces of its own: works as root and as an
 * ordinary user, touches nothing of the host, and nothing is left when it ends.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";

const suite = join(import.meta.dirname, "suite.ts");
const marker = `kubelet-netns-${process.pid}`;

const locked = 'mount -t tmpfs -o nosuid,nodev,noexec locked /mnt; exec "$@"';

/** PATH with the folders of administrators' programs, and no trace of the test runner that runs this file. */
function environment(): NodeJS.ProcessEnv {
  const { NODE_TEST_CONTEXT: _context, NODE_OPTIONS: _options, ...rest } = process.env;
  return { ...rest, PATH: `${rest["PATH"] ?? "/usr/bin:/bin"}:/usr/sbin:/sbin`, WHERRY_CLUSTER: marker };
}

function inNamespaces(script: string): { status: number | null; output: string } {
  const unshare = ["unshare", "--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child"];
  // The outer user namespace has a mount at /mnt whose flags are locked for the inner one, as a host's are.
  const outer = ["unshare", "--user", "--map-root-user", "--mount", "dash", "-ec", locked, "dash"];
  const command = ["--pdeathsig", "KILL", ...outer, ...unshare, "--mount-proc"];
  command.push("dash", "-c", script, "dash", process.execPath, suite);
  const done = spawnSync("setpriv", command, { env: environment(), encoding: "utf8", timeout: 60_000 });
  return { status: done.status, output: `${done.stdout}${done.stderr}${done.error?.message ?? ""}` };
}

const interfaces = (): string[] => readFileSync("/proc/net/dev", "utf8").match(/^\s*[^\s:]+(?=:)/gm) ?? [];

describe("kubelet on the real kernel", () => {
  const refused = inNamespaces("true");
  it(
    "runs its suite in namespaces of its own",
    { skip: refused.status === 0 ? false : `SKIP ${refused.output}` },
    () => {
      const before = interfaces();
      const setup = "ip link set lo up && mount -t tmpfs -o mode=755 wherry /run";
      const { status, output } = inNamespaces(`${setup} && "$1" --test-reporter=spec "$2"; exit $?`);
      assert.equal(status, 0, output);
      assert.match(output, /pass [1-9]/);
      assert.deepEqual(interfaces(), before);
    },
  );
});
