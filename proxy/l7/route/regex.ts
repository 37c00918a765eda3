/**
 * Regular expressions of RE2's syntax, as Envoy has them → RegExp. Pure.
 *
 *   config/*.ts ─▶ compileRegex(), compileSubstitution() ─▶ match.ts, rewrite.ts
 *
 * RE2 has no back-references and no look-around, so that V8's linear-time engine can take over when back-tracking runs
 * away: a path from outside must not hang the process. What V8 would read otherwise than RE2 is refused.
 * Source: RE2's syntax page; envoy.type.matcher.v3.RegexMatcher, RegexMatchAndSubstitute.
 */
import { setFlagsFromString } from "node:v8";
import { messageOf } from "#lib/errors.ts";

type Fail = (why: string) => Error;

setFlagsFromString("--enable-experimental-regexp-engine-on-excessive-backtracks");

/** Back-references, look-around, and escapes or classes that mean something else in V8. */
const foreign = /\\[1-9kAzZQECpPuxX]|\(\?(?!:|P<|<[A-Za-z_])|\[\[:/;

/** An expression that must match the whole text. */
export function compileWholeRegex(source: string, fail: Fail): RegExp {
  return compile(source, (body) => `^(?:${body})$`, { flags: "", fail });
}

/** An expression that is looked for everywhere in a text, to replace what it matches. */
export function compileGlobalRegex(source: string, fail: Fail): RegExp {
  return compile(source, (body) => body, { flags: "g", fail });
}

function compile(
  source: string,
  wrap: (body: string) => string,
  { flags, fail }: { flags: string; fail: Fail },
): RegExp {
  // Flags for the whole expression stand at its start in RE2 and beside it in V8.
  const inline = /^\(\?([ims]+)\)/.exec(source);
  const body = (inline === null ? source : source.slice(inline[0].length)).replaceAll("(?P<", "(?<");
  if (foreign.test(body.replaceAll("\\\\", "")))
    throw fail(`regex ${JSON.stringify(source)} has a group or reference that RE2 lacks, wanted RE2 syntax`);
  try {
    return new RegExp(wrap(body), flags + (inline?.[1] ?? ""));
  } catch (error) {
    throw fail(`regex ${JSON.stringify(source)} does not compile: ${messageOf(error)}`);
  }
}

/** RE2's `\1` and `\\` → String.replace's `$1` and `\`. */
export function compileSubstitution(text: string, fail: Fail): string {
  let compiled = "";
  for (let at = 0; at < text.length; at++) {
    const character = text[at]!;
    if (character === "$") compiled += "$$";
    else if (character !== "\\") compiled += character;
    else {
      const next = text[++at] ?? "";
      if (next === "\\") compiled += "\\";
      else if (next === "0") compiled += "$&";
      else if (/[1-9]/.test(next)) compiled += `$${next}`;
      else throw fail(`substitution ${JSON.stringify(text)} has \\ without a digit behind it`);
    }
  }
  return compiled;
}
