/**
 * The grammar of chunk extensions, byte by byte. Pure.
 *
 *   body.ts (behind the semicolon of a chunk line) ─▶ nextInExtension()* ─▶ mayEnd() at the line's CR
 *
 * Extensions are dropped; they are checked because parsers that look for the line's end inside an open quote, and those
 * that do not, disagree about where the chunk begins. White space is refused where RFC 9112 §7.1.1 calls it bad.
 */
import { EQUALS, QUOTE, BACKSLASH, SEMICOLON, controlBytes, tokenBytes } from "./bytes.ts";

export type ExtensionState =
  | "start" // behind a semicolon
  | "name"
  | "equals" // behind the equals sign
  | "value" // a token
  | "quoted"
  | "escaped" // behind a backslash inside quotes
  | "closed"; // behind the closing quote

/** The state behind `byte`, or undefined where it must not be. */
export function nextInExtension(state: ExtensionState, byte: number): ExtensionState | undefined {
  switch (state) {
    case "start":
      return tokenBytes[byte] === 1 ? "name" : undefined;
    case "name":
      if (tokenBytes[byte] === 1) return "name";
      if (byte === EQUALS) return "equals";
      return byte === SEMICOLON ? "start" : undefined;
    case "equals":
      if (byte === QUOTE) return "quoted";
      return tokenBytes[byte] === 1 ? "value" : undefined;
    case "value":
      if (tokenBytes[byte] === 1) return "value";
      return byte === SEMICOLON ? "start" : undefined;
    case "quoted":
      if (byte === QUOTE) return "closed";
      if (byte === BACKSLASH) return "escaped";
      return controlBytes[byte] === 0 ? "quoted" : undefined;
    case "escaped":
      return controlBytes[byte] === 0 ? "quoted" : undefined;
    case "closed":
      return byte === SEMICOLON ? "start" : undefined;
  }
}

/** May the chunk line end here? */
export function mayEnd(state: ExtensionState): boolean {
  return state === "name" || state === "value" || state === "closed";
}
