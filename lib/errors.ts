/**
 * Coded errors: one class per component extends CodedError with a closed union of codes.
 * Callers compare `code`, people read `message` (action, object, colon, observed, wanted, hint).
 */

/** Base of every expected failure. `code` is stable and documented beside the component's union. */
export class CodedError<Code extends string = string> extends Error {
  readonly code: Code;

  constructor(code: Code, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/** The message of anything thrown, for logs and for the end of a sentence. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The system error code (`ECONNREFUSED`, …) of anything thrown, or undefined. */
export function errnoOf(error: unknown): string | undefined {
  if (typeof error !== "object" || error === null || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}
