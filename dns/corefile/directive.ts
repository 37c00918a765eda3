/**
 * One line of a Corefile with its block, and how plugins read arguments from it.
 *
 *   Corefile ─▶ parse.ts ─▶ Directive ─▶ plugins/*: setup()
 *
 * Every complaint names file and line, what stands there and what was wanted.
 */
import { parseDuration } from "#lib/duration.ts";
import { toReverseZones } from "../address.ts";
import { DNSError } from "../errors.ts";
import { toKey } from "../wire/name.ts";

export interface Directive {
  readonly name: string;
  readonly args: readonly string[];
  /** Undefined without braces. */
  readonly block: readonly Directive[] | undefined;
  /** `Corefile:12` */
  readonly at: string;
}

/** Ends the reading of a configuration. */
export function complain({ at, name }: Pick<Directive, "at" | "name">, problem: string): never {
  throw new DNSError("Corefile", `Cannot use ${name} at ${at}: ${problem}`);
}

/** The directive's only argument; `what` is wanted in its place. */
export function oneArg(directive: Directive, what: string): string {
  const [arg] = directive.args;
  if (arg === undefined || directive.args.length !== 1)
    complain(directive, `${countOf(directive.args)}, wanted ${what}`);
  return arg;
}

/** Complains of arguments or a block where there must be none. */
export function noArgs(directive: Directive): void {
  if (directive.args.length > 0) complain(directive, `${countOf(directive.args)}, wanted none`);
}

function countOf(args: readonly string[]): string {
  return args.length === 0 ? "no argument" : `arguments ${args.join(" ")}`;
}

/** Complains of the options of a block that are not in `known`. */
export function onlyOptions(directive: Directive, known: readonly string[]): readonly Directive[] {
  const block = directive.block ?? [];
  for (const option of block) {
    if (!known.includes(option.name)) {
      const wanted = known.length === 0 ? "no options" : known.join(", ");
      complain({ at: option.at, name: directive.name }, `unknown option "${option.name}", wanted ${wanted}`);
    }
  }
  return block;
}

export interface Range {
  readonly min: number;
  readonly max: number;
}

/** A whole number within `range`. */
export function numberOf(directive: Directive, text: string, { min, max }: Range): number {
  const number = Number(text);
  if (!/^[0-9]+$/.test(text) || number < min || number > max)
    complain(directive, `"${text}", wanted a whole number from ${min} to ${max}`);
  return number;
}

/** A duration as Go writes it, in ms. */
export function durationOf(directive: Directive, text: string): number {
  const ms = parseDuration(text);
  return ms ?? complain(directive, `"${text}", wanted a duration such as 5s or 1m30s`);
}

/** Seconds, as a number or a duration. */
export function secondsOf(directive: Directive, text: string, range: Range): number {
  return /^[0-9]+$/.test(text) ? numberOf(directive, text, range) : Math.floor(durationOf(directive, text) / 1000);
}

/** Keys of zones; `10.0.0.0/8` stands for its reverse zones. Without any: those of the server block. */
export function zonesOf(
  directive: Directive,
  texts: readonly string[],
  otherwise: readonly string[],
): readonly string[] {
  return texts.length === 0 ? otherwise : texts.flatMap((text) => zoneKeysOf(directive, text));
}

/** The keys that one zone of a Corefile stands for. */
export function zoneKeysOf(directive: Pick<Directive, "at" | "name">, text: string): readonly string[] {
  if (text.includes("/")) {
    return (toReverseZones(text) ?? complain(directive, `"${text}", wanted a zone or a range such as 10.0.0.0/8`)).map(
      (zone) => toKey(zone) ?? "\0",
    );
  }
  return [toKey(text) ?? complain(directive, `"${text}", wanted a zone such as example.org`)];
}

/** A regular expression; Go's inline flag `(?i)` is taken. */
export function regexOf(directive: Directive, text: string): RegExp {
  try {
    const isInsensitive = text.startsWith("(?i)");
    return new RegExp((isInsensitive ? text.slice(4) : text).replaceAll("(?P<", "(?<"), isInsensitive ? "i" : "");
  } catch {
    // The engine's own message names no place in the file.
    return complain(directive, `"${text}", wanted a regular expression`);
  }
}
