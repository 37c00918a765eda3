/**
 * `wherry dns [-conf Corefile] [-dns.port P]`: the resolver alone, in place of CoreDNS.
 *
 * SIGTERM and SIGINT end it after the lameduck time of `health`; SIGUSR1 reads the Corefile again, as CoreDNS does.
 */
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { messageOf } from "#lib/errors.ts";
import { createLogger, type Level } from "#lib/log.ts";
import { Resolver } from "../dns/main.ts";
import { pluginOrder } from "../dns/registry.ts";
import { CliError } from "./errors.ts";

export interface DNSCommandOptions {
  /** A file, or `stdin`. Default: `Corefile`, and CoreDNS's own default where there is none. */
  readonly conf: string | undefined;
  /** Written when everything is served, removed at the end. */
  readonly pidfile: string | undefined;
  /** As the command line has it. */
  readonly port: string;
  /** Whether it is not said what is served. */
  readonly isQuiet: boolean;
  readonly logLevel: string;
}

const levels: readonly Level[] = ["debug", "info", "warn", "error"];

/** What CoreDNS serves where it has no Corefile (coremain/run.go). */
const defaultCorefile = ". {\n  whoami\n  log\n}\n";

/** Prints the plugins that a Corefile may name. */
export function listPlugins(): void {
  const names = pluginOrder.map(({ name }) => name).sort();
  process.stdout.write(`${names.join("\n")}\n`);
}

/** Serves until a signal. Rejects with CliError. */
export async function dns({ conf, pidfile, port, isQuiet, logLevel }: DNSCommandOptions): Promise<void> {
  if (!/^[0-9]{1,5}$/.test(port) || Number(port) > 65_535)
    throw new CliError("Usage", `Cannot use -dns.port ${port}: wanted a port from 0 to 65535`);
  const level = levels.find((known) => known === logLevel);
  if (level === undefined)
    throw new CliError("Usage", `Cannot use --log-level ${logLevel}: wanted ${levels.join(", ")}`);
  const log = createLogger("dns", level);
  const resolver = new Resolver({
    ...readConf(conf),
    port: Number(port),
    isQuiet,
    log,
    environmentVariable: (name) => process.env[name],
    onFatal(message) {
      log.error(message);
      process.exit(1);
    },
  });
  try {
    await resolver.start();
    if (pidfile !== undefined) writeFileSync(pidfile, `${process.pid}\n`);
  } catch (error) {
    throw new CliError("Failed", messageOf(error), { cause: error });
  }
  process.on("SIGUSR1", () => void resolver.reload());
  await new Promise<void>((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => resolve());
  });
  await resolver.shutDown();
  if (pidfile !== undefined) rmSync(pidfile, { force: true });
  process.exit(0);
}

/** The Corefile's name, and its text where that is no file. */
function readConf(conf: string | undefined): { readonly file: string; readonly text?: string } {
  if (conf === "stdin") return { file: "stdin", text: readFileSync(0, "utf8") };
  if (conf !== undefined) return { file: conf };
  return existsSync("Corefile") ? { file: "Corefile" } : { file: "default Corefile", text: defaultCorefile };
}
