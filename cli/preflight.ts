/**
 * What a system must have before a cluster can start on it, and what to do where it has not.
 *
 *   probe (effects) ─▶ findings (values) ─▶ `check` prints them, `up` refuses on the first that failed
 */
import { spawnSync } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import type { FindingCode } from "./diagnosis/finding.ts";
import { CliError } from "./errors.ts";
import { refusal } from "./launcher/namespaces.ts";

export interface Requirement {
  /** What it is called when it is not met. */
  readonly code: FindingCode;
  readonly what: string;
  readonly ok: boolean;
  /** Why not, and the one command that helps; empty when ok. */
  readonly hint: string;
}

/** The programs that a cluster runs on, and Debian's package for each. */
const programs: Readonly<Record<string, string>> = {
  nft: "nftables",
  ip: "iproute2",
  unshare: "util-linux",
  nsenter: "util-linux",
  setpriv: "util-linux",
  mount: "mount",
  dash: "dash",
};

export interface System {
  /** Whether a program of that name can be run. */
  has(program: string): boolean;
  /** Runs a command to its end. */
  run(command: readonly string[]): { status: number | null; stderr: string };
  readonly isRoot: boolean;
}

/** PATH with the folders of administrators' programs, which ordinary users lack on Debian. */
export function systemPath(env: NodeJS.ProcessEnv): string {
  const folders = (env["PATH"] ?? "/usr/bin:/bin").split(delimiter);
  return [...folders, ...["/usr/sbin", "/sbin"].filter((folder) => !folders.includes(folder))].join(delimiter);
}

export function realSystem(env: NodeJS.ProcessEnv): System {
  const path = systemPath(env);
  return {
    has: (program) => path.split(delimiter).some((folder) => isExecutable(join(folder, program))),
    run([program = "", ...args]) {
      const done = spawnSync(program, args, { encoding: "utf8", env: { ...env, PATH: path } });
      return { status: done.status, stderr: (done.stderr || done.error?.message) ?? "" };
    },
    isRoot: process.getuid?.() === 0,
  };
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false; // Absent or not for us: either way it cannot be run.
  }
}

/** Everything that must hold, in the order in which it is needed. */
export function probe(system: System): Requirement[] {
  const missing = Object.keys(programs).filter((program) => !system.has(program));
  const findings: Requirement[] = Object.keys(programs).map((program) => ({
    code: "ProgramMissing",
    what: `program ${program}`,
    ok: !missing.includes(program),
    hint: missing.includes(program) ? `not found (run: ${installCommand([program])})` : "",
  }));
  if (missing.length > 0) return findings;
  const namespaces = system.run([
    ..."unshare --user --map-root-user --net --mount --pid --fork --mount-proc".split(" "),
    ..."dash -c".split(" "),
    "echo 'add table ip wherry_check' | nft -f -",
  ]);
  const refused = namespaces.status !== 0;
  const isNft = /nft|netlink|cache initialization/i.test(namespaces.stderr);
  findings.push({
    code: "NamespacesRefused",
    what: "user, network, mount and pid namespaces",
    ok: !refused || isNft,
    hint: refused && !isNft ? refusal(namespaces.stderr.trim()).message : "",
  });
  const nftHint = `${namespaces.stderr.trim()} (run as root: modprobe nf_tables)`;
  const hasNft = !isNft || !refused;
  const code = "KernelWithoutNftables";
  findings.push({ code, what: "nftables in the kernel", ok: hasNft, hint: hasNft ? "" : nftHint });
  return findings;
}

function installCommand(missing: readonly string[]): string {
  const packages = [...new Set(missing.map((program) => programs[program] ?? program))];
  return `apt-get install -y ${packages.join(" ")}`;
}

/** Installs what is missing where it may (root with apt-get); else throws one sentence, before anything was made. */
export function requireSystem(system: System, say: (line: string) => void): void {
  const missing = Object.keys(programs).filter((program) => !system.has(program));
  if (missing.length > 0) {
    const command = installCommand(missing);
    const may = system.isRoot && system.has("apt-get");
    if (may) say(`Installing what is missing: ${command}`);
    const installed = may && system.run(["dash", "-c", `apt-get update -q && ${command}`]).status === 0;
    if (!installed || missing.some((program) => !system.has(program))) {
      const as = system.isRoot ? "run" : "run as root";
      throw new CliError("Unsupported", `Cannot start: ${missing.join(", ")} not found (${as}: ${command})`);
    }
  }
  const failed = probe(system).find(({ ok }) => !ok);
  if (failed !== undefined)
    throw new CliError(
      "Unsupported",
      failed.hint.startsWith("Cannot") ? failed.hint : `Cannot start: ${failed.what}: ${failed.hint}`,
    );
}
