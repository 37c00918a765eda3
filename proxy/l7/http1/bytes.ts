/**
 * Byte classes of HTTP/1, as lookup tables: one array read a byte, no regular expression on untrusted text.
 *
 * Source: RFC 9110 §5.6.2 (token), RFC 9112 §3.2 (request target), RFC 3986 §3.2 (authority).
 */

export const CR = 13;
export const LF = 10;
export const SP = 32;
export const HTAB = 9;
export const COLON = 58;
export const SEMICOLON = 59;
export const EQUALS = 61;
export const QUOTE = 34;
export const BACKSLASH = 92;

const alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

function table(isMember: (byte: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => (isMember(byte) ? 1 : 0));
}

function tableOf(characters: string): Uint8Array {
  return table((byte) => characters.includes(String.fromCharCode(byte)));
}

/** Bytes of a token: method names and header names. */
export const tokenBytes: Uint8Array = tableOf(`${alphanumeric}!#$%&'*+-.^_\`|~`);
/** Visible ASCII but `#`: a fragment is never sent, and parsers disagree about it. */
export const targetBytes: Uint8Array = table((byte) => byte > 0x20 && byte < 0x7f && byte !== 0x23);
/** Bytes of `uri-host [":" port]`, without user information, comma and parentheses, on which parsers disagree. */
export const authorityBytes: Uint8Array = tableOf(`${alphanumeric}-._~%!$&'*+;=:[]`);
/** Bytes at which a head scan has to look closer: every control byte but HTAB, and DEL. */
export const controlBytes: Uint8Array = table((byte) => (byte < 0x20 && byte !== HTAB) || byte === 0x7f);

/** The value of a hexadecimal digit, or -1. */
export function hexValue(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const lower = byte | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}

/** True when `text` is not empty and each character is in `bytes`. Characters over 0xff are in no class. */
export function isAll(text: string, bytes: Uint8Array): boolean {
  for (let at = 0; at < text.length; at++) if (bytes[text.charCodeAt(at)] !== 1) return false;
  return text.length > 0;
}
