/**
 * Running a program with a text as its input, or what it would do: the one way that the proxy touches the kernel.
 *
 *   nft/kernel-table.ts, conntrack.ts, sysctl.ts ─▶ Exec ─▶ `nft -i` for short texts, else `nft -f -`; `conntrack …`
 *                                                       └─▶ nft/netlink, for texts of elements alone, which it compiles
 *
 * Bounded: what a program prints beyond `outputBytesMax` is dropped, unless somebody takes it by line; and it is killed
 * after `timeoutMs`.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Clock } from "#lib/clock.ts";
import { errnoOf, messageOf } from "#lib/errors.ts";
import { ProxyError } from "../errors.ts";
import { ElementCompiler } from "./nft/netlink/compiler.ts";
import { NetlinkLink } from "./nft/netlink/link.ts";
import { NftSession, sessionBytesMax } from "./nft/session.ts";
import { Shell } from "./shell.ts";

export interface ExecResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs `command` (program, then arguments). Rejects with a ProxyError when the program cannot be started or hangs. With
 * `onLine`, each line that it prints is told as it comes, and `stdout` is empty: for listings of any length.
 */
export type Exec = (command: readonly string[], input?: string, onLine?: (line: string) => void) => Promise<ExecResult>;

/** One transaction takes tens of ms; beyond this something hangs. */
const timeoutMs = 60_000;
const outputBytesMax = 16 * 1024 * 1024;
/** In a row; then nft is started for each text. */
const sessionFailuresMax = 3;

/**
 * Runs programs for real, in the network namespace of this process. Transactions of elements are committed by netlink
 * instead of by nft, which is asked where the kernel refuses them.
 */
export function systemExec(clock: Clock): Exec {
  const shells = [new Shell({ clock, timeoutMs, outputBytesMax }), new Shell({ clock, timeoutMs, outputBytesMax })];
  const session = new NftSession({ clock, timeoutMs });
  const compiler = new ElementCompiler();
  const link = new NetlinkLink();
  let failures = 0;
  const trySession = async (input: string): Promise<ExecResult | undefined> => {
    if (failures >= sessionFailuresMax || input.length > sessionBytesMax) return undefined;
    try {
      const stderr = await session.run(input);
      failures = 0;
      return { exitCode: stderr === "" ? 0 : 1, stdout: "", stderr };
    } catch {
      // Perhaps an nft without interactive mode. Whatever it was, the way below does the same and says what is wrong.
      failures++;
      return undefined;
    }
  };
  const runNft = async (input: string): Promise<ExecResult> => {
    const answered = await trySession(input);
    if (answered !== undefined) return answered;
    const shell = shells.find(({ isIdle }) => isIdle) ?? shells[0]!;
    const { exitCode, output } = await shell.run("nft -f -", input);
    // POSIX sh: 127 is a command that was not found.
    if (exitCode === 127) throw new ProxyError("CommandMissing", `Cannot run nft: ${output.trim().slice(0, 300)}`);
    return { exitCode, stdout: "", stderr: output };
  };
  return async (command, input = "", onLine) => {
    // The hot path; and with words of our own alone, nothing that a shell could take for something else.
    if (command.join(" ") !== "nft -f -") return spawnProgram(clock, command, input, onLine);
    const compiled = compiler.compile(input);
    // What the kernel refuses nft is asked to do: it says why.
    if (compiled !== undefined && (await link.run(compiled))) return { exitCode: 0, stdout: "", stderr: "" };
    const result = await runNft(input);
    if (result.exitCode === 0) compiler.learn(input);
    return result;
  };
}

function spawnProgram(
  clock: Clock,
  [program = "", ...args]: readonly string[],
  ...[input, onLine]: [string, ((line: string) => void)?]
): Promise<ExecResult> {
  return new Promise((resolve, reject) => {
    // Without descriptors to spare there are no pipes, only the error.
    const child: ChildProcess = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"] });
    const stdout = new BoundedText();
    const stderr = new BoundedText();
    let isLate = false;
    const timer = clock.after(timeoutMs, () => {
      isLate = true;
      child.kill("SIGKILL");
    });
    if (onLine !== undefined && child.stdout !== null) createInterface({ input: child.stdout }).on("line", onLine);
    else child.stdout?.on("data", (chunk: Buffer) => stdout.add(chunk));
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
    child.stdin?.on("error", (error) => {
      if (errnoOf(error) !== "EPIPE") stderr.add(Buffer.from(`${messageOf(error)}\n`));
    });
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
