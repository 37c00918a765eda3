/** `wherry dns` with the flags that CoreDNS has. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { pluginOrder } from "../../dns/registry.ts";
import { askUDP } from "./dns-process.ts";

const wherry = join(import.meta.dirname, "..", "..", "wherry");
const corefile = ".:0 {\n  bind 127.0.0.1\n  hosts {\n    192.0.2.1 a.test\n  }\n}\n";

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "wherry-dns-flags-"));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

interface Started {
  readonly child: ChildProcess;
  readonly said: () => string;
}

function start(t: TestContext, cwd: string, args: readonly string[], input?: string): Started {
  const child = spawn(wherry, ["dns", ...args], { cwd, stdio: ["pipe", "ignore", "pipe"] });
  t.after(() => child.kill("SIGKILL"));
  child.stdin.end(input ?? "");
  let said = "";
  child.stderr.on("data", (chunk: Buffer) => (said += String(chunk)));
  return { child, said: () => said };
}

/** Polls, as there is nothing else to wait for. */
async function until<T>(find: () => T | undefined): Promise<T> {
  for (let times = 0; times < 500; times++) {
    const found = find();
    if (found !== undefined) return found;
    await sleep(20);
  }
  throw new Error("Waited in vain for 10 s");
}

const portIn = (said: string): number | undefined => {
  const port = /Serving.*dns:\/\/[^ ]*?:([0-9]+)/.exec(said)?.[1];
  return port === undefined ? undefined : Number(port);
};

test("-plugins lists what a Corefile may name, -version says which program it is", () => {
  const plugins = spawnSync(wherry, ["dns", "-plugins"], { encoding: "utf8" });
  assert.deepEqual([plugins.status, plugins.stderr], [0, ""]);
  assert.deepEqual(plugins.stdout.trim().split("\n"), pluginOrder.map(({ name }) => name).sort());
  const version = spawnSync(wherry, ["dns", "-version"], { encoding: "utf8" });
  assert.equal(version.status, 0);
  assert.match(version.stdout, /^\d+\.\d+\.\d+\n$/);
});

test("-pidfile has the id of the process that serves, until it ends", async (t) => {
  const folder = folderOf(t);
  writeFileSync(join(folder, "Corefile"), corefile);
  const pidfile = join(folder, "pid");
  const { child, said } = start(t, folder, ["-pidfile", pidfile]);
  const port = await until(() => portIn(said()));
  const pid = Number(await until(() => (existsSync(pidfile) ? readFileSync(pidfile, "utf8") || undefined : undefined)));
  assert.equal((await askUDP(port, "a.test A"))?.rcode, "NOERROR");
  const exit = once(child, "exit");
  process.kill(pid, "SIGTERM");
  assert.deepEqual(await exit, [0, null]);
  assert.equal(existsSync(pidfile), false);
});

test("-conf stdin reads the Corefile from standard input", async (t) => {
  const { said } = start(t, folderOf(t), ["-conf", "stdin"], corefile);
  assert.equal((await askUDP(await until(() => portIn(said())), "a.test A"))?.rcode, "NOERROR");
});

test("without -conf and Corefile it serves whoami, as CoreDNS does, on the port of -p", async (t) => {
  const { said } = start(t, folderOf(t), ["-p", "0"]);
  const answer = await askUDP(await until(() => portIn(said())), "www.example.org A");
  assert.equal(answer?.additionals?.length, 2);
});

test("-quiet says nothing of what is served", async (t) => {
  const folder = folderOf(t);
  const pidfile = join(folder, "pid");
  const { said } = start(t, folder, ["-quiet", "-conf", "stdin", "-pidfile", pidfile], corefile);
  await until(() => (existsSync(pidfile) ? true : undefined));
  assert.equal(said(), "");
});

test("a flag that is not known ends it with its name, and so does a word too many", () => {
  for (const [args, wanted] of [
    [["-cpu", "2"], /^wherry: Cannot use -cpu: a process uses one core/],
    [["--nosuch"], /unknown option '--nosuch'/],
    [["-conf", "stdin", "more"], /too many arguments/],
    [["-conf", "no-such-file"], /^wherry: Cannot read no-such-file: ENOENT/],
  ] as const) {
    const done = spawnSync(wherry, ["dns", ...args], { encoding: "utf8", input: "" });
    assert.ok(done.status === 64 || (done.status === 1 && args[1] === "no-such-file"), `${done.status}`);
    assert.match(done.stderr, wanted);
  }
});
