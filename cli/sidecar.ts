/**
 * `wherry sidecar -c envoy.yaml`: the sidecar alone, in place of Envoy.
 *
 * SIGTERM drains and ends; a second one ends at once. SIGUSR1 opens access logs anew, as in Envoy.
 */
import { lookup } from "node:dns/promises";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { AdsClient } from "#api/xds/client.ts";
import { realClock as clock } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import { descriptorOf, originalDestination } from "#lib/linux.ts";
import { systemRandom as random } from "#lib/random.ts";
import type { SocketAddress } from "#proxy/l7/types.ts";
import { type BootstrapConfig, parseBootstrap } from "../sidecar/bootstrap/config.ts";
import { LogLevels } from "../sidecar/bootstrap/log-levels.ts";
import { type StandaloneDeps, StandaloneSidecar } from "../sidecar/bootstrap/server.ts";
import { CliError } from "./errors.ts";

export interface SidecarCommandOptions {
  readonly configPath?: string;
  readonly configYaml?: string;
  readonly logLevel: string;
  readonly concurrency?: string;
  readonly drainTimeS: string;
  readonly serviceCluster?: string;
  readonly serviceNode?: string;
  readonly mode: string;
}

/** Serves until a signal. Rejects with CliError. */
export async function sidecar(options: SidecarCommandOptions): Promise<void> {
  const drainMs = seconds(options.drainTimeS);
  refuseConcurrency(options.concurrency);
  const levels = new LogLevels("sidecar", "info");
  if (!levels.set(options.logLevel))
    throw new CliError("Usage", `Cannot use --log-level ${options.logLevel}: wanted debug, info, warning or error`);
  const { promise: quit, resolve: onQuit } = Promise.withResolvers<void>();
  const proxy = create(readConfig(options), depsOf(levels, onQuit));
  if (options.mode === "validate") {
    process.stdout.write(`configuration '${options.configPath ?? "--config-yaml"}' OK\n`);
    await proxy.shutDown({ drainMs: 0 });
    return process.exit(0);
  }
  try {
    await proxy.start();
  } catch (error) {
    await proxy.shutDown({ drainMs: 0 });
    throw new CliError("Failed", messageOf(error), { cause: error });
  }
  for (const [name, { address, port }] of proxy.addresses)
    levels.log.info("Listening", { listener: name, address, port });
  if (proxy.adminAddress !== undefined) levels.log.info("Admin pages", { ...proxy.adminAddress });
  process.on("SIGUSR1", () => proxy.reopenLogs());
  await Promise.race([quit, signalled()]);
  levels.log.info("Draining", { connections: proxy.connectionCount });
  process.once("SIGTERM", () => process.exit(1));
  process.once("SIGINT", () => process.exit(1));
  await proxy.shutDown({ drainMs });
  process.exit(0);
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

function readConfig({ configPath, configYaml, serviceNode, serviceCluster }: SidecarCommandOptions): BootstrapConfig {
  if (configPath === undefined && configYaml === undefined)
    throw new CliError("Usage", "Cannot start sidecar: no configuration, wanted -c FILE or --config-yaml TEXT");
  try {
    const file = configPath === undefined ? [] : [readFileSync(configPath, "utf8")];
    const texts = configYaml === undefined ? file : [...file, configYaml];
    return parseBootstrap(texts, { serviceNode, serviceCluster });
  } catch (error) {
    throw new CliError("Failed", messageOf(error), { cause: error });
  }
}

function seconds(text: string): number {
  if (!/^[0-9]{1,6}$/.test(text))
    throw new CliError("Usage", `Cannot use --drain-time-s ${text}: wanted whole seconds`);
  return Number(text) * 1000;
}

function refuseConcurrency(text: string | undefined): void {
  if (text === undefined || text === "0" || text === "1") return;
  throw new CliError("Usage", `Cannot use --concurrency ${text}: one thread serves, wanted 1`);
}

function depsOf(levels: LogLevels, onQuit: () => void): StandaloneDeps {
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
    createADS: (target, node) => new AdsClient({ target, node, log, clock, random }),
    onQuit,
  };
}
