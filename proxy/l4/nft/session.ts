/**
 * One nft that stays: `nft -i` reads a line, commits it as one transaction, and waits for the next.
 *
 *   run(text) ─▶ its lines as one, then a line that is none of nft's ─▶ errors of the first, then one about the second
 *
 * An element costs 0.3 ms so, where a new nft costs 5 ms, and 10 to 20 ms more for the next one: when its socket
 * closes while deletions wait for an RCU grace period, the kernel waits under the lock of nftables.
 * For short texts only: nft's line editor reads byte by byte. One text at a time, in order. Bounded: its history of
 * lines grows, so after `runsMax` texts another one is started; one that hangs is killed. Whoever has an nft without
 * interactive mode learns it from the first run, and has to do without.
 */
import { type ChildProcess, spawn } from "node:child_process";
import type { Clock } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import { ProxyError } from "../../errors.ts";

export interface NftSessionOptions {
  readonly clock: Clock;
  readonly timeoutMs: number;
}

interface Waiting {
  readonly marker: string;
  readonly resolve: (errors: string) => void;
  readonly reject: (error: ProxyError) => void;
  errors: string;
}

/** Texts that are longer are no gain. */
export const sessionBytesMax: number = 16 * 1024;
const runsMax = 1000;
const errorsBytesMax = 256 * 1024;

export class NftSession {
  readonly #options: NftSessionOptions;
  #child: ChildProcess | undefined;
  #runs = 0;
  #waiting: Waiting | undefined;
  #tail: Promise<unknown> = Promise.resolve();

  constructor(options: NftSessionOptions) {
    this.#options = options;
  }

  /** Commits `text`, and resolves with what nft says against it: "" when it is done. Rejects when there is no such nft. */
  run(text: string): Promise<string> {
    const result = this.#tail.then(() => this.#runNow(text));
    this.#tail = result.catch(() => undefined);
    return result;
  }

  #runNow(text: string): Promise<string> {
    return new Promise((resolve, reject) => {
      if (this.#runs >= runsMax) this.#retire();
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
          hold(child, false);
          then(value);
        };
      // No statement of nft's begins so: it is refused by the parser, without a word to the kernel.
      const marker = `end-of-text-${this.#runs++}`;
      this.#waiting = { marker, resolve: settle(resolve), reject: settle(reject), errors: "" };
      hold(child, true);
      child.stdin?.write(`${text.trim().replaceAll("\n", "; ")}\n${marker}\n`);
    });
  }

  #start(): ChildProcess {
    // Without a home there is no file for its history.
    const child = spawn("env", ["HOME=/dev/null", "nft", "-i"], { stdio: ["pipe", "ignore", "pipe"] });
    child.stderr?.setEncoding("utf8");
    child.stderr?.on("data", (chunk: string) => this.#read(chunk));
    child.stdin?.on("error", (error) => this.#fail(child, messageOf(error)));
    child.once("error", (error) => this.#fail(child, messageOf(error)));
    child.once("close", () => this.#fail(child, "it ended"));
    return child;
  }

  /** At the end of its input it ends by itself. */
  #retire(): void {
    const child = this.#child;
    this.#child = undefined;
    this.#runs = 0;
    child?.stdin?.end();
  }

  #read(chunk: string): void {
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    waiting.errors += chunk;
    // nft repeats the line that it refuses, below what is wrong with it and above a caret.
    const at = waiting.errors.indexOf(`\n${waiting.marker}\n`);
    if (at >= 0 && waiting.errors.indexOf("^\n", at) >= 0)
      waiting.resolve(waiting.errors.slice(0, waiting.errors.lastIndexOf("Error", at)).trim());
    else if (waiting.errors.length > errorsBytesMax)
      waiting.errors = waiting.errors.slice(0, 1000) + chunk.slice(-1000);
  }

  #fail(child: ChildProcess, why: string): void {
    if (this.#child !== child) return;
    this.#child = undefined;
    this.#runs = 0;
    this.#waiting?.reject(new ProxyError("CommandFailed", `Cannot run nft: ${why}`));
  }
}

/** It keeps this process alive only while it runs something. */
function hold(child: ChildProcess, isHeld: boolean): void {
  for (const part of [child, child.stdin, child.stderr] as ({ ref?: () => void; unref?: () => void } | null)[])
    if (isHeld) part?.ref?.();
    else part?.unref?.();
}
