/**
 * What is known of the machine that a node stands for: its size, its names, and what is left of it.
 *
 *   /proc, /etc, statfs ─▶ readMachine() ─▶ node-status.ts (pure)
 *
 * Invariant: what cannot be read is left out, never made up. All nodes of a cluster on one machine report that machine.
 */
import { statfsSync } from "node:fs";
import { dirname } from "node:path";
import { arch, cpus, freemem, release, totalmem } from "node:os";
import { readOptional } from "../pod-dirs.ts";

export interface Machine {
  readonly cpus: number;
  /** In bytes, as all amounts here. */
  readonly memory: number;
  readonly memoryAvailable: number;
  /** Of the file system that holds logs. */
  readonly storage: number;
  readonly storageAvailable: number;
  readonly processes: number;
  readonly processesMax: number;
  /** As Go names it: `amd64`, `arm64`. */
  readonly architecture: string;
  readonly kernelVersion: string;
  readonly osImage: string;
  readonly machineID: string;
  readonly systemUUID: string;
  readonly bootID: string;
}

/** Reads it anew. `folder` lies on the file system that counts. */
export function readMachine(folder: string): Machine {
  const { blocks, bavail, bsize } = storageOf(folder);
  return {
    cpus: cpus().length,
    memory: totalmem(),
    memoryAvailable: memoryAvailable(readOptional("/proc/meminfo") ?? "") ?? freemem(),
    storage: blocks * bsize,
    storageAvailable: bavail * bsize,
    processes: Number(/\d+\/(\d+)/.exec(readOptional("/proc/loadavg") ?? "")?.[1] ?? 0),
    processesMax: Number(readOptional("/proc/sys/kernel/pid_max") ?? 0),
    architecture: goArchitecture(arch()),
    kernelVersion: release(),
    osImage: osImageOf(readOptional("/etc/os-release") ?? ""),
    machineID: readOptional("/etc/machine-id")?.trim() ?? "",
    // Readable by the host's root only.
    systemUUID: readOptional("/sys/class/dmi/id/product_uuid")?.trim() ?? "",
    bootID: readOptional("/proc/sys/kernel/random/boot_id")?.trim() ?? "",
  };
}

/** Of the folder, or where it will be made. */
function storageOf(folder: string): { blocks: number; bavail: number; bsize: number } {
  try {
    return statfsSync(folder);
  } catch {
    const parent = dirname(folder);
    // Not even the root can be asked: nothing is known of it.
    return parent === folder ? { blocks: 0, bavail: 0, bsize: 0 } : storageOf(parent);
  }
}

/** MemAvailable of /proc/meminfo, in bytes; undefined when it is not there. */
export function memoryAvailable(meminfo: string): number | undefined {
  const kibibytes = /^MemAvailable:\s+(\d+) kB$/m.exec(meminfo)?.[1];
  return kibibytes === undefined ? undefined : Number(kibibytes) * 1024;
}

/** The name that a distribution gives itself in os-release(5). */
export function osImageOf(osRelease: string): string {
  const quoted = /^PRETTY_NAME=(.*)$/m.exec(osRelease)?.[1] ?? "";
  return quoted.replace(/^["'](.*)["']$/, "$1") || "Linux";
}

function goArchitecture(name: string): string {
  return name === "x64" ? "amd64" : name;
}
