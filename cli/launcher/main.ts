/**
 * The launcher process: takes its configuration on standard input, starts the cluster, reports on standard output,
 * and ends it on a signal. Attached, it also ends when standard input does: the command that started it is gone.
 */
import { writeSync } from "node:fs";
import { join } from "node:path";
import { splitLines } from "#api/client/lines.ts";
import { messageOf } from "#lib/errors.ts";
import { realClock } from "#lib/clock.ts";
import { createLogger } from "#lib/log.ts";
import type { LauncherReport, LauncherStart } from "../up.ts";
import { boundLogs } from "../../kubelet/logs.ts";
import { Launcher } from "./launcher.ts";

const log = createLogger("launcher");

/** How often logs are held to their bound, in ms. */
const logBoundMs = 30_000;
const startBytesMax = 4 * 1024 * 1024;

const lines = splitLines(process.stdin, startBytesMax);
const first = await lines.next();
if (first.done === true) process.exit(1);
const start = JSON.parse(first.value) as LauncherStart;
void run(start);
if (!start.detach) {
  await lines.next();
  process.kill(process.pid, "SIGTERM");
}

async function run({ config }: LauncherStart): Promise<void> {
  const launcher = new Launcher(config, realClock, log);
  let stopping = false;
  const stop = async (status: number): Promise<void> => {
    if (stopping) return;
    stopping = true;
    await launcher.stop();
    process.exit(status);
  };
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(signal, () => void stop(0));
  try {
    const record = await launcher.start();
    report({ kind: "up", record });
    void keepLogsBounded(config.stateDir);
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

/** Every process appends to its log for ever; each is cut back to its second half when it has grown beyond the bound. */
async function keepLogsBounded(stateDir: string): Promise<void> {
  for (;;) {
    await realClock.sleep(logBoundMs);
    await boundLogs(join(stateDir, "logs")).catch((error: unknown) =>
      log.warn("Logs not bounded", { error: messageOf(error) }),
    );
  }
}

function report(message: LauncherReport): void {
  writeSync(process.stdout.fd, `${JSON.stringify(message)}\n`);
}
