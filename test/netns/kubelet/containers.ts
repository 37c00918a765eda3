/**
 * Containers for the suites inside the namespaces of namespaces.test.ts: starts them, reads their logs, awaits them.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { realClock } from "#lib/clock.ts";
import { Cgroups } from "../../../kubelet/cgroups.ts";
import { PodDirs } from "../../../kubelet/pod-dirs.ts";
import { netnsPath } from "../../../kubelet/pod-network.ts";
import { ProcessRuntime } from "../../../kubelet/process-runtime.ts";
import type { Mount } from "../../../kubelet/root-file-system.ts";
import type { ContainerExit, ContainerSpec, RunningContainer, TerminationMessage } from "../../../kubelet/runtime.ts";

export const dirs: PodDirs = new PodDirs("/run/wherry/pods");
export const logDir: string = "/run/wherry/logs";
export const newRuntime = (): ProcessRuntime =>
  new ProcessRuntime(dirs, logDir, { clock: realClock, cgroups: Cgroups.none("for tests") });
export const runtime: ProcessRuntime = newRuntime();

/** Runs a shell script outside, to its end. */
export const shell = (script: string): string => execFileSync("dash", ["-e"], { input: script, encoding: "utf8" });

export interface StartOptions {
  readonly podUid?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly mounts?: readonly Mount[];
  readonly terminationMessage?: TerminationMessage;
}

const usualWords: TerminationMessage = { path: "/dev/termination-log", fallbackToLogs: false };
const usualEnv = { PATH: "/opt/node/bin:/usr/sbin:/usr/bin:/sbin:/bin", GREETING: "hello" };
const usualMounts: readonly Mount[] = [{ source: "/run/wherry/shared", target: "/data", readOnly: false }];
let names = 0;

/** What starts a program in a pod. */
export function specOf(name: string, command: readonly string[], options: StartOptions = {}): ContainerSpec {
  const { podUid = "one", env = usualEnv, mounts = usualMounts, terminationMessage = usualWords } = options;
  const root = {
    hostname: "web-1",
    podIP: "10.244.1.2",
    namespace: "shop",
    nameserver: "10.96.0.10",
    nodeBinary: process.execPath,
    imageDirectory: undefined,
    mounts,
    workingDir: "/work",
  };
  return { podUid, name, attempt: 0, command, env, root, terminationMessage, netnsPath: netnsPath(podUid) };
}

/** Starts a program in a pod, under a name of its own. */
export function start(command: readonly string[], options: StartOptions = {}): Promise<RunningContainer> {
  names += 1;
  return runtime.start(specOf(`c${names}`, command, options));
}

export const ended = (container: RunningContainer, by: ProcessRuntime = runtime): Promise<ContainerExit> =>
  new Promise((resolve) => by.onExit(container, resolve));

export const logOf = ({ podUid, name, attempt }: RunningContainer): string =>
  readFileSync(runtime.logFile(podUid, name, attempt), "utf8");

/** Runs a shell script in a container to its end. */
export async function run(script: string, options?: StartOptions): Promise<{ exitCode: number; output: string }> {
  const container = await start(["/bin/sh", "-c", script], options);
  const { exitCode } = await ended(container);
  return { exitCode, output: logOf(container) };
}

/** Waits until a container's log holds `text`: what it prints when it is up. */
export async function says(container: RunningContainer, text: string): Promise<void> {
  for (let tries = 0; !logOf(container).includes(text); tries += 1) {
    assert.ok(tries < 500, `no ${text} in: ${logOf(container)}`);
    await realClock.sleep(20);
  }
}

export async function kill(container: RunningContainer): Promise<ContainerExit> {
  runtime.signal(container, "SIGKILL");
  return ended(container);
}
