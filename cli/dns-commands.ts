/**
 * The command `dns` and its flags: CoreDNS's own, which it writes with one dash, and ours. The resolver itself is
 * loaded when it is used.
 *
 * Follows: CoreDNS coremain/run.go; Go's package flag (`-quiet`, `--quiet`, `-quiet=true`, `-p 53`, `-p=53`).
 */
import type { Command } from "commander";
import { CliError } from "./errors.ts";

/** Adds `wherry dns`. Its version is the program's. */
export function dnsCommands(program: Command): void {
  program
    .command("dns")
    .description("the resolver alone, with a Corefile, in place of CoreDNS")
    .option("--conf <file>", "Corefile, or stdin (also -conf; default: Corefile, or whoami where there is none)")
    .option("--dns.port <port>", "port of server blocks that name none (also -dns.port, -p)", "53")
    .option("--pidfile <file>", "where the process writes its id while it runs (also -pidfile)")
    .option("--plugins", "list the plugins, and end (also -plugins)")
    .option("--quiet", "do not say what is served (also -quiet)")
    .version(program.version() ?? "", "--version", "say which version this is (also -version)")
    .option("--log-level <level>", "debug, info, warn or error", "info")
    .action(async (options) => {
      const { dns, listPlugins } = await import("./dns.ts");
      if (options.plugins === true) return listPlugins();
      const { conf, pidfile, quiet, logLevel } = options;
      return dns({ conf, pidfile, port: options["dns.port"], isQuiet: quiet === true, logLevel });
    });
}

const withValue = /^-(conf|dns\.port|p|pidfile)(=|$)/;
const withoutValue = /^--?(plugins|quiet|version)(?:=(.*))?$/;
const gone = /^--?(cpu|log|alsologtostderr|logtostderr|log_dir|log_backtrace_at|stderrthreshold|v|vmodule)(=|$)/;

/** Flags that CoreDNS had, and what to do instead. */
const instead: Readonly<Record<string, string>> = {
  cpu: "a process uses one core; for more start several, each with bind addresses of its own",
  log: "name the plugin log in the Corefile",
};

/**
 * The words of a command line with CoreDNS's flags of `dns` written as our parser wants them. Pure. Throws CliError
 * Usage for flags that CoreDNS no longer has either.
 */
export function withTwoDashes(words: readonly string[]): string[] {
  if (words[2] !== "dns") return [...words];
  return words.flatMap((word) => {
    const [, old] = gone.exec(word) ?? [];
    if (old !== undefined)
      throw new CliError(
        "Usage",
        `Cannot use -${old}: ${instead[old] ?? "logs go to standard error, see --log-level"}`,
      );
    const [, flag, value] = withoutValue.exec(word) ?? [];
    if (flag !== undefined) return isTrue(flag, value) ? [`--${flag}`] : [];
    return withValue.test(word) ? [`-${word.replace(/^-p(?==|$)/, "-dns.port")}`] : [word];
  });
}

/** As Go's strconv.ParseBool has it. */
function isTrue(flag: string, value = "true"): boolean {
  if (/^(1|t|T|true|TRUE|True)$/.test(value)) return true;
  if (/^(0|f|F|false|FALSE|False)$/.test(value)) return false;
  throw new CliError("Usage", `Cannot use -${flag}=${value}: wanted true or false`);
}
