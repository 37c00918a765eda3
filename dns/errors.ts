/** Errors of cluster DNS. */
import { CodedError } from "#lib/errors.ts";

export type DNSCode =
  | "CannotListen" // an address or descriptor cannot be served
  | "AlreadyListening" // listen() was called twice
  | "Corefile" // a configuration is wrong: file, line, what was wanted
  | "ZoneFile"; // a zone file is wrong: file, line

export class DNSError extends CodedError<DNSCode> {}
