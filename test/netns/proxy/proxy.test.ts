/**
 * The node proxy against the real kernel, in user, network, mount and pid namespaces of its own, as root and as an
 * ordinary user. The host's network is never entered: the programs below run on the other side of `unshare`.
 *
 * Most wait more than they work, so they run side by side. The behaviours that they showed are counted at the end.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";

const unshare = ["unshare", "--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child"];
const timeoutSeconds = 100;

interface Ended {
  readonly status: number;
  readonly output: string;
}

function inNamespaces(script: string, program: string): Promise<Ended> {
  // Without the parent test's context, the child reports as text that we show when it fails.
  const { NODE_TEST_CONTEXT: _context, NODE_OPTIONS: _options, ...rest } = process.env;
  const env = { ...rest, PATH: `${rest["PATH"] ?? "/usr/bin:/bin"}:/usr/sbin:/sbin` };
  const [file = "", ...words] = program.split(" ");
  const shell = ["--mount-proc", "dash", "-c", script, "dash", process.execPath, join(import.meta.dirname, file)];
  const command = ["--pdeathsig", "KILL", ...unshare, ...shell, ...words];
  return new Promise((resolve) => {
    const options = { env, maxBuffer: 16 * 1024 * 1024, timeout: (timeoutSeconds + 10) * 1000 };
    execFile("setpriv", command, options, (error, stdout, stderr) => {
      const status = error === null ? 0 : typeof error.code === "number" ? error.code : 1;
      resolve({ status, output: `${stdout}${stderr}${error === null ? "" : error.message}` });
    });
  });
}

/** The numbers of the behaviours that passed: `✔ 4, 5: …`. */
const shown = new Set<number>();

function note(output: string): void {
  for (const [, numbers = ""] of output.matchAll(/^\s*✔ ([0-9, ]+): /gm))
    for (const number of numbers.split(", ")) shown.add(Number(number));
}

async function showProgram(t: TestContext, program: string): Promise<void> {
  const probe = await inNamespaces("nft list ruleset", program);
  if (probe.status !== 0) return t.skip(`SKIP ${probe.output.trim()}`);
  const script = `node=$1; shift; timeout -s KILL ${timeoutSeconds} "$node" --test-reporter=spec "$@"; exit $?`;
  const { status, output } = await inNamespaces(script, program);
  assert.equal(status, 0, output);
  assert.match(output, /pass [1-9]/);
  note(output);
}

describe("node proxy", { concurrency: 4 }, () => {
  for (const [name, program] of [
    ["packets go where the Services say", "packets.ts"],
    ["IPv4, TCP: packets go where kube-proxy would send them", "behaviours.ts IPv4 TCP"],
    ["IPv4, UDP: packets go where kube-proxy would send them", "behaviours.ts IPv4 UDP"],
    ["IPv6, TCP: packets go where kube-proxy would send them", "behaviours.ts IPv6 TCP"],
    ["IPv6, UDP: packets go where kube-proxy would send them", "behaviours.ts IPv6 UDP"],
    ["SCTP packets go where kube-proxy would send them", "sctp.ts"],
    ["the API may go, and others may touch the tables", "standalone.ts"],
    ["what fails costs nothing that was there", "failures.ts"],
    ["requests of one connection go to all endpoints", "requests.ts"],
    ["policies let through what they allow, and nothing else", "policies.ts"],
    ["packets go where the model sends them", "model.ts"],
  ] as const)
    test(name, (t) => showProgram(t, program));
});

// Alone: it counts what it does in a few seconds.
test("nothing is lost while endpoints roll", (t) => showProgram(t, "rolling.ts"));

test("every behaviour of the table was shown", async (t) => {
  const probe = await inNamespaces("nft list ruleset", "packets.ts");
  if (probe.status !== 0) return t.skip(`SKIP ${probe.output.trim()}`);
  const table = readFileSync(join(import.meta.dirname, "README.md"), "utf8");
  const wanted = [...table.matchAll(/^\| ([0-9]+) /gm)].map(([, number]) => Number(number));
  assert.deepEqual(
    wanted,
    Array.from({ length: 48 }, (_, at) => at + 1),
  );
  assert.deepEqual(
    wanted.filter((number) => !shown.has(number)),
    [],
  );
});
