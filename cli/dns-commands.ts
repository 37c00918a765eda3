/**
 * The command `dns` and its flags, which CoreDNS writes with one dash. The resolver itself is loaded when it is used.
 */
import type { Command } from "commander";

/** Adds `wherry dns`. */
export function dnsCommands(program: Command): void {
  program
    .command("dns")
    .description("the resolver alone, with a Corefile, in place of CoreDNS")
    .requiredOption("--conf <file>", "Corefile (also -conf)")
    .option("--dns.port <port>", "port of server blocks that name none (also -dns.port)", "53")
    .option("--log-level <level>", "debug, info, warn or error", "info")
    .action(async (options) =>
      (await import("./dns.ts")).dns({ conf: options.conf, port: options["dns.port"], logLevel: options.logLevel }),
    );
}

/** The words of a command line with `-conf`, `-dns.port` and `-p` of `dns` written as our parser wants them. Pure. */
export function withTwoDashes(words: readonly string[]): string[] {
  if (words[2] !== "dns") return [...words];
  return words.map((word) =>
    /^-(conf|dns\.port|p)(=|$)/.test(word) ? `-${word.replace(/^-p(?==|$)/, "-dns.port")}` : word,
  );
}
