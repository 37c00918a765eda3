/** The commands that say what is wrong: explain and bug-report. status and check are with the cluster's commands. */
import { type Command, Option } from "commander";

function collect(value: string, before: string[]): string[] {
  return [...before, value];
}

const nameOption = (): Option => new Option("--name <name>", "cluster").default("default");
const outputOption = (): Option =>
  new Option("-o, --output <format>", "output").choices(["text", "json"]).default("text");

/** Adds them. */
export function diagnosisCommands(program: Command): void {
  program
    .command("explain")
    .description("what would become of a request, or what a code means")
    .addOption(nameOption())
    .addOption(new Option("-n, --namespace <namespace>", "namespace of the pod").default("default"))
    .option("--from <pod>", "the pod that sends it: a name, deploy/NAME, an app, or gateway/NAME")
    .option("-H, --header <header>", "header of the request, 'name: value'", collect, [])
    .addOption(outputOption())
    .argument("<method>", "GET, POST, …; or a code such as ErrImagePull")
    .argument("[url]", "http://HOST[:PORT]/PATH")
    .action(async (method, url, options) => (await import("../explain.ts")).explain(method, url, options));
  program
    .command("bug-report")
    .description("write versions, states, events and logs into a file, without secrets")
    .addOption(nameOption())
    .option("-f, --file <file>", "where to write (default: wherry-bug-report-NAME.tar.gz)")
    .addOption(outputOption())
    .action(async (options) => (await import("../bug-report.ts")).bugReport(options));
}
