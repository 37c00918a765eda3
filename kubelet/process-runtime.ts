/**
 * Containers as processes in namespaces of their own.
 *
 *   dash (keeps the exit code) ─▶ dash (in the pod's network, a new mount, pid and uts namespace) ─▶ dash, pid 1 inside
 *     ─▶ the program
 *
 * The outer shell is detached and writes the exit code to a file, so neither the container nor its end is lost when
 * this process dies. The pid namespace is the only sure kill without cgroups: when pid 1 goes, all go.
 */
import { type FSWatcher, closeSync, mkdirSync, openSync, rmSync, watch, writeFileSync } from "node:fs";
import { spawn } from "node:child_process";
import { join } from "node:path";
import type { Clock, Timer } from "#lib/clock.ts";
import { signalProcess, startTicksOf } from "#lib/process.ts";
import { KubeletError } from "./errors.ts";
import { type PodDirs, readOptional, writeWhole } from "./pod-dirs.ts";
import { quote } from "./mount-script.ts";
import { type CarriedEnvironment, carryEnvironment } from "./carried-environment.ts";
import { dropPrivileges, planRootFileSystem } from "./root-file-system.ts";
import type { ContainerExit, ContainerSpec, ExecResult, RunningContainer, Runtime } from "./runtime.ts";

/** What state.json says. */
interface ContainerRecord extends RunningContainer {
  /** The outer shell. */
  readonly pid: number;
  readonly startTicks: string;
}

/**
 * Pid 1 of a container: starts the program, passes TERM on, reaps, and ends with the program's status. The trap comes
 * first: a TERM between the start and the trap would be lost, for pid 1 ignores what it has no handler for.
 */
const init = [
  `trap 't=1; [ -z "$c" ] || kill -TERM $c 2>/dev/null' TERM`,
  `run "$@" & c=$!; [ -z "$t" ] || kill -TERM $c`,
  `while :; do wait $c; r=$?; kill -0 $c 2>/dev/null || exit $r; done`,
].join("\n");

/** Keeps the exit code of what follows in the file $0. */
const keepExit = `"$@"; r=$?; echo "$r $(date +%s%3N)" >"$0.new"; mv "$0.new" "$0"`;

/**
 * Starts what follows as pid 1 of the namespaces just made, and ends with its status. Instead of `unshare --fork`, which
 * reports a KILL as exit code 1. The shell's own word on that goes nowhere, for standard error is the container's log:
 * pid 1 takes it back from descriptor 3.
 */
const firstChildInside = `exec 3>&2 2>/dev/null; "$@"; exit $?`;

const outputBytesMax = 64 * 1024;
/** How often ends are looked for in case a file notification was missed, in ms. */
const pollMs = 1000;

export class ProcessRuntime implements Runtime {
  readonly #dirs: PodDirs;
  readonly #logRoot: string;
  readonly #clock: Clock;

  constructor(dirs: PodDirs, logRoot: string, clock: Clock) {
    this.#dirs = dirs;
    this.#logRoot = logRoot;
    this.#clock = clock;
  }

  async start(spec: ContainerSpec): Promise<RunningContainer> {
    const dir = this.#dirs.containerDir(spec.podUid, spec.name);
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    rmSync(join(dir, "exit"), { force: true });
    writeFileSync(join(dir, "start.sh"), startScript(spec), { mode: 0o600 });
    writeWhole(join(dir, "env.json"), JSON.stringify(spec.env));
    const pid = this.#spawn(spec, dir);
    const startTicks = startTicksOf(pid);
    if (startTicks === undefined) throw new KubeletError("RunContainerError", "Cannot run container: it ended at once");
    const { podUid, name, attempt } = spec;
    const container: RunningContainer = { podUid, name, attempt, startedAtMs: this.#clock.nowMs() };
    writeWhole(join(dir, "state.json"), JSON.stringify({ ...container, pid, startTicks }));
    return container;
  }

  #spawn(spec: ContainerSpec, dir: string): number {
    const log = this.logFile(spec.podUid, spec.name);
    mkdirSync(join(this.#logRoot, spec.podUid), { recursive: true, mode: 0o700 });
    const logFd = openSync(log, "a", 0o600);
    try {
      const namespaces = ["unshare", "--mount", "--uts", "--pid", "dash", "-c", firstChildInside, "dash"];
      const pidOne = ["setpriv", "--pdeathsig", "KILL", "dash", "-e", join(dir, "start.sh")];
      const inside = ["nsenter", `--net=${spec.netnsPath}`, ...namespaces, ...pidOne];
      const child = spawn("/bin/dash", ["-c", keepExit, join(dir, "exit"), ...inside], {
        detached: true,
        cwd: "/",
        env: carry(spec.env).env,
        stdio: ["ignore", logFd, logFd],
      });
      child.on("error", () => undefined); // A pid of undefined says it below.
      child.unref();
      if (child.pid === undefined) throw new KubeletError("RunContainerError", "Cannot run container: no process");
      return child.pid;
    } finally {
      closeSync(logFd);
    }
  }

  adopt(podUid: string): { container: RunningContainer; exit: ContainerExit | undefined }[] {
    return this.#dirs.containers(podUid).flatMap((name) => {
      const record = this.#record(podUid, name);
      if (record === undefined) return [];
      const { attempt, startedAtMs } = record;
      return [{ container: { podUid, name, attempt, startedAtMs }, exit: this.#exitOf(record) }];
    });
  }

  onExit(container: RunningContainer, callback: (exit: ContainerExit) => void): void {
    const dir = this.#dirs.containerDir(container.podUid, container.name);
    let watcher: FSWatcher | undefined;
    let timer: Timer | undefined;
    let told = false;
    const look = (): void => {
      if (told) return;
      const record = this.#record(container.podUid, container.name);
      const exit = record === undefined ? lost(this.#clock) : this.#exitOf(record);
      if (exit === undefined) {
        timer?.cancel();
        timer = this.#clock.after(pollMs, look);
        return;
      }
      told = true;
      timer?.cancel();
      watcher?.close();
      callback(exit);
    };
    try {
      watcher = watch(dir, look);
      watcher.on("error", look);
    } catch {
      watcher = undefined; // No notifications to be had: the poll sees it.
    }
    look();
  }

  signal(container: RunningContainer, signal: "SIGTERM" | "SIGKILL"): void {
    const record = this.#record(container.podUid, container.name);
    if (record === undefined || !isAlive(record)) return;
    const init = containerInit(record.pid);
    if (init !== undefined && (signal === "SIGKILL" || catchesTerm(init))) signalProcess(init, signal);
    // Not up yet: nothing of the program's has run, so the whole start is ended.
    else signalProcess(-record.pid, "SIGKILL");
  }

  async exec(container: RunningContainer, command: readonly string[], timeoutMs: number): Promise<ExecResult> {
    const record = this.#record(container.podUid, container.name);
    const init = record === undefined ? undefined : containerInit(record.pid);
    const kept = readOptional(join(this.#dirs.containerDir(container.podUid, container.name), "env.json"));
    if (init === undefined || kept === undefined) return { exitCode: 126, output: "container is not running" };
    const { env, runFunction } = carry(JSON.parse(kept) as ContainerSpec["env"]);
    const inside = [...dropPrivileges, "/bin/dash", "-c", `${runFunction}\nrun "$@"`, "exec", ...command];
    // The working folder is that of pid 1: a path given here would be opened outside and lead out of the root.
    const enter = ["-t", String(init), "--mount", "--uts", "--pid", "--net", "--root", "--wd", "--"];
    // A process group of its own: nsenter forks, and what it started must go with it when the time is up.
    const child = spawn("nsenter", [...enter, ...inside], {
      detached: true,
      env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    return new Promise((resolve) => {
      let output = "";
      const take = (chunk: Buffer): void => void (output = (output + chunk.toString()).slice(0, outputBytesMax));
      child.stdout.on("data", take);
      child.stderr.on("data", take);
      const timer = this.#clock.after(timeoutMs, () => {
        if (child.pid !== undefined) signalProcess(-child.pid, "SIGKILL");
        resolve({ exitCode: undefined, output });
      });
      child.once("error", (error) => (timer.cancel(), resolve({ exitCode: 126, output: error.message })));
      child.once("close", (code) => (timer.cancel(), resolve({ exitCode: code ?? 137, output })));
    });
  }

  remove(podUid: string): void {
    rmSync(join(this.#logRoot, podUid), { recursive: true, force: true });
  }

  logFile(podUid: string, name: string): string {
    return join(this.#logRoot, podUid, `${name}.log`);
  }

  #record(podUid: string, name: string): ContainerRecord | undefined {
    const text = readOptional(join(this.#dirs.containerDir(podUid, name), "state.json"));
    return text === undefined ? undefined : (JSON.parse(text) as ContainerRecord);
  }

  /** How the container ended, or undefined while it runs. */
  #exitOf(record: ContainerRecord): ContainerExit | undefined {
    const file = join(this.#dirs.containerDir(record.podUid, record.name), "exit");
    const text = readOptional(file) ?? (isAlive(record) ? undefined : (readOptional(file) ?? ""));
    if (text === undefined) return undefined;
    const [exitCode = "", finishedAtMs = ""] = text.trim().split(" ");
    // No code: the outer shell itself was killed, and with it the container.
    if (exitCode === "") return lost(this.#clock);
    return { exitCode: Number(exitCode), finishedAtMs: Number(finishedAtMs) };
  }
}

function lost(clock: Clock): ContainerExit {
  return { exitCode: 137, finishedAtMs: clock.nowMs() };
}

function carry(env: ContainerSpec["env"]): CarriedEnvironment {
  return carryEnvironment(env, process.env["WHERRY_CLUSTER"] ?? "");
}

function startScript({ root, command, env }: ContainerSpec): string {
  const program = `${carry(env).runFunction}\n${init}`;
  const run = [...dropPrivileges, "/bin/dash", "-c", program, "init", ...command].map(quote).join(" ");
  return `exec 2>&3 3>&-\nset -e\n${planRootFileSystem(root)}\nset +e\nexec ${run}\n`;
}

/** Outer shell → the shell in the namespaces → pid 1 of the container; undefined while it is not up. */
function containerInit(outer: number): number | undefined {
  const inner = firstChild(outer);
  return inner === undefined ? undefined : firstChild(inner);
}

function firstChild(pid: number): number | undefined {
  const text = readOptional(`/proc/${pid}/task/${pid}/children`)?.trim() ?? "";
  return text === "" ? undefined : Number(text.split(" ")[0]);
}

/** Whether a process has a handler for TERM. Pid 1 of a container has one before its program starts, not earlier. */
function catchesTerm(pid: number): boolean {
  const caught = /^SigCgt:\s*([0-9a-f]+)$/m.exec(readOptional(`/proc/${pid}/status`) ?? "")?.[1] ?? "0";
  const term = 15n;
  return ((BigInt(`0x${caught}`) >> (term - 1n)) & 1n) === 1n;
}

function isAlive({ pid, startTicks }: ContainerRecord): boolean {
  return startTicksOf(pid) === startTicks;
}
