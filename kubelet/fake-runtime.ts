/**
 * A runtime in memory with the semantics of the real one, for tests.
 *
 * Containers live in a FakeMachine, not in the runtime object: a second FakeRuntime over the same machine adopts
 * them, as a kubelet's successor does. Programs end on TERM with 143 unless they ignore it, on KILL with 137.
 */
import type { Clock } from "#lib/clock.ts";
import { KubeletError } from "./errors.ts";
import type { ContainerExit, ContainerSpec, ExecResult, RunningContainer, Runtime } from "./runtime.ts";

interface Entry {
  readonly container: RunningContainer;
  exit: ContainerExit | undefined;
  readonly listeners: ((exit: ContainerExit) => void)[];
}

/** What outlives a runtime object: the containers, and what happened to them. */
export class FakeMachine {
  readonly entries: Map<string, Entry> = new Map();
  /** `start web#0`, `SIGTERM web#0`, `exit web#0 143`, …, in order. */
  readonly trace: string[] = [];
}

export interface FakeRuntimeOptions {
  readonly machine?: FakeMachine;
  /** How long a start takes, in ms. Default 0. */
  readonly startMs?: number;
}

export class FakeRuntime implements Runtime {
  readonly machine: FakeMachine;
  /** Names of containers whose program ignores TERM. */
  readonly stubborn: Set<string> = new Set();
  /** Names of containers that cannot be started. */
  readonly broken: Set<string> = new Set();
  readonly #clock: Clock;
  readonly #startMs: number;
  #connected = true;

  constructor(clock: Clock, { machine = new FakeMachine(), startMs = 0 }: FakeRuntimeOptions = {}) {
    this.#clock = clock;
    this.#startMs = startMs;
    this.machine = machine;
  }

  async start({ podUid, name, attempt }: ContainerSpec): Promise<RunningContainer> {
    if (this.#startMs > 0) await this.#clock.sleep(this.#startMs);
    if (this.broken.has(name)) throw new KubeletError("RunContainerError", `Cannot run container: ${name} is broken`);
    const container = { podUid, name, attempt, startedAtMs: this.#clock.nowMs() };
    this.machine.entries.set(`${podUid}/${name}`, { container, exit: undefined, listeners: [] });
    this.machine.trace.push(`start ${label(container)}`);
    return container;
  }

  adopt(podUid: string): { container: RunningContainer; exit: ContainerExit | undefined }[] {
    const entries = [...this.machine.entries.values()];
    return entries
      .filter(({ container }) => container.podUid === podUid)
      .map(({ container, exit }) => ({ container, exit }));
  }

  onExit({ podUid, name }: RunningContainer, callback: (exit: ContainerExit) => void): void {
    const entry = this.machine.entries.get(`${podUid}/${name}`);
    if (entry === undefined) return;
    const tell = (exit: ContainerExit): void => {
      if (this.#connected) callback(exit);
    };
    if (entry.exit === undefined) entry.listeners.push(tell);
    else tell(entry.exit);
  }

  signal(container: RunningContainer, signal: "SIGTERM" | "SIGKILL"): void {
    const entry = this.machine.entries.get(`${container.podUid}/${container.name}`);
    if (entry === undefined || entry.exit !== undefined) return;
    this.machine.trace.push(`${signal} ${label(entry.container)}`);
    if (signal === "SIGKILL") this.exit(container.podUid, container.name, 137);
    else if (!this.stubborn.has(container.name)) this.exit(container.podUid, container.name, 143);
  }

  async isUp({ podUid, name }: RunningContainer): Promise<boolean> {
    return this.machine.entries.get(`${podUid}/${name}`)?.exit === undefined;
  }

  async exec(container: RunningContainer, command: readonly string[]): Promise<ExecResult> {
    const entry = this.machine.entries.get(`${container.podUid}/${container.name}`);
    if (entry === undefined || entry.exit !== undefined) return { exitCode: 126, output: "container is not running" };
    return { exitCode: command[0] === "false" ? 1 : 0, output: command.join(" ") };
  }

  remove(podUid: string): void {
    for (const [key, { container, exit }] of this.machine.entries) {
      if (container.podUid !== podUid) continue;
      this.machine.trace.push(exit === undefined ? `leak ${label(container)}` : `forget ${label(container)}`);
      this.machine.entries.delete(key);
    }
  }

  logFile(podUid: string, name: string, attempt: number): string {
    return `/logs/${podUid}/${name}/${attempt}.log`;
  }

  lookAtLog(): void {
    // Nothing is written here.
    return undefined;
  }

  init(): undefined {
    return undefined;
  }

  /** The program of a container ends by itself, also while no runtime object listens. */
  exit(podUid: string, name: string, exitCode: number): void {
    const entry = this.machine.entries.get(`${podUid}/${name}`);
    if (entry === undefined || entry.exit !== undefined) return;
    entry.exit = { exitCode, finishedAtMs: this.#clock.nowMs() };
    this.machine.trace.push(`exit ${label(entry.container)} ${exitCode}`);
    const exit = entry.exit;
    // As with the real one, the news comes later than the signal's return.
    queueMicrotask(() => {
      for (const listener of entry.listeners) listener(exit);
    });
  }

  /** The kubelet dies: this object hears of nothing any more. The next one over the same machine. */
  successor(): FakeRuntime {
    this.#connected = false;
    return new FakeRuntime(this.#clock, { machine: this.machine });
  }
}

const label = ({ name, attempt }: RunningContainer): string => `${name}#${attempt}`;
