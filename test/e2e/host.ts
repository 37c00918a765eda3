/**
 * What a cluster must leave alone: the host's interfaces, mounts and firewall.
 */
import { execFileSync } from "node:child_process";
import { readdirSync, readlinkSync } from "node:fs";
import { clusterProcesses } from "./processes.ts";

export interface HostState {
  readonly links: string;
  readonly mounts: string;
  /** Empty where this user may not list it. */
  readonly rules: string;
}

const path = `${process.env["PATH"]}:/usr/sbin:/sbin`;

function run(program: string, ...args: string[]): string {
  return execFileSync(program, args, { encoding: "utf8", env: { ...process.env, PATH: path } });
}

export function readHost(): HostState {
  const rules = process.getuid?.() === 0 ? run("nft", "list", "ruleset") : "";
  return { links: run("ip", "-o", "link"), mounts: run("findmnt", "-rn"), rules };
}

const kinds = ["user", "net", "mnt", "pid", "uts"];

/** The namespaces of processes, as `type:[inode]`. */
function namespacesOf(pids: readonly string[]): Set<string> {
  const found = new Set<string>();
  for (const pid of pids) {
    for (const kind of kinds) {
      try {
        found.add(readlinkSync(`/proc/${pid}/ns/${kind}`));
      } catch {
        continue; // Ended meanwhile, or another user's.
      }
    }
  }
  return found;
}

/** The namespaces that hold a cluster's processes and are not our own. */
export function clusterNamespaces(cluster: string): Set<string> {
  const pids = clusterProcesses(cluster).map(({ pid }) => String(pid));
  return namespacesOf(pids).difference(namespacesOf(["self"]));
}

/** Those of `namespaces` that some process still holds after at most `ms`. */
export async function remainingNamespaces(namespaces: ReadonlySet<string>, ms: number): Promise<string[]> {
  const untilMs = performance.now() + ms;
  for (;;) {
    const now = namespacesOf(readdirSync("/proc").filter((name) => /^\d+$/.test(name)));
    const left = [...namespaces].filter((namespace) => now.has(namespace));
    if (left.length === 0 || performance.now() > untilMs) return left;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
