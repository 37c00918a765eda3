/** Stale flows: which they are, and that none is forgotten. */
import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { ManualClock, realClock } from "#lib/clock.ts";
import { silentLogger } from "#lib/log.ts";
import { ConntrackReconciler, findStaleFlow } from "./conntrack.ts";
import { type Exec, systemExec } from "./exec.ts";

const flowTo = (endpointIP: string, sport = 999): string =>
  `udp      17 29 src=10.244.1.9 dst=10.96.1.5 sport=${sport} dport=53 src=${endpointIP} dst=10.244.1.9 sport=5353 dport=${sport} mark=0 use=1`;
const wanted = new Map([["udp 10.96.1.5:53", new Set(["10.244.1.2:5353"])]]);
const gone = { protocol: "udp", address: "10.96.1.5", port: 53, endpointIP: "10.244.1.3", endpointPort: 5353 };

function reconciler(exec: Exec, clock = new ManualClock()): ConntrackReconciler {
  const observe = (): void => undefined;
  return new ConntrackReconciler({
    exec,
    clock,
    observe,
    log: silentLogger,
    family: "IPv4",
    isNodeAddress: () => false,
  });
}

test("findStaleFlow() finds flows to endpoints that are gone, and no others", () => {
  assert.deepEqual(findStaleFlow(flowTo("10.244.1.3"), wanted), gone);
  assert.deepEqual(findStaleFlow(flowTo("10.244.1.3").replace(" src=10.244.1.3", " [UNREPLIED]$&"), wanted), gone);
  const elsewhere = "udp 17 29 src=10.244.1.9 dst=8.8.8.8 sport=1 dport=53 src=8.8.8.8 dst=10.244.1.9 sport=53 dport=1";
  for (const line of [flowTo("10.244.1.2"), elsewhere, "garbage", ""])
    assert.equal(findStaleFlow(line, wanted), undefined);
});

test("reconcile() tries again by itself, ever more rarely, and not after close()", async () => {
  const clock = new ManualClock();
  const atMs: number[] = [];
  let fails = 3;
  const flows = reconciler(async () => {
    await Promise.resolve();
    atMs.push(clock.nowMs());
    return { exitCode: fails-- > 0 ? 1 : 0, stdout: "", stderr: "busy" };
  }, clock);
  const startMs = clock.nowMs();
  await flows.reconcile(wanted);
  await clock.advance(3_600_000);
  assert.deepEqual(
    atMs.map((ms) => ms - startMs),
    [0, 1000, 3000, 7000],
  );
  fails = 1;
  await flows.reconcile(wanted);
  flows.close();
  await clock.advance(3_600_000);
  assert.equal(atMs.length, 5);
});

test("reconcile() deletes in another pass what is too much for one", async () => {
  const clock = new ManualClock();
  const kernel = new Map(
    Array.from({ length: 5000 }, (_, n) => {
      const endpointIP = `10.${n >> 8}.${n & 255}.9`;
      return [endpointIP, flowTo(endpointIP, n)] as const;
    }),
  );
  let passes = 0;
  const flows = reconciler(async (command, _, onLine) => {
    await Promise.resolve();
    if (command[1] === "-D") kernel.delete(command[command.indexOf("--reply-src") + 1] ?? "");
    else {
      passes++;
      for (const line of kernel.values()) onLine?.(line);
    }
    return { exitCode: 0, stdout: "", stderr: "" };
  }, clock);
  await flows.reconcile(wanted);
  assert.equal(kernel.size, 904);
  await clock.advance(60_000);
  assert.equal(kernel.size, 0);
  assert.equal(passes, 2);
});

test("expect() is judged when the rules say the same, not before", async () => {
  const judged: string[] = [];
  const flows = reconciler(async (command) => {
    await Promise.resolve();
    judged.push(command.join(" "));
    return { exitCode: 0, stdout: "", stderr: "" };
  });
  flows.expect(new Map(), wanted);
  const first = flows.takeChanged();
  // While nft runs.
  flows.expect(new Map(), new Map([["sctp 10.96.1.6:9", new Set<string>()]]));
  await flows.reconcile(first);
  assert.deepEqual(judged, ["conntrack -L -f ipv4 -p udp"]);
  await flows.reconcile(flows.takeChanged());
  assert.deepEqual(judged.slice(1), ["conntrack -L -f ipv4 -p sctp"]);
});

test("systemExec() tells every line of a listing that is larger than what is kept", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "listing-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const program = join(folder, "conntrack");
  writeFileSync(program, `#!/bin/sh\nyes "${flowTo("10.244.1.2")}" | head -n 150000\necho "${flowTo("10.244.1.3")}"\n`);
  chmodSync(program, 0o755);
  let [lines, last] = [0, ""];
  const { exitCode, stdout } = await systemExec(realClock)([program, "-L"], "", (line) => {
    lines++;
    last = line;
  });
  assert.deepEqual([exitCode, stdout, lines], [0, "", 150_001]);
  assert.deepEqual(findStaleFlow(last, wanted), gone);
});
