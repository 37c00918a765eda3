/**
 * The private cluster's namespaces: user, network, mount and pid, held by one waiting shell.
 *
 *   launcher ─▶ setpriv (dies with us) ─▶ unshare ─▶ dash, pid 1 inside: reaps, nothing else
 *
 * Invariant: when the launcher goes, by whatever signal, the shell goes, and with it every process and every mount,
 * interface and rule in these namespaces. Root and ordinary users take the same path.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { CliError } from "../errors.ts";

export interface Namespaces {
  /** Pid of the cluster's init as the launcher's pid namespace sees it. */
  readonly initPid: number;
  /** Resolves when init ended, which ends everything inside. */
  readonly ended: Promise<void>;
  /** Ends everything inside at once. */
  stop(): void;
}

/** What the first shell runs before it waits. `/run` becomes ours: namespace files, sockets, the cluster's resolv.conf. */
const initScript =
  "ip link set lo up && mount -t tmpfs -o mode=755 wherry /run && echo ready; sleep infinity & wait $!";

/** Makes the namespaces. Throws CliError Unsupported with the cause and the command that helps. */
export async function createNamespaces(env: NodeJS.ProcessEnv): Promise<Namespaces> {
  const unshare = ["unshare", "--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--kill-child"];
  const child = spawn("setpriv", ["--pdeathsig", "KILL", ...unshare, "--mount-proc", "dash", "-c", initScript], {
    stdio: ["ignore", "pipe", "pipe"],
    env,
  });
  let errors = "";
  child.stderr.on("data", (chunk: Buffer) => (errors = (errors + chunk.toString()).slice(-1000)));
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  child.once("error", (error) => (errors = error.message));
  const ready = await Promise.race([once(child.stdout, "data"), ended.then(() => undefined)]);
  if (ready === undefined) throw refusal(errors.trim());
  return { initPid: onlyChildOf(child.pid ?? 0), ended, stop: () => void child.kill("SIGKILL") };
}

/** The sentence for a system that refuses the namespaces. */
export function refusal(observed: string): CliError {
  // ENOSPC: user.max_user_namespaces is reached, or is 0.
  const hint = /Operation not permitted|Permission denied|No space left/.test(observed)
    ? readSysctl("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") === "1"
      ? "run: sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0"
      : "run: sudo sysctl user.max_user_namespaces=10000 kernel.unprivileged_userns_clone=1"
    : "run: wherry check";
  return new CliError("Unsupported", `Cannot make the cluster's namespaces: ${observed || "unshare ended"} (${hint})`);
}

function readSysctl(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return undefined; // Absent on kernels without AppArmor's restriction.
  }
}

/** The pid of the one child of a process that forks once and waits (unshare, nsenter). */
export function onlyChildOf(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ")[0]);
}

/** Makes a command end with its parent: what enters a pid namespace forks, and its wrapper may be killed alone. */
export const endsWithParent: readonly string[] = ["setpriv", "--pdeathsig", "KILL", "--"];

/** The command that runs `command` inside the cluster, in the network namespace `netns` (a name under /run/netns). */
export function enterCommand(initPid: number, netns: string, command: readonly string[]): string[] {
  const cluster = ["nsenter", "-t", String(initPid), "--user", "--preserve-credentials", "--net", "--mount", "--pid"];
  return [...cluster, "--", "nsenter", `--net=/run/netns/${netns}`, "--", ...command];
}

/** Runs a shell script inside the cluster's first namespaces to its end. Throws with what it printed. */
export function runInside(initPid: number, script: string): void {
  const enter = ["-t", String(initPid), "--user", "--preserve-credentials", "--net", "--mount", "--pid"];
  const done = spawnSync("nsenter", [...enter, "--", "dash", "-e"], { input: script, encoding: "utf8" });
  if (done.status === 0) return;
  throw new CliError("Failed", `Cannot set up the cluster's network: ${(done.stderr || String(done.error)).trim()}`);
}

/** Whether `child` still runs. */
export function isRunning(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null;
}
