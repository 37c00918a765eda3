/**
 * The command `proxy` and its flags, which are kube-proxy's. The proxy itself is loaded when it is used.
 */
import { type Command, Option } from "commander";
import { fields } from "../proxy/kube/fields.ts";

/** Adds `wherry proxy`. */
export function proxyCommands(program: Command): void {
  const command = program
    .command("proxy")
    .description("the node proxy alone, in place of kube-proxy, against any Kubernetes API")
    .option("--config <file>", "KubeProxyConfiguration; flags come first")
    .option("--master <url>", "the API server, in place of the kubeconfig's")
    .option("--cleanup", "remove the tables and addresses, and end");
  for (const { flag, kind, help = "" } of fields) {
    if (flag === undefined) continue;
    // As in Go, a flag alone is true.
    command.addOption(kind === "bool" ? new Option(`--${flag} [bool]`, help) : new Option(`--${flag} <value>`, help));
  }
  command
    .option("-v, --v <level>", "4 and more: debug", "0")
    .action(async (options) => (await import("./proxy.ts")).proxy(options));
}
