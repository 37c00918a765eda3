/** What the command line's codes mean and what helps. */
import type { MessageTable } from "#lib/messages.ts";
import type { CliCode } from "./errors.ts";

export const cliMessages: MessageTable<CliCode> = {
  Usage: { sentence: "The command line is wrong: exit status 64", hint: "run: wherry --help" },
  Failed: { sentence: "What was asked for could not be done: exit status 1", hint: "run: wherry check" },
  Unsupported: { sentence: "This system lacks something: exit status 1", hint: "run: wherry check" },
};
