/**
 * What filters give back, held to its types: a module may be JavaScript, which no compiler has read. Pure.
 *
 *   modules.ts ─▶ wantMaker(), wantFilter()       pass.ts ─▶ filterOf(), wantVerdict(), wantEndVerdict()
 *   context.ts ─▶ wantBytes(), wantStatus()
 *
 * Invariant: what passes here can be used without another look; anything else is thrown, and fails its own request.
 */
import { CodedError } from "#lib/errors.ts";
import type { DataVerdict, EndVerdict, HttpFilter, HttpFilterFactory } from "../filter.ts";

export type FilterErrorCode =
  | "NOT_LOADED" // a module that cannot be imported
  | "NOT_A_FILTER" // a module without configure(), or one that makes something else than filters
  | "BAD_VERDICT" // a filter's method that gives what is no verdict
  | "BAD_STATUS"; // an answer with a status that no final response has

export class FilterError extends CodedError<FilterErrorCode> {}

export type FilterMaker = () => HttpFilter | undefined;

/** What configure() gave. */
export function wantMaker(given: unknown): FilterMaker {
  if (typeof given === "function") return given as FilterMaker;
  throw new FilterError("NOT_A_FILTER", `Cannot use filter: configure() gave ${kindOf(given)}, wanted a function`);
}

/** What a maker gave. */
export function wantFilter(given: unknown): HttpFilter | undefined {
  if (given === undefined || (typeof given === "object" && given !== null && !(given instanceof Promise))) return given;
  throw new FilterError("NOT_A_FILTER", `Cannot use filter: ${kindOf(given)} was made, wanted an object or undefined`);
}

/** What the factory makes for a request; what it cannot make fails the request when its turn comes. */
export function filterOf(factory: HttpFilterFactory): HttpFilter | undefined {
  try {
    return factory.create();
  } catch (error) {
    return {
      onRequestHeaders() {
        throw error;
      },
    };
  }
}

export function wantVerdict(given: unknown): DataVerdict {
  if (given === "continue" || given === "stop" || Buffer.isBuffer(given)) return given;
  const kind = kindOf(given);
  throw new FilterError("BAD_VERDICT", `Cannot go on: ${kind} was given, wanted "continue", "stop" or a Buffer`);
}

/** Of a method for the end. */
export function wantEndVerdict(given: unknown): EndVerdict {
  return given === undefined || given === "stop" ? given : wantBytes(given);
}

export function wantBytes(given: unknown): Buffer {
  if (Buffer.isBuffer(given)) return given;
  throw new FilterError("BAD_VERDICT", `Cannot go on: ${kindOf(given)} was given, wanted a Buffer`);
}

/** Of a final response: an interim one is not a filter's to give. */
export function wantStatus(given: unknown): number {
  if (Number.isInteger(given) && (given as number) >= 200 && (given as number) <= 599) return given as number;
  throw new FilterError("BAD_STATUS", `Cannot answer with status ${String(given)}, wanted 200 to 599`);
}

function kindOf(given: unknown): string {
  if (!(given instanceof Promise)) return given === null ? "null" : `something of type ${typeof given}`;
  // The request fails because it is a promise: what it is rejected with must not end the process.
  given.catch(() => undefined);
  return "a promise";
}
