/**
 * What JSON.parse does not say of a text: how deep it nests, and which fields stand in it twice.
 *
 *   body ─▶ inspectJSON() ─▶ { deepest, duplicates } ─▶ body.ts (refuses depth), read-body.ts (reports duplicates)
 *
 * Pure, one pass, no recursion: its memory is bounded by the depth at which it stops, and by the findings it keeps.
 * For a text that is no JSON the result says nothing of use; JSON.parse refuses that text.
 */

/** More findings are dropped. */
const duplicatesMax = 50;

export interface Inspection {
  /** Deepest nesting of objects and lists; when it is more than the limit, the rest was not looked at. */
  readonly deepest: number;
  /** Paths as `spec.containers[0].name`. */
  readonly duplicates: readonly string[];
}

/** An object or a list that the scanner is in. */
interface Frame {
  /** Undefined: a list. */
  readonly keys: Set<string> | undefined;
  /** The key, or the index, of the value that comes next or is being read. */
  at: string | number;
  /** Whether the next string is a key. */
  wantsKey: boolean;
}

/** Looks through a JSON text, no deeper than `depthMax` levels. */
export function inspectJSON(text: string, depthMax: number): Inspection {
  const stack: Frame[] = [];
  const duplicates = new Set<string>();
  let deepest = 0;
  for (let index = 0; index < text.length; index++) {
    const top = stack.at(-1);
    switch (text.charCodeAt(index)) {
      case 0x7b: // {
        stack.push({ keys: new Set(), at: "", wantsKey: true });
        break;
      case 0x5b: // [
        stack.push({ keys: undefined, at: 0, wantsKey: false });
        break;
      case 0x7d: // }
      case 0x5d: // ]
        stack.pop();
        break;
      case 0x2c: // ,
        if (top?.keys !== undefined) top.wantsKey = true;
        else if (top !== undefined) top.at = Number(top.at) + 1;
        break;
      case 0x22: {
        const end = endOfString(text, index);
        if (top?.wantsKey === true) takeKey(top, text.slice(index, end + 1), stack, duplicates);
        index = end;
      }
    }
    deepest = Math.max(deepest, stack.length);
    if (deepest > depthMax) break;
  }
  return { deepest, duplicates: [...duplicates] };
}

/** Where the string that begins at `start` has its closing quote. */
function endOfString(text: string, start: number): number {
  for (let index = start + 1; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code === 0x5c) index++;
    else if (code === 0x22) return index;
  }
  return text.length;
}

function takeKey(frame: Frame, quoted: string, stack: readonly Frame[], duplicates: Set<string>): void {
  const key = unquote(quoted);
  frame.at = key;
  frame.wantsKey = false;
  if (frame.keys?.has(key) === true && duplicates.size < duplicatesMax) duplicates.add(pathOf(stack));
  frame.keys?.add(key);
}

function unquote(quoted: string): string {
  if (!quoted.includes("\\")) return quoted.slice(1, -1);
  try {
    return JSON.parse(quoted) as string;
  } catch {
    return quoted; // No JSON: the whole text will be refused.
  }
}

function pathOf(stack: readonly Frame[]): string {
  return stack.reduce((path, { keys, at }) => {
    if (keys === undefined) return `${path}[${at}]`;
    return path === "" ? String(at) : `${path}.${at}`;
  }, "");
}

/** Whether a value nests deeper than `depthMax` levels. */
export function isDeeper(value: unknown, depthMax: number): boolean {
  let level: unknown[] = [value];
  for (let depth = 0; level.length > 0; depth++) {
    const next: unknown[] = [];
    for (const item of level)
      if (typeof item === "object" && item !== null) for (const child of Object.values(item)) next.push(child);
    if (next.length > 0 && depth >= depthMax) return true;
    level = next;
  }
  return false;
}
