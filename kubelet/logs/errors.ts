/** Errors of reading logs; the message goes to the user as it is. */
import { CodedError } from "#lib/errors.ts";

export class LogError extends CodedError<
  | "NotFound" // no such pod or container
  | "BadRequest" // a parameter that cannot be read, or a container that has no log yet
> {}
