/**
 * The command line: one verb a file, loaded when it is used.
 *
 * Exit status: 0 done, 1 failed, 64 wrong usage (sysexits.h EX_USAGE); `sh` and `exec` pass on that of their command.
 * Data goes to standard output, everything else to standard error.
 */
import { Command, CommanderError, Option } from "commander";
import { messageOf } from "#lib/errors.ts";
import { diagnosisCommands } from "./diagnosis/commands.ts";
import { dnsCommands, withTwoDashes } from "./dns-commands.ts";
import { exitStatusOf } from "./errors.ts";
import { outboundPolicies } from "./launcher/egress-policy.ts";
import { proxyCommands } from "./proxy-commands.ts";
import { sidecarCommands } from "./sidecar-commands.ts";
import { systemPath } from "./preflight.ts";
import { telemetryCommands, tracingOptions } from "./telemetry/commands.ts";
import { timingFlags } from "./timing.ts";

const usageStatus = 64;

function collect(value: string, before: string[]): string[] {
  return [...before, value];
}

const nameOption = (): Option => new Option("--name <name>", "cluster").default("default");
const outputOption = (): Option =>
  new Option("-o, --output <format>", "output").choices(["text", "json"]).default("text");
const namespaceOption = (): Option => new Option("-n, --namespace <namespace>", "namespace").default("default");

/** The options of `up` and `demo`. */
function up(command: Command): Command {
  command
    .addOption(nameOption())
    .option("--detach", "return when ready")
    .option("--nodes <count>", "nodes, 1 to 250 (default 2)")
    .option("-p, --publish <target>", "publish [ADDR:]PORT=svc|gateway/[NS/]NAME:PORT on this host", collect, [])
    .option("--images <file>", "image map: which local commands stand for which images", collect, []);
  command
    .addOption(
      new Option("--outbound-traffic-policy <policy>", "what pods may reach outside the cluster")
        .choices(outboundPolicies)
        .default("allow-any"),
    )
    .option("--allow-host-port <port>", "let pods reach this port of 127.0.0.1, as host.wherry.internal", collect, []);
  command.option(
    "--dns-upstream <address>",
    "resolver for outside names, ADDR[:PORT] (default: the host's)",
    collect,
    [],
  );
  tracingOptions(command);
  for (const [flag, value, help] of timingFlags) command.option(flag, help, value);
  return command.addOption(outputOption());
}

/** Flags of `up` that say how to start it, or are compared by what they mean. */
const otherFlags: readonly (string | undefined)[] = ["--name", "--detach", "--output", "--nodes", "--publish"];

/** The flags that shape a cluster, as they were given: flag → value, as JSON. */
function givenFlags(command: Command): Record<string, string> {
  const given = command.options.filter(
    (option) => !otherFlags.includes(option.long) && command.getOptionValueSource(option.attributeName()) === "cli",
  );
  return Object.fromEntries(
    given.map((option) => [option.long, JSON.stringify(command.getOptionValue(option.attributeName()))]),
  );
}

function clusterCommands(program: Command): void {
  up(program.command("up").description("start a cluster")).action(async (options, command) =>
    (await import("./up.ts")).up({ ...options, given: givenFlags(command) }),
  );
  up(
    program.command("demo").description("start a cluster with Bookinfo, sidecars, a gateway and a little load"),
  ).action(async (options, command) => (await import("./demo.ts")).demo({ ...options, given: givenFlags(command) }));
  program
    .command("down")
    .description("stop a cluster")
    .addOption(nameOption())
    .option("--purge", "remove its state, too")
    .addOption(outputOption())
    .action(async (options) => (await import("./down.ts")).down(options));
  program
    .command("status")
    .description("what runs")
    .addOption(nameOption())
    .addOption(outputOption())
    .action(async (options) => (await import("./status.ts")).status(options));
  program
    .command("check")
    .description("whether this system can run a cluster, and whether the cluster is well")
    .addOption(nameOption())
    .addOption(outputOption())
    .action(async (options) => (await import("./check.ts")).check(options));
  program
    .command("kubeconfig")
    .description("print a kubeconfig for kubectl")
    .addOption(nameOption())
    .addOption(outputOption())
    .action(async (options) => (await import("./kubeconfig.ts")).kubeconfig(options));
  program
    .command("sh")
    .description("run a command inside the cluster's network, with its DNS and the search list of the namespace")
    .addOption(nameOption())
    .addOption(namespaceOption())
    .option("--node <node>", "on this node (default node1)")
    .option("--pod <pod>", "in this pod's network")
    .argument("[command...]", "default: a shell")
    .passThroughOptions()
    .action(async (command, options) => (await import("./sh.ts")).sh(command, options));
}

function objectCommands(program: Command): void {
  program
    .command("get")
    .description("show objects")
    .addOption(nameOption())
    .addOption(namespaceOption())
    .option("-A, --all-namespaces", "in all namespaces")
    .option("-l, --selector <selector>", "label selector")
    .addOption(
      new Option("-o, --output <format>", "output").choices(["table", "wide", "json", "yaml", "name"]).default("table"),
    )
    .argument("<kind>", "pods, svc, deploy, …; also kind/name")
    .argument("[names...]")
    .action(async (kind, names, options) => (await import("./get.ts")).get(kind, names, options));
  program
    .command("apply")
    .description("create objects or bring them to the state of a file")
    .addOption(nameOption())
    .addOption(namespaceOption())
    .option("-f, --filename <file>", "YAML or JSON file, folder, or - for standard input", collect, [])
    .addOption(outputOption())
    .action(async (options) => (await import("./apply.ts")).apply(options));
  program
    .command("delete")
    .description("delete objects")
    .addOption(nameOption())
    .addOption(namespaceOption())
    .option("-f, --filename <file>", "YAML or JSON file, folder, or -", collect, [])
    .option("-l, --selector <selector>", "label selector")
    .option("--grace-period <seconds>", "time to end by itself")
    .option("--no-wait", "do not wait until it is gone")
    .option("--ignore-not-found", "what is not there is well")
    .addOption(outputOption())
    .argument("[kind]")
    .argument("[names...]")
    .action(async (kind, names, options) => (await import("./delete.ts")).remove(kind, names, options));
  program
    .command("logs")
    .description("print a pod's output")
    .addOption(nameOption())
    .addOption(namespaceOption())
    .option("-c, --container <container>", "container")
    .option("-f, --follow", "go on as it grows")
    .option("--tail <lines>", "only the last lines")
    .addOption(outputOption())
    .argument("<pod>", "pod, or kind/name of its owner")
    .action(async (pod, options) => (await import("./logs.ts")).logs(pod, options));
}

function build(): Command {
  const program = new Command("wherry")
    .description("A compact Kubernetes and service mesh: no Docker, no VM, no root")
    .version("0.1.0")
    .enablePositionalOptions()
    .showHelpAfterError("(see: wherry --help)")
    .addHelpText(
      "after",
      "\nExamples:\n  wherry demo            Bookinfo behind a mesh, on http://127.0.0.1:8080/productpage\n  wherry get pods -A     what runs\n  wherry sh -- curl -s http://productpage:9080/productpage\n  wherry down            stop; --purge removes its objects, too",
    );
  program.exitOverride();
  program.configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, "wherry: ")) });
  clusterCommands(program);
  objectCommands(program);
  diagnosisCommands(program);
  telemetryCommands(program);
  dnsCommands(program);
  proxyCommands(program);
  sidecarCommands(program);
  for (const command of program.commands)
    command.exitOverride().showHelpAfterError(`(see: wherry ${command.name()} --help)`);
  return program;
}

process.env["PATH"] = systemPath(process.env);
try {
  await build().parseAsync(withTwoDashes(process.argv));
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : usageStatus;
  } else {
    process.stderr.write(`wherry: ${messageOf(error)}\n`);
    if (process.env["DEBUG"] !== undefined && error instanceof Error) process.stderr.write(`${error.stack}\n`);
    process.exitCode = exitStatusOf(error);
  }
}
