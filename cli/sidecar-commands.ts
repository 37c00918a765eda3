/**
 * The command `sidecar` and its flags, which are Envoy's. The sidecar itself is loaded when it is used.
 */
import { type Command, Option } from "commander";
import { levelWords } from "../sidecar/bootstrap/log-levels.ts";

/** Adds `wherry sidecar`. */
export function sidecarCommands(program: Command): void {
  program
    .command("sidecar")
    .description("the sidecar alone, with an Envoy v3 bootstrap, in place of Envoy")
    .option("-c, --config-path <file>", "Envoy bootstrap, YAML or JSON")
    .option("--config-yaml <text>", "Envoy bootstrap as text; merged over --config-path")
    .option("-l, --log-level <level>", levelWords, "info")
    .option("--concurrency <processes>", "processes that serve side by side", "1")
    .option("--drain-time-s <seconds>", "time for what is in flight when it ends, or listeners are drained", "600")
    .option("--service-cluster <name>", "node.cluster for the control plane")
    .option("--service-node <id>", "node.id for the control plane")
    .option("--base-id <number>", "a second sidecar of this number takes the place of the first (hot restart)")
    .option("--restart-epoch <number>", "0: the first of its --base-id; more: there must be one to replace")
    .addOption(new Option("--inherit <keys>", "of a process beside the first").hideHelp())
    .addOption(
      new Option("--mode <mode>", "serve, or only read the configuration")
        .choices(["serve", "validate"])
        .default("serve"),
    )
    .addOption(withoutEffect("--component-log-level <levels>"))
    .addOption(withoutEffect("--cpuset-threads"))
    .addOption(withoutEffect("--disable-hot-restart"))
    .addOption(withoutEffect("--drain-strategy <name>"))
    .addOption(withoutEffect("--file-flush-interval-msec <ms>"))
    .addOption(withoutEffect("--file-flush-min-size-kb <kb>"))
    .addOption(withoutEffect("--local-address-ip-version <version>"))
    .addOption(withoutEffect("--log-format <format>"))
    .addOption(withoutEffect("--log-format-escaped"))
    .addOption(withoutEffect("--parent-shutdown-time-s <seconds>"))
    .addOption(withoutEffect("--skip-deprecated-logs"))
    .action(async (options) => (await import("./sidecar.ts")).sidecar(options));
}

/** A flag of Envoy's that changes nothing of what is served here: taken, so that a container's arguments carry over. */
function withoutEffect(flags: string): Option {
  return new Option(flags, "taken as Envoy's, without effect").hideHelp();
}
