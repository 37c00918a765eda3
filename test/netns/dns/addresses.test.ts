/** Runs asked.ts in user, network and pid namespaces of its own: the host's addresses are neither used nor changed. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import test from "node:test";

const program = join(import.meta.dirname, "asked.ts");
/** A host with two addresses of each family, and a cable whose far end has two link-local ones. */
const network = `
ip link set lo up
ip link add near type veth peer name far
for each in 192.0.2.1/24 192.0.2.2/24 169.254.20.10/32; do ip addr add "$each" dev near; done
for each in 2001:db8::1/64 2001:db8::2/64 fe80::1/64; do ip addr add "$each" dev near nodad; done
for each in fe80::a/64 fe80::b/64; do ip addr add "$each" dev far nodad; done
ip link set near up && ip link set far up`;

function inNamespaces(script: string): { readonly status: number | null; readonly output: string } {
  const { NODE_TEST_CONTEXT: _context, NODE_OPTIONS: _options, ...rest } = process.env;
  const env = { ...rest, PATH: `${rest["PATH"] ?? "/usr/bin:/bin"}:/usr/sbin:/sbin` };
  const unshare = ["unshare", "--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child"];
  const shell = ["--mount-proc", "dash", "-ec", script, "dash", process.execPath, program];
  const done = spawnSync("setpriv", ["--pdeathsig", "KILL", ...unshare, ...shell], {
    env,
    encoding: "utf8",
    timeout: 60_000,
  });
  return { status: done.status, output: `${done.stdout}${done.stderr}${done.error?.message ?? ""}` };
}

test("a resolver on all addresses answers from the one that was asked, over IPv4, IPv6 and link-local", (t) => {
  const probe = inNamespaces(network);
  if (probe.status !== 0) return t.skip(`SKIP ${probe.output.trim()}`);
  const { status, output } = inNamespaces(`${network}; "$1" --test-reporter=spec "$2"; exit $?`);
  assert.equal(status, 0, output);
  assert.match(output, /pass [1-9]/);
});
