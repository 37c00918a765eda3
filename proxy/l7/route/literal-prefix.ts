/**
 * The text that every match of a regular expression starts with. Pure.
 *
 *   config/match.ts (safe_regex) ─▶ literalPrefix() ─▶ PathKey ─▶ route-index.ts
 *
 * Shorter than it could be where that is simpler, "" where in doubt; never longer: a route would be passed over.
 */

const quantifiers = "*+?{";
const others = ".^$()[]}|";

/** `source` is in RE2's syntax and matches the whole text. */
export function literalPrefix(source: string): string {
  let at = source.startsWith("^") ? 1 : 0;
  let prefix = "";
  for (; at < source.length; at++) {
    const character = source[at]!;
    if (others.includes(character)) break;
    if (quantifiers.includes(character)) {
      // What it says is of the character before.
      prefix = prefix.slice(0, -1);
      break;
    }
    if (character !== "\\") {
      prefix += character;
      continue;
    }
    const escaped = source[at + 1] ?? "";
    // Letters and digits are classes, bytes or assertions.
    if (escaped === "" || /[\w]/.test(escaped)) break;
    prefix += escaped;
    at++;
  }
  return hasChoice(source, at) ? "" : prefix;
}

/** Another expression may match instead of the whole one: a "|" that is in no group. True also where in doubt. */
function hasChoice(source: string, from: number): boolean {
  let depth = 0;
  for (let at = from; at < source.length; at++) {
    const character = source[at];
    if (character === "\\") at++;
    else if (character === "(") depth++;
    else if (character === ")") depth--;
    else if (character === "|" && depth <= 0) return true;
    else if (character === "[") {
      // A bracket in front of all else is one of the class's, to some.
      if (/^\[\^?\]/.test(source.slice(at, at + 3))) return true;
      for (at++; at < source.length && source[at] !== "]"; at++) if (source[at] === "\\") at++;
    }
  }
  return false;
}
