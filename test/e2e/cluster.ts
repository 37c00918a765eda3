/**
 * A cluster for a test: its own state folder, ports chosen by the system, gone with the test even when that fails.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { HttpKubeClient } from "#api/client/http.ts";
import { CodedError } from "#lib/errors.ts";
import { connect } from "../../cli/connect.ts";

const wherry = join(import.meta.dirname, "..", "..", "wherry");
/** Longest time for one command, in ms. */
const commandMs = 90_000;

export interface Done {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export class CommandError extends CodedError<"Failed"> {}

export interface TestCluster extends AsyncDisposable {
  readonly name: string;
  readonly stateHome: string;
  /** Runs `./wherry VERB --name … ARGS`; throws CommandError when it fails. */
  run(...args: readonly string[]): Promise<string>;
  /** The same, whatever the exit status. */
  attempt(...args: readonly string[]): Promise<Done>;
  /** A client of its API. Close it. */
  connect(): HttpKubeClient;
}

let sequence = 0;

/** A folder and a name for a cluster; nothing runs yet. Disposal stops it and removes the folder. */
export function createTestCluster(): TestCluster {
  const name = `test-${process.pid}-${(sequence += 1)}`;
  const stateHome = mkdtempSync(join(tmpdir(), "wherry-test-"));
  const env = { ...process.env, XDG_STATE_HOME: stateHome, XDG_CONFIG_HOME: stateHome, NO_COLOR: "1" };
  const attempt = ([verb = "", ...args]: readonly string[]): Promise<Done> =>
    runCommand([wherry, verb, "--name", name, ...args], env);
  return {
    name,
    stateHome,
    attempt: (...args) => attempt(args),
    connect: () => connect(name, env),
    async run(...args) {
      const done = await attempt(args);
      if (done.status === 0) return done.stdout;
      throw new CommandError(
        "Failed",
        `wherry ${args.join(" ")} exited with ${done.status}: ${done.stderr}${done.stdout}`,
      );
    },
    async [Symbol.asyncDispose]() {
      await attempt(["down"]);
      rmSync(stateHome, { recursive: true, force: true });
    },
  };
}

/** Runs a command to its end, in `folder` (default: ours). */
export function runCommand(
  command: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
  folder: string = process.cwd(),
): Promise<Done> {
  const [program = "", ...args] = command;
  const child = spawn(program, args, { env, cwd: folder, stdio: ["ignore", "pipe", "pipe"], timeout: commandMs });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (status) => resolve({ status, stdout, stderr }));
  });
}
