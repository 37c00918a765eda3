/** Errors of cluster DNS. */
import { CodedError } from "#lib/errors.ts";

export type DNSCode =
  | "CannotListen" // an address or descriptor cannot be served
  | "AlreadyListening"; // listen() was called twice

export class DNSError extends CodedError<DNSCode> {}
