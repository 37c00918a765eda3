/**
 * API errors: Kubernetes Status objects, as values to send and as errors to throw.
 * Reasons and codes follow apimachinery meta/v1 types.go.
 */
import { CodedError } from "#lib/errors.ts";

export const statusCodes = {
  Unauthorized: 401,
  Forbidden: 403,
  NotFound: 404,
  MethodNotAllowed: 405,
  NotAcceptable: 406,
  AlreadyExists: 409,
  Conflict: 409,
  Expired: 410,
  RequestEntityTooLarge: 413,
  UnsupportedMediaType: 415,
  Invalid: 422,
  TooManyRequests: 429,
  BadRequest: 400,
  InternalError: 500,
  ServiceUnavailable: 503,
  Timeout: 504,
} as const;

export type StatusReason = keyof typeof statusCodes;

export interface StatusCause {
  readonly reason:
    | "FieldValueInvalid"
    | "FieldValueRequired"
    | "FieldValueNotSupported"
    | "FieldValueDuplicate"
    | "FieldValueForbidden"
    | "FieldValueTypeInvalid"
    | "FieldValueTooLong"
    | "FieldManagerConflict"
    | "DisruptionBudget"
    | "UnexpectedServerResponse";
  readonly field: string;
  readonly message: string;
}

export interface Status {
  readonly kind: "Status";
  readonly apiVersion: "v1";
  readonly metadata: Readonly<Record<string, never>>;
  readonly status: "Success" | "Failure";
  readonly message?: string;
  readonly reason?: StatusReason;
  readonly details?: {
    readonly name?: string;
    readonly group?: string;
    readonly kind?: string;
    readonly uid?: string;
    readonly causes?: readonly StatusCause[];
    readonly retryAfterSeconds?: number;
  };
  readonly code: number;
}

/** A failed API request. `status` is what goes over the wire. */
export class StatusError extends CodedError<StatusReason> {
  readonly status: Status;

  constructor(reason: StatusReason, message: string, details?: Status["details"]) {
    super(reason, message);
    this.status = {
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Failure",
      message,
      reason,
      // Always there: kubectl reads into it without looking.
      details: details ?? {},
      code: statusCodes[reason],
    };
  }
}

export function isNotFound(error: unknown): boolean {
  return error instanceof StatusError && error.code === "NotFound";
}

/** For `catch`: an object that went in the meantime gives undefined; every other error stays one. */
export function ignoreNotFound(error: unknown): undefined {
  if (!isNotFound(error)) throw error;
  return undefined;
}

export function isAlreadyExists(error: unknown): boolean {
  return error instanceof StatusError && error.code === "AlreadyExists";
}

/** A stale resourceVersion or a failed precondition: read again and retry. */
export function isConflict(error: unknown): boolean {
  return error instanceof StatusError && error.code === "Conflict";
}

/** The revision asked for was compacted away: list again. */
export function isExpired(error: unknown): boolean {
  return error instanceof StatusError && error.code === "Expired";
}
