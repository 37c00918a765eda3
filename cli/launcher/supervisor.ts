/**
 * Runs one process of the cluster and runs it again when it ends.
 *
 *   Stopped => Starting (run) => Running (message "ready") => Waiting (exit) => Starting (after the back-off) …
 *
 * Back-off: 100 ms doubling to 5 s, reset once the process has stayed ready for 10 s; the first restart is at once,
 * for a crash after a long life says nothing about the next one.
 * Invariant: at most one child at a time; it inherits every kept socket.
 */
import { type ChildProcess, spawn } from "node:child_process";
import type { Socket } from "node:net";
import type { Clock } from "#lib/clock.ts";
import { backoffMs } from "#lib/backoff.ts";
import { messageOf } from "#lib/errors.ts";
import { takeDescriptor } from "#lib/linux.ts";
import type { Logger } from "#lib/log.ts";
import { systemRandom } from "#lib/random.ts";
import type { FromLauncher, ToLauncher } from "../ipc.ts";
import { DescriptorStore } from "./descriptors.ts";
import { isRunning, onlyChildOf } from "./namespaces.ts";
import type { ProcessState } from "./process-states.ts";

const steadyMs = 10_000;
const backoff = { baseMs: 100, maxMs: 5000 };

export interface SupervisorOptions<Config> {
  readonly name: string;
  /** Program and arguments, already wrapped to enter the cluster. */
  readonly command: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly config: Config;
  /** Where its standard output and error go: an open descriptor. */
  readonly logFd: number;
  readonly clock: Clock;
  readonly log: Logger;
  /** Called before each incarnation is given the kept sockets. */
  readonly beforeStart?: () => void;
  /** Called after the start message of each incarnation was sent. */
  readonly onStart?: () => void;
  readonly onMessage: (message: ToLauncher) => void;
  /** Called when `status` is another one. */
  readonly onChange?: () => void;
}

export class Supervisor<Config> {
  readonly descriptors: DescriptorStore = new DescriptorStore();
  readonly #options: SupervisorOptions<Config>;
  #child: ChildProcess | undefined;
  #attempt = 0;
  #readyAtMs: number | undefined;
  #stopped = false;
  #restarts = 0;
  #status: Pick<ProcessState, "state" | "since" | "lastEnd">;

  constructor(options: SupervisorOptions<Config>) {
    this.#options = options;
    this.#status = { state: "starting", since: this.#now() };
  }

  /** For people. */
  get status(): ProcessState {
    return { name: this.#options.name, restarts: this.#restarts, ...this.#status };
  }

  /** Pid of the process inside, as the launcher sees it; undefined while it is down. */
  get pid(): number | undefined {
    return this.#child?.pid === undefined || !isRunning(this.#child) ? undefined : onlyChildOf(this.#child.pid);
  }

  get isReady(): boolean {
    return this.#readyAtMs !== undefined;
  }

  /** Starts it. Failing to is as if it had ended: again after the back-off. */
  start(): void {
    const { name, log, beforeStart } = this.#options;
    beforeStart?.();
    try {
      this.#spawn();
    } catch (error) {
      log.error("Cannot start process", { process: name, error: messageOf(error) });
      this.#exited("spawn failed");
    }
  }

  #spawn(): void {
    const { command, env, config, logFd, name, log, onStart } = this.#options;
    const kept = this.descriptors.entries();
    const [program = "", ...args] = command;
    const child = spawn(program, args, {
      env,
      stdio: ["ignore", logFd, logFd, "ipc", ...kept.map(([, fd]) => fd)],
    });
    this.#child = child;
    child.on("message", (message) => this.#receive(message as ToLauncher));
    child.on("error", (error) => {
      log.error("Process error", { process: name, error: error.message });
      // Never started: there will be no "exit".
      if (child.pid === undefined) this.#exited("spawn failed");
    });
    if (child.pid === undefined) return;
    child.once("exit", (code, signal) => this.#exited(code ?? signal ?? "unknown"));
    const firstInherited = 4;
    const sockets = Object.fromEntries(kept.map(([socket], at) => [socket, firstInherited + at]));
    this.send({ kind: "start", config, sockets });
    this.#become("starting");
    onStart?.();
  }

  /**
   * Sends to the process; a message to one that is down is dropped, for its successor is told everything at start. A
   * connected socket that goes along is the process's from then on.
   */
  send(message: FromLauncher<Config>, socket?: Socket): void {
    const child = this.#child;
    if (child === undefined || !child.connected) return void socket?.destroy();
    child.send(message, socket, (error) => {
      if (error === null) return;
      socket?.destroy();
      this.#options.log.debug("Message not delivered", { process: this.#options.name });
    });
  }

  /** Ends the supervision. Resolves when the process, which ends with the cluster's namespaces, has been reaped. */
  stop(): Promise<void> {
    this.#stopped = true;
    const child = this.#child;
    if (child === undefined || !isRunning(child)) return Promise.resolve();
    const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
    // The wrapper that entered the namespaces stops with its child (nsenter mirrors SIGSTOP): awake, it reaps and ends.
    child.kill("SIGCONT");
    return ended;
  }

  #receive(message: ToLauncher): void {
    if (message.kind === "ready") {
      this.#readyAtMs = this.#options.clock.monotonicMs();
      this.#become("ready");
    }
    if (message.kind === "keep") return this.#keep(message.name, message.fd);
    if (message.kind === "drop") return this.descriptors.drop(message.name);
    this.#options.onMessage(message);
  }

  #become(state: ProcessState["state"], lastEnd: string | undefined = this.#status.lastEnd): void {
    this.#status = { state, since: this.#now(), ...(lastEnd === undefined ? {} : { lastEnd }) };
    this.#options.onChange?.();
  }

  #now(): string {
    return new Date(this.#options.clock.nowMs()).toISOString();
  }

  #keep(name: string, fd: number): void {
    const pid = this.pid;
    if (pid === undefined) return;
    try {
      this.descriptors.keep(name, takeDescriptor(pid, fd));
    } catch (error) {
      this.#options.log.warn("Cannot keep socket", {
        process: this.#options.name,
        socket: name,
        error: messageOf(error),
      });
    }
  }

  #exited(how: number | string): void {
    const { clock, log, name } = this.#options;
    if (this.#stopped) return;
    const steady = this.#readyAtMs !== undefined && clock.monotonicMs() - this.#readyAtMs > steadyMs;
    this.#attempt = steady ? 0 : this.#attempt + 1;
    this.#readyAtMs = undefined;
    this.#restarts += 1;
    const delayMs = this.#attempt === 0 ? 0 : backoffMs(this.#attempt - 1, backoff, systemRandom);
    log.warn("Process ended, starts again", { process: name, how, delayMs });
    this.#become("waiting", String(how));
    const timer = clock.after(delayMs, () => {
      if (!this.#stopped) this.start();
    });
    if (this.#stopped) timer.cancel();
  }
}
