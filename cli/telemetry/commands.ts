/** What figures and traces add to the command line: the command prometheus, and the flags of traces on up and demo. */
import { type Command, Option } from "commander";
import { propagations } from "../../sidecar/tracing-config.ts";
import { tracingFlags } from "./tracing-options.ts";

/** Adds the flags of traces; they fill TracingOptions. */
export function tracingOptions(command: Command): void {
  for (const [flag, help] of tracingFlags) command.option(flag, help);
  const propagation = new Option("--trace-propagation <headers>", "headers that carry a trace (default w3c)");
  command.addOption(propagation.choices(propagations));
}

/** Adds the command. */
export function telemetryCommands(program: Command): void {
  program
    .command("prometheus")
    .description("run Debian's Prometheus in the cluster's network, on a port of this host")
    .addOption(new Option("--name <name>", "cluster").default("default"))
    .option("--port <port>", "port of 127.0.0.1; 0: the system chooses (default 9090)")
    .option("--detach", "return when it is ready; it then ends with the cluster")
    .addOption(new Option("-o, --output <format>", "output").choices(["text", "json"]).default("text"))
    .action(async (options) => (await import("../prometheus.ts")).prometheus(options));
}
