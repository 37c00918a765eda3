/**
 * What a cluster must leave alone: the host's interfaces, mounts and firewall.
 */
import { execFileSync } from "node:child_process";
import { readlinkSync } from "node:fs";
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

/** The namespaces that hold a cluster's processes and are not our own, as `type:[inode]`. */
export function clusterNamespaces(cluster: string): Set<string> {
  const kinds = ["user", "net", "mnt", "pid", "uts"];
  const own = new Set(kinds.map((kind) => readlinkSync(`/proc/self/ns/${kind}`)));
  const found = new Set<string>();
  for (const { pid } of clusterProcesses(cluster)) {
    for (const kind of kinds) {
      try {
        const namespace = readlinkSync(`/proc/${pid}/ns/${kind}`);
        if (!own.has(namespace)) found.add(namespace);
      } catch {
        continue; // Ended meanwhile.
      }
    }
  }
  return found;
}

/** Those of `namespaces` that are still there after at most `ms`. */
export async function remainingNamespaces(namespaces: ReadonlySet<string>, ms: number): Promise<string[]> {
  const untilMs = performance.now() + ms;
  for (;;) {
    const lines = run("lsns", "-n", "-o", "NS,TYPE").trim().split("\n");
    const now = new Set(lines.map((line) => line.trim().replace(/^(\d+)\s+(\w+)$/, "$2:[$1]")));
    const left = [...namespaces].filter((namespace) => now.has(namespace));
    if (left.length === 0 || performance.now() > untilMs) return left;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
