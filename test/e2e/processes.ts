/**
 * The processes of a test's cluster, as /proc shows them: found by the cluster's name in their environment, so that a test
 * never touches any other.
 */
import { readFileSync, readdirSync } from "node:fs";

export interface ProcessInfo {
  readonly pid: number;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

function readNulls(file: string): string[] {
  try {
    return readFileSync(file, "utf8")
      .split("\0")
      .filter((word) => word !== "");
  } catch {
    return []; // Gone, or another user's.
  }
}

/** Every process that carries WHERRY_CLUSTER=`cluster`. */
export function clusterProcesses(cluster: string): ProcessInfo[] {
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return pids.flatMap((pid) => {
    const pairs = readNulls(`/proc/${pid}/environ`).map((pair): [string, string] => {
      const equals = pair.indexOf("=");
      return [pair.slice(0, equals), pair.slice(equals + 1)];
    });
    const env = Object.fromEntries(pairs);
    if (env["WHERRY_CLUSTER"] !== cluster) return [];
    return [{ pid: Number(pid), command: readNulls(`/proc/${pid}/cmdline`), env }];
  });
}

/** The Node process that runs `script` (as `cli/control.ts`) in a cluster; the last one started where there are more. */
export function findNode(
  cluster: string,
  script: string,
  isWanted: (info: ProcessInfo) => boolean = () => true,
): ProcessInfo | undefined {
  return clusterProcesses(cluster)
    .filter(({ command }) => /(^|\/)node$/.test(command[0] ?? "") && command.some((word) => word.endsWith(script)))
    .filter(isWanted)
    .at(-1);
}
