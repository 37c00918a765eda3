/**
 * The launcher process: takes its configuration over IPC, starts the cluster, reports, and ends it on a signal.
 * Attached, it also ends when the command that started it goes.
 */
import { messageOf } from "#lib/errors.ts";
import { realClock } from "#lib/clock.ts";
import { createLogger } from "#lib/log.ts";
import type { LauncherReport } from "../up.ts";
import { Launcher, type LauncherConfig } from "./launcher.ts";

const log = createLogger("launcher");

process.once("message", (message) => {
  const { config, detach } = message as { config: LauncherConfig; detach: boolean };
  void run(config, detach);
});

async function run(config: LauncherConfig, detach: boolean): Promise<void> {
  const launcher = new Launcher(config, realClock, log);
  let stopping = false;
  const stop = async (status: number): Promise<void> => {
    if (stopping) return;
    stopping = true;
    await launcher.stop();
    process.exit(status);
  };
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(signal, () => void stop(0));
  if (!detach) process.once("disconnect", () => void stop(0));
  try {
    const record = await launcher.start();
    report({ kind: "up", record });
    log.info("Cluster is up", { cluster: config.cluster, nodes: config.nodes, api: record.apiAddress });
    await launcher.ended;
    if (!stopping) log.error("The cluster's init ended", { cluster: config.cluster });
    await stop(1);
  } catch (error) {
    log.error("Cannot start", { error: messageOf(error) });
    report({ kind: "failed", message: messageOf(error) });
    await stop(1);
  }
}

function report(message: LauncherReport): void {
  if (process.connected) process.send?.(message);
}
