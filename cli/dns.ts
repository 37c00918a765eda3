/**
 * `wherry dns -conf Corefile [-dns.port P]`: the resolver alone, in place of CoreDNS.
 *
 * SIGTERM and SIGINT end it after the lameduck time of `health`; SIGUSR1 reads the Corefile again, as CoreDNS does.
 */
import { messageOf } from "#lib/errors.ts";
import { createLogger, type Level } from "#lib/log.ts";
import { Resolver } from "../dns/main.ts";
import { CliError } from "./errors.ts";

export interface DNSCommandOptions {
  readonly conf: string;
  /** As the command line has it. */
  readonly port: string;
  readonly logLevel: string;
}

const levels: readonly Level[] = ["debug", "info", "warn", "error"];

/** Serves until a signal. Rejects with CliError. */
export async function dns({ conf, port, logLevel }: DNSCommandOptions): Promise<void> {
  if (!/^[0-9]{1,5}$/.test(port) || Number(port) > 65_535)
    throw new CliError("Usage", `Cannot use -dns.port ${port}: wanted a port from 0 to 65535`);
  const level = levels.find((known) => known === logLevel);
  if (level === undefined)
    throw new CliError("Usage", `Cannot use --log-level ${logLevel}: wanted ${levels.join(", ")}`);
  const log = createLogger("dns", level);
  const resolver = new Resolver({
    file: conf,
    port: Number(port),
    log,
    environmentVariable: (name) => process.env[name],
    onFatal(message) {
      log.error(message);
      process.exit(1);
    },
  });
  try {
    await resolver.start();
  } catch (error) {
    throw new CliError("Failed", messageOf(error), { cause: error });
  }
  process.on("SIGUSR1", () => void resolver.reload());
  await new Promise<void>((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => resolve());
  });
  await resolver.shutDown();
  process.exit(0);
}
