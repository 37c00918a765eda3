/**
 * What a cluster must leave alone: the host's namespaces, interfaces, mounts and firewall.
 */
import { execFileSync } from "node:child_process";
import { isDeepStrictEqual } from "node:util";

export interface HostState {
  readonly namespaces: readonly string[];
  readonly links: string;
  readonly mounts: string;
  /** Empty where this user may not list it. */
  readonly rules: string;
}

const path = `${process.env["PATH"]}:/usr/sbin:/sbin`;

function run(program: string, ...args: string[]): string {
  return execFileSync(program, args, { encoding: "utf8", env: { ...process.env, PATH: path } });
}

/** Namespaces of init's user apart, for other programs come and go. */
export function readHost(): HostState {
  const namespaces = run("lsns", "-n", "-o", "NS,TYPE")
    .trim()
    .split("\n")
    .map((line) => line.trim())
    .sort();
  const rules = process.getuid?.() === 0 ? run("nft", "list", "ruleset") : "";
  return { namespaces, links: run("ip", "-o", "link"), mounts: run("findmnt", "-rn"), rules };
}

/** Waits until the host is as `before`, at most `ms`; the last state seen. */
export async function settleHost(before: HostState, ms: number): Promise<HostState> {
  const untilMs = performance.now() + ms;
  for (;;) {
    const now = readHost();
    if (isDeepStrictEqual(now, before) || performance.now() > untilMs) return now;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
