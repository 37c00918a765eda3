/**
 * Runs a program of this folder in user, network, mount and pid namespaces of its own, as root and as an ordinary user.
 * The host's network is never entered: the program runs on the other side of `unshare`.
 *
 *   *.test.ts ─▶ showProgram() ─ unshare ─▶ behaviours.ts, packets.ts, … ─▶ what they print ─▶ the behaviours shown
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";

const unshare = ["unshare", "--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child"];
const timeoutSeconds = 100;

/** Numbers of the behaviours that `wherry proxy` alone can show: proxy.test.ts does, behaviours-*.test.ts the others. */
export const shownAlone: ReadonlySet<number> = new Set([42, 43]);

interface Ended {
  readonly status: number;
  readonly output: string;
}

/**
 * Runs `program` (a file here, and its arguments) to its end; fails with what it printed. Gives the numbers of the
 * behaviours that passed: `✔ 4, 5: …`. Undefined, and the test skipped, where there is no nftables.
 */
export async function showProgram(t: TestContext, program: string): Promise<ReadonlySet<number> | undefined> {
  const probe = await inNamespaces("nft list ruleset", program);
  if (probe.status !== 0) {
    t.skip(`SKIP ${probe.output.trim()}`);
    return undefined;
  }
  const script = `node=$1; shift; timeout -s KILL ${timeoutSeconds} "$node" --test-reporter=spec "$@"; exit $?`;
  const { status, output } = await inNamespaces(script, program);
  assert.equal(status, 0, output);
  assert.match(output, /pass [1-9]/);
  const numbers = [...output.matchAll(/^\s*✔ ([0-9, ]+): /gm)].flatMap(([, list = ""]) => list.split(", "));
  return new Set(numbers.map(Number));
}

/** Shows kube-proxy's behaviours in one family, over TCP and UDP, and that none of the table's is missing. */
export function showBehaviours(family: "IPv4" | "IPv6"): void {
  const shown = new Set<number>();
  let isSkipped = false;
  // They wait more than they work.
  describe(`node proxy, ${family}`, { concurrency: 2 }, () => {
    for (const protocol of ["TCP", "UDP"])
      test(`${protocol}: packets go where kube-proxy would send them`, async (t) => {
        const numbers = await showProgram(t, `behaviours.ts ${family} ${protocol}`);
        isSkipped ||= numbers === undefined;
        for (const number of numbers ?? []) shown.add(number);
      });
  });
  test(`every behaviour of the table was shown in ${family}`, (t) => {
    if (isSkipped) return t.skip("SKIP none was");
    const missing = behaviourNumbers().filter((number) => !shown.has(number) && !shownAlone.has(number));
    assert.deepEqual(missing, []);
  });
}

/** The numbers of all behaviours, as README.md has them: 1 to 48. */
function behaviourNumbers(): readonly number[] {
  const table = readFileSync(join(import.meta.dirname, "README.md"), "utf8");
  const numbers = [...table.matchAll(/^\| ([0-9]+) /gm)].map(([, number]) => Number(number));
  assert.deepEqual(
    numbers,
    Array.from({ length: 48 }, (_, at) => at + 1),
  );
  return numbers;
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
