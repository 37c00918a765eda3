/**
 * Control groups of containers (cgroup v2): what they may use, and whether the kernel ended one for want of memory.
 *
 *   <highest group that is ours to write>/wherry-<cluster>-<node>/<pod uid>/<container>/
 *
 * They can be had by root, and by an ordinary user below a group that systemd has delegated to him. Elsewhere there are
 * none, `refusal` says why; limits of memory are then watched (`memory-watch.ts`), others are not enforced. Groups do not go
 * with the cluster's namespaces: `wherry down` removes them once they are empty, and so does the next start of the node.
 * Source: Documentation/admin-guide/cgroup-v2.rst.
 */
import { spawnSync } from "node:child_process";
import { constants, accessSync, existsSync, mkdirSync, readdirSync, rmdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { messageOf } from "#lib/errors.ts";
import { readOptional } from "./pod-dirs.ts";
import type { ResourceLimits } from "./runtime.ts";

const controllers = ["cpu", "memory"];
/** The kernel counts CPU in slices of this length, in µs. */
const periodUs = 100_000;

export class Cgroups {
  readonly #root: string | undefined;
  /** Why there are none; undefined when there are. */
  readonly refusal: string | undefined;

  private constructor(root: string | undefined, refusal: string | undefined) {
    this.#root = root;
    this.refusal = refusal;
  }

  /** Without any. */
  static none(refusal: string): Cgroups {
    return new Cgroups(undefined, refusal);
  }

  /** Over a folder that is a group of ours. */
  static at(root: string): Cgroups {
    return new Cgroups(root, undefined);
  }

  /** Finds the highest group below which we may make groups, and makes one named `name` there. */
  static find(name: string): Cgroups {
    const mounted = cgroup2Mount(readOptional("/proc/self/mountinfo") ?? "");
    if (mounted === undefined) return Cgroups.none("no cgroup v2 file system is mounted");
    const own = /^0::(\/.*)$/m.exec(readOptional("/proc/self/cgroup") ?? "")?.[1] ?? "/";
    let refusal = `cgroup v2 at ${mounted} does not offer ${controllers.join(" and ")}`;
    for (const group of ancestors(own)) {
      const parent = join(mounted, group);
      const offered = readOptional(join(parent, "cgroup.controllers"))?.split(/\s+/) ?? [];
      if (!controllers.every((controller) => offered.includes(controller))) continue;
      try {
        return Cgroups.at(claim(parent, name));
      } catch (error) {
        refusal = messageOf(error);
      }
    }
    return Cgroups.none(refusal);
  }

  /** The group of a container, with its limits. Undefined when there are no groups. */
  make(podUid: string, name: string, limits: ResourceLimits | undefined): string | undefined {
    if (this.#root === undefined) return undefined;
    const pod = join(this.#root, podUid);
    const group = join(pod, name);
    mkdirSync(pod, { recursive: true });
    enable(pod);
    removeGroup(group);
    mkdirSync(group, { recursive: true });
    for (const [file, text] of Object.entries(limitFiles(limits))) writeFileSync(join(group, file), text);
    return group;
  }

  /** The group of a container that has one. */
  groupOf(podUid: string, name: string): string | undefined {
    const group = this.#root === undefined ? undefined : join(this.#root, podUid, name);
    return group === undefined || readOptional(join(group, "cgroup.procs")) === undefined ? undefined : group;
  }

  /** Whether the kernel ended something of the container because it needed too much memory. */
  wasOutOfMemory(podUid: string, name: string): boolean {
    const group = this.groupOf(podUid, name);
    const events = group === undefined ? undefined : readOptional(join(group, "memory.events"));
    return Number(/^oom_kill (\d+)$/m.exec(events ?? "")?.[1] ?? 0) > 0;
  }

  /** Removes the groups of a pod whose containers have ended. */
  remove(podUid: string): void {
    if (this.#root !== undefined) removeGroup(join(this.#root, podUid));
  }
}

/**
 * The groups of a cluster's nodes, whichever node made them. `processes`: pids whose groups and the groups above them
 * are searched; one that has gone is well.
 */
export function findClusterGroups(cluster: string, processes: readonly (number | "self")[]): string[] {
  const mounted = cgroup2Mount(readOptional("/proc/self/mountinfo") ?? "");
  if (mounted === undefined) return [];
  const parents = processes.flatMap((pid) => {
    const own = /^0::(\/.*)$/m.exec(readOptional(`/proc/${pid}/cgroup`) ?? "")?.[1];
    return own === undefined ? [] : ancestors(own).map((group) => join(mounted, group));
  });
  return clusterGroupsIn([...new Set(parents)], cluster);
}

/** Those of the groups below `parents` that nodes of `cluster` have made; not those of a cluster `<cluster>-node1`. */
export function clusterGroupsIn(parents: readonly string[], cluster: string): string[] {
  const prefix = `wherry-${cluster}-`;
  return parents.flatMap((parent) =>
    foldersIn(parent)
      .filter((name) => name.startsWith(prefix) && /^node\d+$/.test(name.slice(prefix.length)))
      .map((name) => join(parent, name)),
  );
}

/** Removes groups with those below them. Whether all of them are gone: one that still has processes stays. */
export function removeGroups(groups: readonly string[]): boolean {
  for (const group of groups) removeGroup(group);
  return !groups.some((group) => existsSync(group));
}

/** What is written into a group's files for `limits`. Pure. */
export function limitFiles(limits: ResourceLimits | undefined): Record<string, string> {
  const { milliCPU, memory, milliCPURequest } = limits ?? {};
  return {
    ...(milliCPU === undefined
      ? {}
      : { "cpu.max": `${Math.max(1000, Math.ceil((milliCPU * periodUs) / 1000))} ${periodUs}` }),
    ...(milliCPURequest === undefined ? {} : { "cpu.weight": String(weightOf(milliCPURequest)) }),
    // All of the container ends, not the greediest process alone: so it is started again as a whole.
    ...(memory === undefined ? {} : { "memory.max": String(memory), "memory.oom.group": "1" }),
  };
}

/** 1 to 10000, as the reference maps CPU shares to weights. */
function weightOf(milliCPU: number): number {
  const shares = Math.min(Math.max(2, Math.floor((milliCPU * 1024) / 1000)), 262_144);
  return 1 + Math.floor(((shares - 2) * 9999) / 262_142);
}

/** Where cgroup v2 is mounted, by mountinfo. Pure. */
export function cgroup2Mount(mountinfo: string): string | undefined {
  const lines = mountinfo.split("\n").filter((line) => line.includes(" - cgroup2 "));
  return lines[0]?.split(" ")[4];
}

/** `/a/b` ─▶ `/`, `/a`, `/a/b`. */
function ancestors(path: string): string[] {
  const found = [path];
  for (let at = path; at !== "/"; at = dirname(at)) found.unshift(dirname(at));
  return found;
}

/** Makes our group below `parent`, empty, and tries it out. Throws with what was refused. */
function claim(parent: string, name: string): string {
  const group = join(parent, name);
  for (const file of [".", "cgroup.procs", "cgroup.subtree_control"]) accessSync(join(parent, file), constants.W_OK);
  enable(parent);
  removeGroup(group);
  mkdirSync(group, { recursive: true });
  enable(group);
  const trial = join(group, "trial");
  mkdirSync(trial, { recursive: true });
  const moved = spawnSync("/bin/dash", ["-c", 'echo 0 >"$0"', join(trial, "cgroup.procs")], { encoding: "utf8" });
  rmdirSync(trial);
  if (moved.status === 0) return group;
  rmdirSync(group);
  throw new Error(moved.stderr.trim());
}

/** Hands our controllers on to the groups below. */
function enable(group: string): void {
  const file = join(group, "cgroup.subtree_control");
  const enabled = readOptional(file)?.split(/\s+/) ?? [];
  const missing = controllers.filter((controller) => !enabled.includes(controller));
  if (missing.length > 0) writeFileSync(file, missing.map((controller) => `+${controller}`).join(" "));
}

/** Removes a group and those below it, the deepest first. One that still has processes stays. */
function removeGroup(group: string): void {
  if (!existsSync(group)) return;
  for (const name of foldersIn(group)) removeGroup(join(group, name));
  try {
    rmdirSync(group);
  } catch {
    return; // Its last process is about to go: the next start removes it.
  }
}

function foldersIn(folder: string): string[] {
  try {
    const entries = readdirSync(folder, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  } catch {
    return []; // There is no such folder, or none that we may read: nothing there is ours.
  }
}
