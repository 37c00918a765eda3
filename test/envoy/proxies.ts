/**
 * The two proxies under comparison, started with the same bootstrap: Envoy as a process, Wherry in this one.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { delimiter, join } from "node:path";
import { realClock } from "#lib/clock.ts";
import { seededRandom } from "#lib/random.ts";
import { parseBootstrap } from "../../sidecar/bootstrap/config.ts";
import { LogLevels } from "../../sidecar/bootstrap/log-levels.ts";
import { StandaloneSidecar } from "../../sidecar/bootstrap/server.ts";
import type { Fields } from "./types.ts";

export interface RunningProxy {
  /** By the name of the listener. */
  readonly ports: ReadonlyMap<string, number>;
  /** Of the admin pages, ADDRESS:PORT. */
  readonly admin: string;
  /** Resolves when it has ended and its access logs are written. */
  stop(): Promise<void>;
}

/** The binary that WHERRY_ENVOY names, or `envoy` on the PATH; undefined: there is none. */
export function findEnvoy(): string | undefined {
  const named = process.env["WHERRY_ENVOY"];
  const folders = (process.env["PATH"] ?? "").split(delimiter);
  return [...(named === undefined ? [] : [named]), ...folders.map((folder) => join(folder, "envoy"))].find(
    isExecutable,
  );
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false; // Not here, or not ours to run.
  }
}

export async function startEnvoy(binary: string, bootstrap: Fields, dir: string): Promise<RunningProxy> {
  const [config, adminPath] = [join(dir, "envoy.json"), join(dir, "admin")];
  writeFileSync(config, JSON.stringify(bootstrap));
  const flags = ["-c", config, "--admin-address-path", adminPath, "--disable-hot-restart", "--concurrency", "1"];
  const child = spawn(binary, [...flags, "-l", "error", "--file-flush-interval-msec", "20"], {
    stdio: ["ignore", "inherit", "inherit"],
  });
  try {
    const admin = await eventually(child, () => readAddress(adminPath));
    await eventually(child, async () => {
      if ((await get(admin, "/ready")) !== "LIVE\n") throw new Error("not ready");
    });
    const ports = (await get(admin, "/listeners"))
      .trim()
      .split("\n")
      .map((line) => [line.slice(0, line.indexOf("::")), Number(line.slice(line.lastIndexOf(":") + 1))] as const);
    return { ports: new Map(ports), admin, stop: () => stopChild(child) };
  } catch (error) {
    await stopChild(child);
    throw error;
  }
}

/** Envoy makes the file first and writes into it then: an empty or half one is none yet. */
function readAddress(path: string): string {
  const text = readFileSync(path, "utf8");
  if (!/^127\.0\.0\.1:\d+$/.test(text)) throw new Error(`Cannot read an address from ${path}: not written yet`);
  return text;
}

async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGTERM");
  await ended;
}

/** Tries until `look` does not throw; gives up when the process has ended or after 20 s. */
async function eventually<T>(child: ChildProcess, look: () => T | Promise<T>): Promise<T> {
  for (let turn = 0; ; turn++) {
    try {
      return await look();
    } catch (error) {
      if (child.exitCode !== null || turn > 400) throw error;
      await realClock.sleep(50);
    }
  }
}

async function get(admin: string, path: string): Promise<string> {
  return (await fetch(`http://${admin}${path}`, { headers: { connection: "close" } })).text();
}

export async function startWherry(bootstrap: Fields): Promise<RunningProxy> {
  const levels = new LogLevels("sidecar", "error");
  const sidecar = new StandaloneSidecar(parseBootstrap([JSON.stringify(bootstrap)]), {
    clock: realClock,
    random: seededRandom(1),
    log: levels.log,
    levels,
    dial: (address, port, options) => connect({ host: address, port, ...options }),
    // Every name is an address here.
    lookup: (name) => Promise.resolve([{ address: name, family: 4 }]),
    originalDst: () => ({ address: "127.0.0.1", port: 0 }),
    createADS: () => {
      throw new Error("No control plane here");
    },
    onQuit: () => undefined,
  });
  await sidecar.start();
  const { address, port: adminPort } = sidecar.adminAddress!;
  return {
    ports: new Map([...sidecar.addresses].map(([name, { port }]) => [name, port] as const)),
    admin: `${address}:${adminPort}`,
    stop: () => sidecar.shutDown({ drainMs: 0 }),
  };
}
