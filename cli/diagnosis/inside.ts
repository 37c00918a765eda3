/**
 * Looks at a cluster from within: runs a small process in the network namespace of a node or a pod and asks it.
 *
 *   status, check, explain ─ Question[] ─▶ lookInside() ─▶ inside-main.ts (nsenter) ─▶ Answer[]
 *
 * Invariant: as many answers as questions, in their order; never throws and never takes longer than `timeoutMs`.
 */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { messageOf } from "#lib/errors.ts";
import { endsWithParent, enterCommand } from "../launcher/namespaces.ts";
import type { ListeningSocket } from "./listening-sockets.ts";

/** What can be asked. */
export type Question =
  /** GET over HTTP/1.1; `netns` is a namespace file to connect from. */
  | {
      readonly kind: "http";
      readonly address: string;
      readonly port: number;
      readonly path: string;
      readonly netns?: string;
    }
  /** Whether a TCP connection comes about. */
  | { readonly kind: "tcp"; readonly address: string; readonly port: number }
  /** IPv4 addresses of a full name, asked of `server` over UDP. */
  | { readonly kind: "dns"; readonly server: string; readonly name: string }
  /** The TCP sockets that listen in the network namespace with that name. */
  | { readonly kind: "listening"; readonly netns: string }
  /** The names of the nftables tables. */
  | { readonly kind: "tables" };

export type Answer =
  | { readonly kind: "http"; readonly status: number; readonly body: string }
  | { readonly kind: "tcp" }
  | { readonly kind: "dns"; readonly addresses: readonly string[] }
  | { readonly kind: "listening"; readonly sockets: readonly ListeningSocket[] }
  | { readonly kind: "tables"; readonly names: readonly string[] }
  /** `code` is the system's or the resolver's: ENOENT, ECONNREFUSED, ENOTFOUND, ETIMEOUT. */
  | { readonly kind: "failed"; readonly code: string; readonly message: string };

export interface Place {
  readonly initPid: number;
  /** Name of the network namespace: `node1`, `pod-UID`. */
  readonly netns: string;
}

/** Bytes of all answers, at most: a sidecar's whole configuration is some megabytes in a large cluster. */
const answerBytesMax = 64 * 1024 * 1024;

/** The answers; all `failed` when the place cannot be entered. */
export async function lookInside(
  { initPid, netns }: Place,
  questions: readonly Question[],
  timeoutMs = 5000,
): Promise<readonly Answer[]> {
  if (questions.length === 0) return [];
  try {
    const text = await runInside(initPid, netns, JSON.stringify({ questions, timeoutMs }), timeoutMs + 1500);
    return JSON.parse(text) as Answer[];
  } catch (error) {
    const failed: Answer = { kind: "failed", code: "ENTER", message: messageOf(error) };
    return questions.map(() => failed);
  }
}

function runInside(initPid: number, netns: string, input: string, timeoutMs: number): Promise<string> {
  const script = join(import.meta.dirname, "inside-main.ts");
  const node = [...endsWithParent, process.execPath, "--disable-warning=ExperimentalWarning", script];
  const [program = "", ...args] = enterCommand(initPid, netns, node);
  const child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"], timeout: timeoutMs, killSignal: "SIGKILL" });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk: Buffer) => {
    stdout += chunk.toString();
    if (stdout.length > answerBytesMax) child.kill("SIGKILL");
  });
  child.stderr.on("data", (chunk: Buffer) => (stderr = (stderr + chunk.toString()).slice(-500)));
  child.stdin.on("error", () => undefined); // It ended before it read: its exit says so below.
  child.stdin.end(input);
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (status, signal) => {
      if (status === 0) return resolve(stdout);
      const why = stderr.trim() === "" ? `ended with ${status ?? signal ?? "nothing"}` : stderr.trim();
      reject(new Error(`Cannot look into ${netns}: ${why}`));
    });
  });
}
