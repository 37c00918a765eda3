/**
 * The breaker of consecutive failures that a Service asks for by annotations. Pure.
 *
 *   annotations ─▶ readFailureAccrual() ─▶ what is asked for, or what is wrong
 *
 * Names, values and defaults are Linkerd's (reference "Circuit Breaking"), whose mode `unified` is not there.
 */
import { type FieldError, invalidValue } from "../schema/field-error.ts";

export interface FailureAccrual {
  /** Failures in a row that open it, >= 1. */
  readonly maxFailures: number;
  /** The first penalty, and the longest, in ms. */
  readonly minPenaltyMs: number;
  readonly maxPenaltyMs: number;
  /** Of a penalty, this part more at most, by chance: 0 to 1. */
  readonly jitterRatio: number;
}

type Annotations = Readonly<Record<string, string>> | undefined;

const mode = "balancer.linkerd.io/failure-accrual";
const parameter = (name: string): string => `${mode}-consecutive-${name}`;
const unitMs: ReadonlyMap<string, number> = new Map([
  ["ms", 1],
  ["s", 1000],
  ["m", 60_000],
  ["h", 3_600_000],
]);

/** Undefined where none is asked for. Throws nothing: what is wrong is in `failureAccrualErrors()`. */
export function readFailureAccrual(annotations: Annotations): FailureAccrual | undefined {
  if (annotations?.[mode] === undefined || failureAccrualErrors(annotations).length > 0) return undefined;
  return valuesOf(annotations);
}

export function failureAccrualErrors(annotations: Annotations): FieldError[] {
  const text = annotations?.[mode];
  if (annotations === undefined || text === undefined) return [];
  const path = (name: string): string => `metadata.annotations[${name}]`;
  if (text !== "consecutive") return [invalidValue(path(mode), text, 'must be "consecutive"')];
  const { maxFailures, minPenaltyMs, maxPenaltyMs, jitterRatio } = valuesOf(annotations);
  const checks: readonly (readonly [name: string, isGood: boolean, wanted: string])[] = [
    ["max-failures", Number.isInteger(maxFailures) && maxFailures >= 1, "must be a whole number, 1 or more"],
    ["min-penalty", minPenaltyMs > 0, "must be a duration above zero, such as 1s"],
    ["max-penalty", maxPenaltyMs >= minPenaltyMs, "must be a duration, not below the min-penalty"],
    ["jitter-ratio", jitterRatio >= 0 && jitterRatio <= 1, "must be a number between 0 and 1"],
  ];
  return checks.flatMap(([name, isGood, wanted]) =>
    isGood ? [] : [invalidValue(path(parameter(name)), annotations[parameter(name)], wanted)],
  );
}

/** NaN for what is no number. */
function valuesOf(annotations: Readonly<Record<string, string>>): FailureAccrual {
  const text = (name: string, usual: string): string => annotations[parameter(name)] ?? usual;
  return {
    maxFailures: numberOf(text("max-failures", "7")),
    minPenaltyMs: durationOf(text("min-penalty", "1s")),
    maxPenaltyMs: durationOf(text("max-penalty", "60s")),
    jitterRatio: numberOf(text("jitter-ratio", "0.5")),
  };
}

function numberOf(text: string): number {
  return /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
}

function durationOf(text: string): number {
  const [, digits = "", unit = ""] = /^(\d{1,9})(ms|s|m|h)$/.exec(text) ?? [];
  return digits === "" ? Number.NaN : Number(digits) * (unitMs.get(unit) ?? Number.NaN);
}
