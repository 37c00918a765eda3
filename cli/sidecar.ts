/**
 * `wherry sidecar -c envoy.yaml`: the sidecar alone, in place of Envoy.
 *
 * SIGTERM drains and ends; a second one ends at once. SIGUSR1 opens access logs anew and SIGHUP does nothing, as in
 * Envoy. With --base-id a second one takes the place of the first without a connection refused; with --concurrency
 * several serve side by side.
 */
import { lookup } from "node:dns/promises";
import { connect } from "node:net";
import { dirname, resolve } from "node:path";
import { AdsClient } from "#api/xds/client.ts";
import { type Dialect, deltaDialect } from "#api/xds/discovery.ts";
import { StateOfTheWorld } from "#api/xds/sotw.ts";
import { realClock as clock } from "#lib/clock.ts";
import { expectShortLives } from "#lib/collect.ts";
import { messageOf } from "#lib/errors.ts";
import { descriptorOf, originalDestination } from "#lib/linux.ts";
import { allowTaking } from "#lib/process.ts";
import { systemRandom as random } from "#lib/random.ts";
import { FilterModules } from "#proxy/l7/filters/modules.ts";
import type { SocketAddress } from "#proxy/l7/types.ts";
import type { BootstrapConfig } from "../sidecar/bootstrap/config.ts";
import type { AllStats } from "../sidecar/admin/stats-page.ts";
import { LogLevels, levelWords } from "../sidecar/bootstrap/log-levels.ts";
import { type StandaloneDeps, StandaloneSidecar, adminKey } from "../sidecar/bootstrap/server.ts";
import { type ListeningSocket, serveHandOver } from "../sidecar/hot-restart.ts";
import { CliError } from "./errors.ts";
import { readConfig } from "./sidecar-config.ts";
import {
  type Siblings,
  hotRestartPath,
  inheritedFrom,
  predecessor,
  processCount,
  startSiblings,
} from "./sidecar-processes.ts";
import { heedFirst } from "./sidecar-channel.ts";
import { watchFile } from "./watch-file.ts";

export interface SidecarCommandOptions {
  readonly configPath?: string;
  readonly configYaml?: string;
  readonly logLevel: string;
  readonly concurrency?: string;
  readonly drainTimeS: string;
  readonly serviceCluster?: string;
  readonly serviceNode?: string;
  readonly mode: string;
  readonly baseId?: string;
  readonly restartEpoch?: string;
  /** Of a process beside the first: what it was given. */
  readonly inherit?: string;
}

/** Serves until a signal. Rejects with CliError. */
export async function sidecar(options: SidecarCommandOptions): Promise<void> {
  expectShortLives();
  const drainMs = seconds(options.drainTimeS);
  const count = processCount(options.concurrency);
  const levels = new LogLevels("sidecar", "info");
  if (!levels.set(options.logLevel))
    throw new CliError("Usage", `Cannot use --log-level ${options.logLevel}: wanted ${levelWords}`);
  const { promise: quit, resolve: onQuit } = Promise.withResolvers<void>();
  const config = readConfig(options);
  const deps = depsOf(levels, {
    onQuit,
    drainMs,
    concurrency: count,
    folder: dirname(resolve(options.configPath ?? "config.yaml")),
  });
  if (count > 1 && config.ads?.hasListeners === true)
    throw new CliError("Usage", `Cannot use --concurrency ${count}: listeners come from a control plane, wanted 1`);
  if (options.mode === "validate") {
    const proxy = create(config, deps);
    await failing(proxy.checkModules().then(() => proxy.checkLogs()));
    process.stdout.write(`configuration '${options.configPath ?? "--config-yaml"}' OK\n`);
    await proxy.shutDown({ drainMs: 0 });
    return process.exit(0);
  }
  process.on("SIGHUP", () => deps.log.warn("Ignoring SIGHUP: configuration is replaced by a hot restart (--base-id)"));
  const ending = async (): Promise<void> => Promise.race([quit, signalled()]);
  if (options.inherit === undefined) await serveFirst({ config, deps, options, count, onQuit, ending, drainMs });
  else await serveBeside(config, { ...deps, inherited: inheritedFrom(options.inherit) }, { ending, drainMs });
  process.exit(0);
}

interface FirstProcess {
  readonly config: BootstrapConfig;
  readonly deps: StandaloneDeps;
  readonly options: SidecarCommandOptions;
  /** Processes that serve, this one among them. */
  readonly count: number;
  readonly onQuit: () => void;
  readonly ending: () => Promise<void>;
  readonly drainMs: number;
}

/** Takes the sockets of the one before, where there is one, serves, and hands them to the one that follows. */
async function serveFirst({ config, deps, options, count, onQuit, ending, drainMs }: FirstProcess): Promise<void> {
  const { log } = deps;
  const path = options.baseId === undefined ? undefined : hotRestartPath(options.baseId);
  const before = path === undefined ? undefined : await failing(predecessor(path, options.restartEpoch));
  let siblings: Siblings | undefined;
  const siblingStats = async (): Promise<readonly AllStats[]> => (await siblings?.stats()) ?? [];
  const changeSiblings = (url: string): void => siblings?.change(url);
  const beside = { siblingStats, changeSiblings, inherited: before?.sockets };
  const proxy = await begin(config, { ...deps, ...beside }).catch((error: unknown) => {
    before?.abandon();
    throw error;
  });
  for (const [name, { address, port }] of proxy.addresses) log.info("Listening", { listener: name, address, port });
  if (proxy.adminAddress !== undefined) log.info("Admin pages", { ...proxy.adminAddress });
  const sockets = (): readonly ListeningSocket[] => proxy.sockets().filter(({ key }) => key !== adminKey);
  siblings = startSiblings(count - 1, { sockets, standing: () => proxy.standing, log, clock });
  await before?.live();
  const control =
    path === undefined
      ? undefined
      : await serveHandOver({
          path,
          log,
          pid: process.pid,
          sockets: () => proxy.sockets(),
          allow: allowTaking,
          onReplaced: onQuit,
        });
  process.on("SIGUSR1", () => proxy.reopenLogs());
  await ending();
  control?.close();
  await Promise.all([end(proxy, deps, drainMs), siblings.end()]);
}

/** Serves on the sockets of the first process, and ends with it. Its admin pages are the first one's own. */
async function serveBeside(
  config: BootstrapConfig,
  deps: StandaloneDeps,
  { ending, drainMs }: Pick<FirstProcess, "ending" | "drainMs">,
): Promise<void> {
  const isAlone = new Promise<void>((resolve) => process.stdin.once("close", resolve).resume());
  const proxy = await begin({ ...config, admin: undefined }, deps, async (created) => {
    const stats = (): AllStats | undefined => (created.isLive ? created.ownStats : undefined);
    // Before it starts, so that listeners that the first process has stopped are not bound here.
    await Promise.race([isAlone, heedFirst({ stats, change: (url) => created.change(url) })]);
  });
  process.on("SIGUSR1", () => proxy.reopenLogs());
  await Promise.race([ending(), isAlone]);
  await end(proxy, deps, drainMs);
}

async function begin(
  config: BootstrapConfig,
  deps: StandaloneDeps,
  onCreated: (proxy: StandaloneSidecar) => Promise<void> = async () => undefined,
): Promise<StandaloneSidecar> {
  const proxy = create(config, deps);
  await onCreated(proxy);
  try {
    await proxy.start();
    return proxy;
  } catch (error) {
    await proxy.shutDown({ drainMs: 0 });
    throw new CliError("Failed", messageOf(error), { cause: error });
  }
}

async function end(proxy: StandaloneSidecar, { log }: StandaloneDeps, drainMs: number): Promise<void> {
  log.info("Draining", { connections: proxy.connectionCount });
  process.once("SIGTERM", () => process.exit(1));
  process.once("SIGINT", () => process.exit(1));
  await proxy.shutDown({ drainMs });
}

async function failing<T>(step: Promise<T>): Promise<T> {
  try {
    return await step;
  } catch (error) {
    throw error instanceof CliError ? error : new CliError("Failed", messageOf(error), { cause: error });
  }
}

async function signalled(): Promise<void> {
  await new Promise<void>((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => resolve());
  });
}

function create(config: BootstrapConfig, deps: StandaloneDeps): StandaloneSidecar {
  try {
    return new StandaloneSidecar(config, deps);
  } catch (error) {
    throw new CliError("Failed", messageOf(error), { cause: error });
  }
}

function seconds(text: string): number {
  if (!/^[0-9]{1,6}$/.test(text))
    throw new CliError("Usage", `Cannot use --drain-time-s ${text}: wanted whole seconds`);
  return Number(text) * 1000;
}

/** `folder`: where the modules of filters are. */
function depsOf(
  levels: LogLevels,
  { folder, ...flags }: Pick<StandaloneDeps, "onQuit" | "drainMs" | "concurrency"> & { readonly folder: string },
): StandaloneDeps {
  const { log } = levels;
  return {
    clock,
    random,
    log,
    levels,
    dial: (address, port, options) => connect({ host: address, port, ...options }),
    lookup: (name) => lookup(name, { all: true, order: "verbatim" }),
    originalDst: (socket): SocketAddress => {
      const fd = descriptorOf(socket);
      const found = fd === undefined ? undefined : originalDestination(fd);
      return found ?? { address: socket.localAddress ?? "", port: socket.localPort ?? 0 };
    },
    createADS: (target, node, isDelta) => {
      const createDialect = (): Dialect => (isDelta ? deltaDialect : new StateOfTheWorld());
      return new AdsClient({ target, node, log, clock, random, createDialect });
    },
    ...flags,
    filterModules: new FilterModules({ folder, log, watch: watchFile }),
  };
}
