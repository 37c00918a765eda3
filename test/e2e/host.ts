/**
 * What a cluster must leave alone: the host's interfaces, mounts and firewall.
 */
import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync, readlinkSync } from "node:fs";
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

/**
 * Those of a cluster's `namespaces` that some process still holds after at most `ms`, and which process in what state.
 * The kernel gives the numbers of namespaces that are gone to new ones: what another cluster has under one of them is
 * its own.
 */
export async function remainingNamespaces(
  cluster: string,
  namespaces: ReadonlySet<string>,
  ms: number,
): Promise<string[]> {
  const untilMs = performance.now() + ms;
  for (;;) {
    const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
    const left = pids.flatMap((pid) => {
      if (isOfAnother(pid, cluster)) return [];
      const held = [...namespacesOf([pid])].filter((namespace) => namespaces.has(namespace));
      return held.length === 0 ? [] : [`${held.join(" ")} held by ${describe(pid)}`];
    });
    if (left.length === 0 || performance.now() > untilMs) return left;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** `1234 (S) nsenter -t …` */
function describe(pid: string): string {
  try {
    const state = /^State:\s+(\S)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? "?";
    return `${pid} (${state}) ${readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").slice(0, 200)}`;
  } catch {
    return `${pid}, which has ended`;
  }
}

function isOfAnother(pid: string, cluster: string): boolean {
  try {
    const own = /(?:^|\0)WHERRY_CLUSTER=([^\0]*)/.exec(readFileSync(`/proc/${pid}/environ`, "utf8"))?.[1];
    return own !== undefined && own !== cluster;
  } catch {
    return false; // Gone, or another user's, whose namespaces cannot be read either.
  }
}
