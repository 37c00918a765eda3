/** Errors of the node proxy. */
import { CodedError } from "#lib/errors.ts";

export type ProxyCode =
  | "InvalidConfig" // a fact of the node is malformed
  | "CommandMissing" // nft or conntrack is not installed
  | "CommandFailed"; // the program refused its input, or did not end in time

export class ProxyError extends CodedError<ProxyCode> {}
