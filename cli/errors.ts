/**
 * Errors that end a command: the sentence is for the user, the code picks the exit status.
 */
import { CodedError } from "#lib/errors.ts";

export type CliCode =
  | "Usage" // wrong words on the command line: exit 64
  | "Failed" // could not do what was asked: exit 1
  | "Unsupported"; // this system lacks something: exit 1

export class CliError extends CodedError<CliCode> {}

/** The exit status for anything thrown: 64 for wrong usage, 1 for the rest. */
export function exitStatusOf(error: unknown): number {
  return error instanceof CliError && error.code === "Usage" ? 64 : 1;
}
