/**
 * Containers as processes in namespaces of their own.
 *
 *   dash (keeps the exit code) ─▶ dash (in the pod's network, a new mount, pid and uts namespace) ─▶ dash, pid 1 inside
 *     ─▶ the program
 *
 * The outer shell is detached and writes the exit code to a file, so neither the container nor its end is lost when
 * this process dies. It goes on only once the container's record is on disk: what runs is always known. The pid
 * namespace is the only sure kill without cgroups: when pid 1 goes, all go.
 */
import { type FSWatcher, closeSync, existsSync, mkdirSync, openSync, rmSync, watch, writeFileSync } from "node:fs";
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import type { Writable } from "node:stream";
import type { Clock, Timer } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import { signalProcess, startTicksOf } from "#lib/process.ts";
import type { Cgroups } from "./cgroups.ts";
import { KubeletError } from "./errors.ts";
import { logFileOf, logFolder, pruneLogs } from "./logs/log-files.ts";
import { LogStamper } from "./logs/stamper.ts";
import { type PodDirs, readOptional, writeWhole } from "./pod-dirs.ts";
import { quote } from "./mount-script.ts";
import { containerInit, programInit } from "./container-processes.ts";
import { firstChildInside, inGroup, init, keepExit } from "./container-scripts.ts";
import { lastWords, makeWords } from "./last-words.ts";
import { type CarriedEnvironment, carryEnvironment } from "./carried-environment.ts";
import { watchMemory } from "./memory-watch.ts";
import { dropPrivileges, planRootFileSystem } from "./root-file-system.ts";
import type { ContainerExit, ContainerSpec, ExecResult, RunningContainer, Runtime } from "./runtime.ts";

/** What state.json says. */
interface ContainerRecord extends RunningContainer {
  readonly fallbackToLogs: boolean;
  /** In bytes; what no control group keeps it to. */
  readonly memory?: number;
  /** The outer shell. */
  readonly pid: number;
  readonly startTicks: string;
}

const outputBytesMax = 64 * 1024;
/** How often a container that starts is looked at by what waits for it, in ms. */
const upPollMs = 5;
/** How often ends are looked for in case a file notification was missed, in ms. */
const pollMs = 1000;

export class ProcessRuntime implements Runtime {
  readonly #dirs: PodDirs;
  readonly #logRoot: string;
  readonly #clock: Clock;
  readonly #cgroups: Cgroups;
  readonly #stamper: LogStamper;

  constructor(dirs: PodDirs, logRoot: string, { clock, cgroups }: { clock: Clock; cgroups: Cgroups }) {
    this.#dirs = dirs;
    this.#logRoot = logRoot;
    this.#clock = clock;
    this.#cgroups = cgroups;
    this.#stamper = new LogStamper(clock);
  }

  async start(spec: ContainerSpec): Promise<RunningContainer> {
    const dir = this.#dirs.containerDir(spec.podUid, spec.name);
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    makeWords(join(dir, "words"));
    writeFileSync(join(dir, "start.sh"), startScript(spec, join(dir, "words")), { mode: 0o600 });
    writeWhole(join(dir, "env.json"), JSON.stringify(spec.env));
    const { pid, go } = this.#spawn(spec, dir);
    try {
      const startTicks = startTicksOf(pid);
      if (startTicks === undefined) throw new Error("it ended at once");
      const { podUid, name, attempt } = spec;
      const container: RunningContainer = { podUid, name, attempt, startedAtMs: this.#clock.nowMs() };
      const { fallbackToLogs } = spec.terminationMessage;
      const watched = this.#cgroups.groupOf(podUid, name) === undefined ? spec.limits?.memory : undefined;
      const record: ContainerRecord = {
        ...container,
        fallbackToLogs,
        pid,
        startTicks,
        ...(watched === undefined ? {} : { memory: watched }),
      };
      writeWhole(join(dir, "state.json"), JSON.stringify(record));
      for (const file of ["exit", outOfMemory]) rmSync(join(dir, file), { force: true });
      go.end("\n");
      return container;
    } catch (error) {
      go.destroy();
      throw new KubeletError("RunContainerError", `Cannot run container: ${messageOf(error)}`);
    }
  }

  /** Starts the outer shell, which waits for a line by `go`. */
  #spawn(spec: ContainerSpec, dir: string): { readonly pid: number; readonly go: Writable } {
    const log = this.logFile(spec.podUid, spec.name, spec.attempt);
    const folder = logFolder(this.#logRoot, spec.podUid, spec.name);
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    pruneLogs(folder, spec.attempt);
    const group = this.#cgroups.make(spec.podUid, spec.name, spec.limits);
    const logFd = openSync(log, "a", 0o600);
    try {
      const namespaces = ["unshare", "--mount", "--uts", "--pid", "dash", "-c", firstChildInside, processesOf(group)];
      const pidOne = ["setpriv", "--pdeathsig", "KILL", "dash", "-e", join(dir, "start.sh")];
      const inside = ["nsenter", `--net=${spec.netnsPath}`, ...namespaces, ...pidOne];
      const child = spawn("/bin/dash", ["-c", keepExit, dir, ...inside], {
        detached: true,
        cwd: "/",
        env: carry(spec.env).env,
        stdio: ["pipe", logFd, logFd],
      });
      child.on("error", () => undefined); // A pid of undefined says it below.
      child.stdin?.on("error", () => undefined); // The shell was killed: the record's pid says it.
      child.unref();
      const { pid, stdin: go } = child;
      if (pid === undefined || go === null)
        throw new KubeletError("RunContainerError", "Cannot run container: no process");
      return { pid, go };
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
    const log = this.logFile(container.podUid, container.name, container.attempt);
    this.#stamper.start(log);
    let watcher: FSWatcher | undefined;
    let timer: Timer | undefined;
    let told = false;
    const stopWatching = this.#watchMemory(container, dir);
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
      stopWatching();
      this.#stamper.stop(log);
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

  /** Ends a container that is above its limit where no control group does. Returns what stops looking. */
  #watchMemory(container: RunningContainer, dir: string): () => void {
    const { podUid, name } = container;
    const memory = this.#record(podUid, name)?.memory;
    if (memory === undefined) return () => undefined;
    const onExceeded = (): void => {
      // The file is what a successor knows it by.
      writeFileSync(join(dir, outOfMemory), "");
      this.signal(container, "SIGKILL");
    };
    return watchMemory(this.#clock, { init: () => this.init(podUid, name), memory, onExceeded });
  }

  signal(container: RunningContainer, signal: "SIGTERM" | "SIGKILL"): void {
    const record = this.#record(container.podUid, container.name);
    if (record === undefined || !isAlive(record)) return;
    const init = signal === "SIGKILL" ? containerInit(record.pid) : programInit(record.pid);
    if (init !== undefined) signalProcess(init, signal);
    // Not up yet: nothing of the program's has run, so the whole start is ended.
    else signalProcess(-record.pid, "SIGKILL");
  }

  async isUp(container: RunningContainer): Promise<boolean> {
    while (true) {
      const record = this.#record(container.podUid, container.name);
      if (record?.attempt !== container.attempt || !isAlive(record)) return false;
      if (programInit(record.pid) !== undefined) return true;
      await this.#clock.sleep(upPollMs);
    }
  }

  async exec(container: RunningContainer, command: readonly string[], timeoutMs: number): Promise<ExecResult> {
    const record = this.#record(container.podUid, container.name);
    // Before that the root is still being made, and is no place for a command.
    const init = record === undefined ? undefined : programInit(record.pid);
    const kept = readOptional(join(this.#dirs.containerDir(container.podUid, container.name), "env.json"));
    if (init === undefined || kept === undefined) return { exitCode: 126, output: "container is not running" };
    const { env, runFunction } = carry(JSON.parse(kept) as ContainerSpec["env"]);
    const inside = [...dropPrivileges, "/bin/dash", "-c", `${runFunction}\nrun "$@"`, "exec", ...command];
    // The working folder is that of pid 1: a path given here would be opened outside and lead out of the root.
    const enter = ["-t", String(init), "--mount", "--uts", "--pid", "--net", "--root", "--wd", "--"];
    // A process group of its own: nsenter forks, and what it started must go with it when the time is up.
    const group = processesOf(this.#cgroups.groupOf(container.podUid, container.name));
    const child: ChildProcess = spawn("/bin/dash", ["-c", inGroup, group, "nsenter", ...enter, ...inside], {
      detached: true,
      env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    return new Promise((resolve) => {
      let output = "";
      const take = (chunk: Buffer): void => void (output = (output + chunk.toString()).slice(0, outputBytesMax));
      child.stdout?.on("data", take);
      child.stderr?.on("data", take);
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
    this.#cgroups.remove(podUid);
  }

  logFile(podUid: string, name: string, attempt: number): string {
    return logFileOf(this.#logRoot, podUid, name, attempt);
  }

  /** Notes the time of what has been written to a log up to now. */
  lookAtLog(file: string): void {
    this.#stamper.look(file);
  }

  /** Pid 1 of each container that runs, for statistics. */
  init(podUid: string, name: string): number | undefined {
    const record = this.#record(podUid, name);
    return record === undefined || !isAlive(record) ? undefined : containerInit(record.pid);
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
    const { podUid, name, attempt } = record;
    const usesLog = record.fallbackToLogs && exitCode !== "0";
    const log = usesLog ? this.logFile(podUid, name, attempt) : undefined;
    const message = lastWords(join(this.#dirs.containerDir(podUid, name), "words"), log);
    const isOutOfMemory = Number(exitCode) === killed && this.#wasOutOfMemory(podUid, name);
    return {
      exitCode: Number(exitCode),
      finishedAtMs: Number(finishedAtMs),
      ...(message === "" ? {} : { message }),
      ...(isOutOfMemory ? { isOutOfMemory } : {}),
    };
  }

  #wasOutOfMemory(podUid: string, name: string): boolean {
    return (
      this.#cgroups.wasOutOfMemory(podUid, name) || existsSync(join(this.#dirs.containerDir(podUid, name), outOfMemory))
    );
  }
}

/** A file of a container's folder: it was ended for want of memory. */
const outOfMemory = "out-of-memory";

/** Exit code of what was killed: 128 + 9. */
const killed = 137;

/** What a shell takes as the list of a group's processes; no path: no group. */
function processesOf(group: string | undefined): string {
  return group === undefined ? "dash" : join(group, "cgroup.procs");
}

function lost(clock: Clock): ContainerExit {
  return { exitCode: killed, finishedAtMs: clock.nowMs() };
}

function carry(env: ContainerSpec["env"]): CarriedEnvironment {
  return carryEnvironment(env, process.env["WHERRY_CLUSTER"] ?? "");
}

function startScript({ root, command, env, terminationMessage }: ContainerSpec, words: string): string {
  const program = `${carry(env).runFunction}\n${init}`;
  const run = [...dropPrivileges, "/bin/dash", "-c", program, "init", ...command].map(quote).join(" ");
  return `exec 2>&3 3>&-\nset -e\n${planRootFileSystem({ ...root, words: { source: words, target: terminationMessage.path } })}\nset +e\nexec ${run}\n`;
}

function isAlive({ pid, startTicks }: ContainerRecord): boolean {
  return startTicksOf(pid) === startTicks;
}
