/** JSON, with what JSON.parse() passes over in silence. Source: RFC 8259. */

/**
 * The value of `text`, or undefined when it is not JSON or when an object has a name twice, of which JSON.parse() keeps
 * the last (RFC 8259 §4: what a reader makes of it differs).
 */
export function parseStrictJSON(text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  return countMembers(value) === countColons(text) ? value : undefined;
}

/** Members of all objects in a value. */
function countMembers(value: unknown): number {
  let count = 0;
  const open: unknown[] = [value];
  for (let one = open.pop(); one !== undefined; one = open.pop()) {
    if (typeof one !== "object" || one === null) continue;
    const members: unknown[] = Object.values(one);
    if (!Array.isArray(one)) count += members.length;
    for (const member of members) open.push(member);
  }
  return count;
}

/** Colons outside of strings in a text that is JSON: each belongs to a member. */
function countColons(text: string): number {
  let count = 0;
  let isInString = false;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 34) isInString = !isInString;
    else if (isInString && code === 92) at++;
    else if (!isInString && code === 58) count++;
  }
  return count;
}
