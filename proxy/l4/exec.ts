/**
 * Running a program with a text as its input: the one way that the proxy touches the kernel.
 *
 *   nft/apply.ts, conntrack.ts, sysctl.ts ─▶ Exec ─▶ `nft -f -`, `conntrack …`
 *
 * Bounded: what a program prints beyond `outputBytesMax` is dropped, and it is killed after `timeoutMs`.
 */
import { type ChildProcess, spawn } from "node:child_process";
import type { Clock } from "#lib/clock.ts";
import { errnoOf, messageOf } from "#lib/errors.ts";
import { ProxyError } from "../errors.ts";

export interface ExecResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `command` (program, then arguments). Rejects with a ProxyError when the program cannot be started or hangs. */
export type Exec = (command: readonly string[], input?: string) => Promise<ExecResult>;

/** A cold start with 10 000 Services takes about 10 s; beyond this something hangs. */
const timeoutMs = 120_000;
const outputBytesMax = 16 * 1024 * 1024;

/** Runs programs for real, in the network namespace of this process. */
export function systemExec(clock: Clock): Exec {
  return ([program = "", ...args], input = "") =>
    new Promise((resolve, reject) => {
      // Without descriptors to spare there are no pipes, only the error.
      const child: ChildProcess = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"] });
      const stdout = new BoundedText();
      const stderr = new BoundedText();
      let isLate = false;
      const timer = clock.after(timeoutMs, () => {
        isLate = true;
        child.kill("SIGKILL");
      });
      child.stdout?.on("data", (chunk: Buffer) => stdout.add(chunk));
      child.stderr?.on("data", (chunk: Buffer) => stderr.add(chunk));
      child.once("error", (cause) => {
        timer.cancel();
        const code = errnoOf(cause) === "ENOENT" ? "CommandMissing" : "CommandFailed";
        reject(new ProxyError(code, `Cannot run ${program}: ${messageOf(cause)}`, { cause }));
      });
      child.once("close", (exitCode) => {
        timer.cancel();
        if (isLate) reject(new ProxyError("CommandFailed", `Cannot run ${program}: not done after ${timeoutMs} ms`));
        else resolve({ exitCode: exitCode ?? 1, stdout: stdout.text(), stderr: stderr.text() });
      });
      // A program that ends without reading closes the pipe; its exit status says why.
      child.stdin?.on("error", (error) => stderr.add(Buffer.from(messageOf(error))));
      child.stdin?.end(input);
    });
}

class BoundedText {
  readonly #chunks: Buffer[] = [];
  #bytes = 0;

  add(chunk: Buffer): void {
    if (this.#bytes + chunk.length > outputBytesMax) return;
    this.#bytes += chunk.length;
    this.#chunks.push(chunk);
  }

  text(): string {
    return Buffer.concat(this.#chunks).toString("utf8");
  }
}
