/**
 * What a reader of logs asks for: PodLogOptions as query parameters. Pure. Follows k8s.io/api core/v1 PodLogOptions.
 */
import { LogError } from "./errors.ts";

export interface LogOptions {
  /** Go on as it grows, until the container has ended. */
  readonly follow: boolean;
  /** The instance before the present one. */
  readonly previous: boolean;
  /** Each line begins with its time. */
  readonly timestamps: boolean;
  /** Only the last lines, an integer >= 0. */
  readonly tailLines: number | undefined;
  /** Stop after so many bytes, an integer >= 1. */
  readonly limitBytes: number | undefined;
  /** Only lines of this time or later; wall clock, in ms. */
  readonly sinceMs: number | undefined;
}

/** Throws LogError naming the parameter. */
export function parseLogOptions(query: URLSearchParams, nowMs: number): LogOptions {
  const seconds = integer(query, "sinceSeconds", 1);
  const time = query.get("sinceTime");
  if (seconds !== undefined && time !== null)
    throw new LogError("BadRequest", "at most one of `sinceTime` or `sinceSeconds` may be specified");
  return {
    follow: bool(query, "follow"),
    previous: bool(query, "previous"),
    timestamps: bool(query, "timestamps"),
    tailLines: integer(query, "tailLines", 0),
    limitBytes: integer(query, "limitBytes", 1),
    sinceMs: seconds === undefined ? (time === null ? undefined : moment(time)) : nowMs - seconds * 1000,
  };
}

function bool(query: URLSearchParams, name: string): boolean {
  const text = query.get(name);
  if (text === null) return false;
  // Go's strconv.ParseBool, and an empty value as true, as the API server reads it.
  if (/^(1|t|T|true|TRUE|True)?$/.test(text)) return true;
  if (/^(0|f|F|false|FALSE|False)$/.test(text)) return false;
  throw new LogError("BadRequest", `Cannot read ${name}: ${JSON.stringify(text)}, wanted true or false`);
}

function integer(query: URLSearchParams, name: string, min: number): number | undefined {
  const text = query.get(name);
  if (text === null) return undefined;
  if (/^\d{1,15}$/.test(text) && Number(text) >= min) return Number(text);
  throw new LogError("BadRequest", `Cannot read ${name}: ${JSON.stringify(text)}, wanted an integer >= ${min}`);
}

function moment(text: string): number {
  const at = /^\d{4}-\d\d-\d\dT/.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(at)) return at;
  throw new LogError("BadRequest", `Cannot read sinceTime: ${JSON.stringify(text)}, wanted RFC 3339`);
}
