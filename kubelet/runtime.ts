/**
 * What runs containers. `process-runtime.ts` runs them as processes in namespaces; `fake-runtime.ts` has the same
 * semantics in memory, for tests.
 *
 * Contract: containers outlive the runtime object. A new one finds them by `adopt`, running or already ended, with
 * their exit codes; `onExit` is called once for each container that was started or adopted, whenever it ends.
 */
import type { RootFileSystem } from "./root-file-system.ts";

export interface ContainerSpec {
  readonly podUid: string;
  readonly name: string;
  /** 0 for the first start, one more with each restart. */
  readonly attempt: number;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly root: RootFileSystem;
  readonly netnsPath: string;
  readonly terminationMessage: TerminationMessage;
  /** What it may use at most; undefined: no limits. Without control groups, that of CPU is left aside. */
  readonly limits?: ResourceLimits | undefined;
}

/** Where a container leaves the words that its status shows once it has ended. */
export interface TerminationMessage {
  /** Absolute path inside. */
  readonly path: string;
  /** Take the end of its log when it failed without a word. */
  readonly fallbackToLogs: boolean;
}

export interface ResourceLimits {
  /** Thousandths of a core. */
  readonly milliCPU?: number;
  /** In bytes. */
  readonly memory?: number;
  /** Requested thousandths of a core: its share when the cores are contended. */
  readonly milliCPURequest?: number;
}

export interface RunningContainer {
  readonly podUid: string;
  readonly name: string;
  readonly attempt: number;
  readonly startedAtMs: number;
}

export interface ContainerExit {
  /** 128 + the signal's number when a signal ended it. */
  readonly exitCode: number;
  readonly finishedAtMs: number;
  /** It was ended because it took more memory than its limit. */
  readonly isOutOfMemory?: boolean;
  /** What its status gives as the reason. Default: what follows from the code. */
  readonly reason?: string;
  /** Its last words. */
  readonly message?: string;
}

export interface Runtime {
  /** Resolves when the container's processes run. Throws KubeletError RunContainerError. */
  start(spec: ContainerSpec): Promise<RunningContainer>;
  /** Containers of a pod that an earlier runtime object started: the last attempt of each. */
  adopt(podUid: string): { container: RunningContainer; exit: ContainerExit | undefined }[];
  onExit(container: RunningContainer, callback: (exit: ContainerExit) => void): void;
  /** TERM goes to the program, KILL ends every process of the container. */
  signal(container: RunningContainer, signal: "SIGTERM" | "SIGKILL"): void;
  /** Resolves once the container's program has been started; with false when it ended before. */
  isUp(container: RunningContainer): Promise<boolean>;
  /** Runs a command inside, once the container is up. Output is cut at 64 KiB. */
  exec(container: RunningContainer, command: readonly string[], timeoutMs: number): Promise<ExecResult>;
  /** Forgets the pod's containers, which have ended. */
  remove(podUid: string): void;
  logFile(podUid: string, name: string, attempt: number): string;
  /** Notes the time of what has been written to a log up to now. */
  lookAtLog(file: string): void;
  /** A process of a container that runs, whose pid namespace is the container's. For statistics. */
  init(podUid: string, name: string): number | undefined;
}

export interface ExecResult {
  /** Undefined when the time was up. */
  readonly exitCode: number | undefined;
  readonly output: string;
}
