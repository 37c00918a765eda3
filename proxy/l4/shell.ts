/**
 * A small shell that starts programs for us. Node forks by copying its page tables, which takes the longer the larger
 * its heap is; a shell has next to nothing to copy.
 *
 *   run(command, text) ─▶ here-document on the shell's standard input ─▶ output, then a line with the exit status
 *
 * One command at a time, in order. Bounded as exec.ts is: output beyond `outputBytesMax` is dropped; a shell whose
 * command hangs is killed, and the next command starts another. It ends with us, for its input does.
 */
import { type ChildProcess, spawn } from "node:child_process";
import type { Clock } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import { ProxyError } from "../errors.ts";

export interface ShellResult {
  readonly exitCode: number;
  /** What the command printed, on standard error, too. */
  readonly output: string;
}

export interface ShellOptions {
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly outputBytesMax: number;
}

interface Waiting {
  readonly marker: string;
  readonly resolve: (result: ShellResult) => void;
  readonly reject: (error: ProxyError) => void;
  output: string;
}

export class Shell {
  readonly #options: ShellOptions;
  #child: ChildProcess | undefined;
  #waiting: Waiting | undefined;
  #tail: Promise<unknown> = Promise.resolve();
  #pending = 0;
  #sequence = 0;

  constructor(options: ShellOptions) {
    this.#options = options;
  }

  /** Whether a command would run at once. */
  get isIdle(): boolean {
    return this.#pending === 0;
  }

  /** Runs a command of plain words with `text` as its input. Rejects when there is no shell, or the command hangs. */
  run(command: string, text: string): Promise<ShellResult> {
    this.#pending++;
    const result = this.#tail.then(() => this.#runNow(command, text)).finally(() => this.#pending--);
    this.#tail = result.catch(() => undefined);
    return result;
  }

  #runNow(command: string, text: string): Promise<ShellResult> {
    return new Promise((resolve, reject) => {
      // Of a length that no line of ours has, and new each time.
      const marker = `end-of-input-${process.pid}-${this.#sequence++}`;
      const child = (this.#child ??= this.#start());
      const timer = this.#options.clock.after(this.#options.timeoutMs, () => {
        child.kill("SIGKILL");
        this.#fail(child, `not done after ${this.#options.timeoutMs} ms`);
      });
      const settle =
        <T>(then: (value: T) => void) =>
        (value: T): void => {
          timer.cancel();
          this.#waiting = undefined;
          this.#hold(false);
          then(value);
        };
      this.#waiting = { marker, resolve: settle(resolve), reject: settle(reject), output: "" };
      this.#hold(true);
      const end = text === "" || text.endsWith("\n") ? "" : "\n";
      child.stdin?.write(`${command} 2>&1 <<'${marker}'\n${text}${end}${marker}\necho "${marker} $?"\n`);
    });
  }

  #start(): ChildProcess {
    const child = spawn("sh", [], { stdio: ["pipe", "pipe", "ignore"] });
    child.stdout?.setEncoding("utf8");
    child.stdout?.on("data", (chunk: string) => this.#read(chunk));
    child.stdin?.on("error", (error) => this.#fail(child, messageOf(error)));
    child.once("error", (error) => this.#fail(child, messageOf(error)));
    child.once("close", () => this.#fail(child, "the shell ended"));
    return child;
  }

  #read(chunk: string): void {
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    waiting.output += chunk;
    const found = new RegExp(`^${waiting.marker} ([0-9]+)\n`, "m").exec(waiting.output.slice(-1000));
    if (found === null) {
      if (waiting.output.length > this.#options.outputBytesMax) waiting.output = waiting.output.slice(-1000);
      return;
    }
    const at = waiting.output.lastIndexOf(`${waiting.marker} `);
    waiting.resolve({ exitCode: Number(found[1]), output: waiting.output.slice(0, at) });
  }

  #fail(child: ChildProcess, why: string): void {
    if (this.#child !== child) return;
    this.#child = undefined;
    this.#waiting?.reject(new ProxyError("CommandFailed", `Cannot run a command: ${why}`));
  }

  /** The shell keeps this process alive only while a command runs. */
  #hold(isHeld: boolean): void {
    const child = this.#child;
    for (const part of [child, child?.stdin, child?.stdout] as ({ ref?: () => void; unref?: () => void } | undefined)[])
      if (isHeld) part?.ref?.();
      else part?.unref?.();
  }
}
