/**
 * The processes of `wherry sidecar`: those beside the first (--concurrency), and the one before it (hot restart).
 *
 *   first process ─▶ listening sockets ─▶ spawned ones (inherited descriptors), which end with the first
 *   --base-id ─▶ unix socket of the user's own ─▶ sidecar/hot-restart.ts
 *
 * All accept from the same sockets, so that the kernel gives a connection to one that is not busy, and none is lost
 * while one ends. Processes rather than threads: each has its own heap and its own collector.
 */
import { type ChildProcess, type StdioOptions, spawn } from "node:child_process";
import { lstatSync, mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Clock } from "#lib/clock.ts";
import { takeDescriptor } from "#lib/linux.ts";
import type { Logger } from "#lib/log.ts";
import { type ListeningSocket, type TakenOver, takeOver } from "../sidecar/hot-restart.ts";
import type { AllStats } from "../sidecar/admin/stats-page.ts";
import { CliError } from "./errors.ts";
import { SiblingChannels } from "./sidecar-channel.ts";

/** Most processes of one sidecar. */
const processesMax = 64;
/** Time before a process that ended is started again, in ms. */
const againMs = 1000;
/** The first descriptor behind the standard streams. */
const firstFd = 3;

/** What --concurrency says. */
export function processCount(text: string | undefined): number {
  const count = text === undefined ? 1 : Number(text);
  if (!Number.isInteger(count) || count < 0 || count > processesMax || text === "")
    throw new CliError("Usage", `Cannot use --concurrency ${text}: wanted a number up to ${processesMax}`);
  return Math.max(count, 1);
}

/** What --inherit says in a process that the first one made: the keys of its descriptors, in order. */
export function inheritedFrom(text: string): ReadonlyMap<string, number> {
  const keys = JSON.parse(text) as readonly string[];
  return new Map(keys.map((key, at) => [key, firstFd + at] as const));
}

export interface Siblings {
  /** What each of them has counted, as far as they say, and what those had that ended. */
  stats(): Promise<readonly AllStats[]>;
  /** Has each of them change what a POST to the admin page of this path and query changes. */
  change(url: string): void;
  /** Tells all to drain; resolves when they have ended. */
  end(): Promise<void>;
}

export interface SiblingOptions {
  /** What the first process listens on now; none: there is nothing to serve. */
  readonly sockets: () => readonly ListeningSocket[];
  /** What POSTs to admin pages have changed so far, as their paths and queries. */
  readonly standing: () => readonly string[];
  readonly log: Logger;
  readonly clock: Clock;
}

/** Starts `count` processes like this one on its sockets, and again what ends by itself. */
export function startSiblings(count: number, { sockets: listening, standing, log, clock }: SiblingOptions): Siblings {
  const children = new Map<ChildProcess, Promise<void>>();
  const channels = new SiblingChannels({ clock, log });
  let isEnding = false;
  const begin = (): void => {
    if (isEnding) return;
    const sockets = listening();
    if (sockets.length === 0) return log.info("Starting no other process: no listener is left");
    const inherit = ["--inherit", JSON.stringify(sockets.map(({ key }) => key))];
    const [, script = "", ...args] = process.argv;
    // Its standard input ends with this process, and so does it.
    const stdio: StdioOptions = ["pipe", "inherit", "inherit", ...sockets.map(({ fd }) => fd), "ipc"];
    const child = spawn(process.execPath, [...process.execArgv, script, ...args, ...inherit], { stdio });
    const { promise: ended, resolve } = Promise.withResolvers<void>();
    const channel = channels.open(child);
    channel.begin(standing());
    children.set(child, ended);
    child.on("error", (error) => log.error("Cannot start another process", { error: error.message }));
    child.on("close", (code, signal) => {
      children.delete(child);
      channels.close(channel);
      resolve();
      if (isEnding) return;
      log.error("Another process ended: starting it again", { status: code ?? signal ?? "" });
      clock.after(againMs, begin);
    });
  };
  for (let at = 0; at < count; at++) begin();
  if (children.size > 0) log.info("Serving by several processes", { processes: children.size + 1 });
  return {
    stats: async () => channels.stats(),
    change: (url) => channels.change(url),
    end: async () => {
      isEnding = true;
      for (const child of children.keys()) child.kill("SIGTERM");
      await Promise.all(children.values());
    },
  };
}

/** The unix socket of a base id, in a folder that only this user may open. */
export function hotRestartPath(baseId: string): string {
  if (!/^[0-9]{1,9}$/.test(baseId)) throw new CliError("Usage", `Cannot use --base-id ${baseId}: wanted a number`);
  const uid = process.getuid?.() ?? 0;
  const folder = join(tmpdir(), `wherry-${uid}`);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const { mode, uid: owner } = lstatSync(folder);
  if (owner !== uid || (mode & 0o077) !== 0)
    throw new CliError("Failed", `Cannot use ${folder}: others may open it, wanted a folder of mode 700 of this user`);
  return join(folder, `sidecar-${baseId}`);
}

/** The process before, as --restart-epoch wants it: 0 none, more one, nothing either. */
export async function predecessor(path: string, epoch: string | undefined): Promise<TakenOver | undefined> {
  if (epoch !== undefined && !/^[0-9]{1,9}$/.test(epoch))
    throw new CliError("Usage", `Cannot use --restart-epoch ${epoch}: wanted a number`);
  const taken = await takeOver(path, takeDescriptor);
  if (epoch === undefined || Number(epoch) > 0 === (taken !== undefined)) return taken;
  taken?.abandon();
  const found = taken === undefined ? "no sidecar has this --base-id" : "a sidecar has this --base-id already";
  throw new CliError("Failed", `Cannot start with --restart-epoch ${epoch}: ${found}`);
}
