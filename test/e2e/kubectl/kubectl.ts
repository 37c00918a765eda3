/**
 * A kubectl against a test's cluster, with a home of its own.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CommandError, type Done, runCommand, type TestCluster } from "../cluster.ts";

/** A program, or why it cannot be had. */
export type Found = { readonly program: string } | { readonly reason: string };

/** CI has every program: there the reason is an error. */
export async function findOrSkip(find: () => Promise<string>): Promise<Found> {
  try {
    return { program: await find() };
  } catch (error) {
    if (process.env["CI"] !== undefined || !(error instanceof CommandError)) throw error;
    return { reason: error.message };
  }
}

/** The option of `describe` that says why it is skipped. */
export function skipReason(found: Found): { readonly skip: string | false } {
  return { skip: "reason" in found ? `SKIP ${found.reason}` : false };
}

/** A kubectl that runs on while the test does other things. */
export interface RunningKubectl {
  /** Resolves once what it printed matches; fails after 20 s. */
  printed(pattern: RegExp): Promise<string>;
  /** Ends it. What it printed. */
  stop(): Promise<string>;
}

export class Kubectl {
  readonly #program: string;
  readonly #cluster: TestCluster;
  readonly #env: NodeJS.ProcessEnv;

  constructor(found: Found, cluster: TestCluster) {
    this.#program = "program" in found ? found.program : "";
    this.#cluster = cluster;
    const home = join(cluster.stateHome, "kubectl");
    mkdirSync(home, { recursive: true });
    const kubeconfig = join(cluster.stateHome, "wherry", cluster.name, "kubeconfig");
    this.#env = { ...process.env, HOME: home, KUBECONFIG: kubeconfig };
  }

  attempt(...args: readonly string[]): Promise<Done> {
    return runCommand([this.#program, ...args], this.#env);
  }

  /** What the command prints; fails with its words when it does. */
  async run(...args: readonly string[]): Promise<string> {
    const { status, stdout, stderr } = await this.attempt(...args);
    assert.equal(status, 0, `kubectl ${args.join(" ")}: ${stderr}${stdout}`);
    return stdout;
  }

  /** The same for one line of words without blanks. */
  line(words: string): Promise<string> {
    return this.run(...words.split(" "));
  }

  /** Fails unless the command exits with 1; what it said on standard error. */
  async refused(...args: readonly string[]): Promise<string> {
    const { status, stdout, stderr } = await this.attempt(...args);
    assert.equal(status, 1, `kubectl ${args.join(" ")}: ${stderr}${stdout}`);
    return stderr;
  }

  start(...args: readonly string[]): RunningKubectl {
    const child = spawn(this.#program, args, { env: this.#env, stdio: ["ignore", "pipe", "pipe"] });
    return new Running(child, args.join(" "));
  }

  /** A file in the cluster's folder; its path. */
  write(name: string, text: string, mode = 0o644): string {
    const path = join(this.#cluster.stateHome, name);
    writeFileSync(path, text);
    chmodSync(path, mode);
    return path;
  }

  /** `kubectl edit` with a sed expression for an editor. */
  async edit(expression: string, ...args: readonly string[]): Promise<string> {
    const editor = this.write("editor.sh", `#!/bin/sh\nsed -i '${expression}' "$1"\n`, 0o755);
    const done = await runCommand([this.#program, "edit", ...args], { ...this.#env, EDITOR: editor });
    assert.equal(done.status, 0, done.stderr);
    return done.stdout;
  }

  /** Runs `args` again until its output matches; fails after `ms` with the last one. */
  async until(pattern: RegExp, ms: number, ...args: readonly string[]): Promise<string> {
    for (const untilMs = performance.now() + ms; ;) {
      const { stdout, stderr } = await this.attempt(...args);
      if (pattern.test(stdout)) return stdout;
      assert.ok(performance.now() < untilMs, `kubectl ${args.join(" ")} never said ${pattern}: ${stdout}${stderr}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

class Running implements RunningKubectl {
  readonly #child: ChildProcess;
  readonly #what: string;
  readonly #wakes = new Set<() => void>();
  #output = "";

  constructor(child: ChildProcess, what: string) {
    this.#child = child;
    this.#what = what;
    const take = (chunk: Buffer): void => {
      this.#output += chunk.toString();
      for (const wake of this.#wakes) wake();
    };
    child.stdout?.on("data", take);
    child.stderr?.on("data", take);
    child.on("error", (error) => (this.#output += error.message));
  }

  printed(pattern: RegExp): Promise<string> {
    return new Promise((resolve, reject) => {
      const done = (settle: () => void): void => {
        clearTimeout(timer);
        this.#wakes.delete(look);
        settle();
      };
      const look = (): void => {
        if (pattern.test(this.#output)) done(() => resolve(this.#output));
      };
      const late = (): void =>
        done(() => reject(new CommandError("Failed", `kubectl ${this.#what} never said ${pattern}: ${this.#output}`)));
      const timer = setTimeout(late, 20_000);
      this.#wakes.add(look);
      look();
    });
  }

  async stop(): Promise<string> {
    const { exitCode, signalCode } = this.#child;
    if (exitCode === null && signalCode === null) {
      const ended = new Promise((resolve) => this.#child.once("close", resolve));
      this.#child.kill("SIGKILL");
      await ended;
    }
    return this.#output;
  }
}

/** The first line of a table, columns joined by `|`. */
export function head(table: string): string {
  return (table.split("\n", 1)[0] ?? "").trim().replaceAll(/ {2,}/g, "|");
}
