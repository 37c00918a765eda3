/**
 * Texts with %OPERATORS% → templates. Pure.
 *
 *   config (access log format, header value, local reply body) ─▶ compileTemplate() ─▶ Template ─▶ render(record)
 *
 *   %OPERATOR%   %OPERATOR(argument)%   %OPERATOR(argument):length%   %%
 *
 * Invariant: an operator that is not known here is refused when the configuration is read, never printed.
 * Source: Envoy, "Access logging: Format Strings, Command Operators".
 */
import { asksForId } from "./message-operators.ts";
import { compileOperator } from "./operators.ts";
import type { Fail, Operator, OperatorValue, Template } from "./types.ts";

/** `%NAME%`, `%NAME(argument)%`, `%NAME(argument):20%`. */
const operatorPattern = /%([A-Z0-9_]+)(?:\(([^)]*)\))?(?::(\d+))?%/y;

/** The template of `text`. `fail` makes the error for an operator that is not known. */
export function compileTemplate(text: string, fail: Fail): Template {
  const parts: (string | Operator)[] = [];
  let literal = "";
  let asksRequestId = false;
  let at = 0;
  while (at < text.length) {
    if (text[at] !== "%") {
      literal += text[at++];
      continue;
    }
    if (text[at + 1] === "%") {
      literal += "%";
      at += 2;
      continue;
    }
    operatorPattern.lastIndex = at;
    const found = operatorPattern.exec(text);
    if (found === null) throw fail(`% at ${at} starts no operator, wanted %NAME%, %NAME(argument)% or %%`);
    if (literal !== "") parts.push(literal);
    literal = "";
    if (asksForId(found[1]!, found[2])) asksRequestId = true;
    const operator = compileOperator(found[1]!, found[2], fail);
    parts.push(found[3] === undefined ? operator : truncated(operator, Number(found[3])));
    at = operatorPattern.lastIndex;
  }
  if (literal !== "" || parts.length === 0) parts.push(literal);
  return toTemplate(parts, asksRequestId);
}

function toTemplate(parts: readonly (string | Operator)[], asksRequestId: boolean): Template {
  const [first] = parts;
  const constant = parts.length === 1 && typeof first === "string" ? first : undefined;
  return {
    constant,
    parts,
    asksRequestId,
    render(record, missing) {
      if (constant !== undefined) return constant;
      let text = "";
      for (const part of parts) text += typeof part === "string" ? part : textOf(part(record), missing);
      return text;
    },
  };
}

function truncated(operator: Operator, length: number): Operator {
  return (record) => {
    const value = operator(record);
    return typeof value === "string" ? value.slice(0, length) : value;
  };
}

function textOf(value: OperatorValue, missing: string): string {
  if (value === undefined) return missing;
  return typeof value === "object" ? JSON.stringify(sorted(value)) : String(value);
}

/** Envoy writes the fields of metadata in order. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, one]) => [key, sorted(one)]));
}
