/**
 * What is wrong with the system that a cluster runs on, or is to run on: programs, kernel, folders, disk, resolver.
 *
 *   preflight.ts, file system ─▶ systemFindings() ─▶ Finding[]
 */
import { accessSync, constants, readFileSync, statfsSync } from "node:fs";
import { dirname } from "node:path";
import { errnoOf, messageOf } from "#lib/errors.ts";
import { dnsUpstreams } from "../dns-upstreams.ts";
import { readLeftover, stateDirOf } from "../launcher/state-dir.ts";
import { type Requirement, probe, realSystem } from "../preflight.ts";
import { type Finding, find, forCluster } from "./finding.ts";

/** Below this a store cannot be sure of its next write, in bytes. */
const diskBytesMin = 1024 * 1024;

export interface SystemReport {
  readonly requirements: readonly Requirement[];
  readonly findings: readonly Finding[];
}

/** Looks at the system, and at what stands in the cluster's state folder. */
export function inspectSystem(env: NodeJS.ProcessEnv, cluster: string): SystemReport {
  const requirements = probe(realSystem(env));
  const dir = stateDirOf(env, cluster);
  const found = [
    ...requirements.flatMap(toFinding),
    ...folderFindings(dir),
    ...resolverFindings(readResolver("/etc/resolv.conf")),
    ...leftoverFindings(dir, cluster),
  ];
  return { requirements, findings: found.map((finding) => forCluster(finding, cluster)) };
}

function toFinding({ code, what, ok, hint }: Requirement): Finding[] {
  if (ok) return [];
  const name = what.replace(/^program /, "");
  const command = /\(((?:run|run as root): [^)]*)\)/.exec(hint)?.[1] ?? /^run: .*/.exec(hint)?.[0];
  const observed = hint.replace(/ ?\([^)]*\)$/, "");
  return [find(code, { kind: code === "ProgramMissing" ? "program" : "", name }, observed, command)];
}

/** The folder itself, or the nearest one above it that exists: that is where it would be made. */
function folderFindings(dir: string): Finding[] {
  const subject = { kind: "folder", name: dir };
  for (let at = dir; ; at = dirname(at)) {
    try {
      accessSync(at, constants.W_OK | constants.X_OK);
      return diskFindings(at);
    } catch (error) {
      if (errnoOf(error) !== "ENOENT" || at === dirname(at))
        return [find("StateFolderUnusable", subject, messageOf(error))];
    }
  }
}

function diskFindings(dir: string): Finding[] {
  const { bavail, bsize } = statfsSync(dir);
  const free = bavail * bsize;
  if (free >= diskBytesMin) return [];
  return [find("DiskFull", { kind: "folder", name: dir }, `${free} bytes are free, wanted ${diskBytesMin}`)];
}

function readResolver(file: string): { readonly text: string } | { readonly problem: string } {
  try {
    return { text: readFileSync(file, "utf8") };
  } catch (error) {
    return { problem: messageOf(error) };
  }
}

function resolverFindings(read: ReturnType<typeof readResolver>): Finding[] {
  const subject = { kind: "file", name: "/etc/resolv.conf" };
  if ("problem" in read) return [find("ResolvConfUnusable", subject, read.problem)];
  if (dnsUpstreams([], read.text).length > 0) return [];
  return [find("ResolvConfUnusable", subject, "no nameserver with an IPv4 address")];
}

/** A record of a launcher that is gone: the cluster ended by a crash, a kill or a power cut. */
function leftoverFindings(dir: string, cluster: string): Finding[] {
  const pid = readLeftover(dir);
  if (pid === undefined) return [];
  return [find("LauncherGone", { kind: "cluster", name: cluster }, `launcher ${pid} is gone`)];
}
