/**
 * A Corefile as words with their lines: quotes, comments and environment variables are done with. Pure.
 *
 *   text ─▶ tokenize ─▶ Token[] ─▶ parse.ts
 *
 * Follows: corefile(5) and Caddy's lexer: words are parted by white space, `"…"` may hold white space and `\"`, `#`
 * opens a comment at the start of a word, `{$NAME}` and `{%NAME%}` stand for environment variables.
 */
import { DNSError } from "../errors.ts";

export interface Token {
  readonly text: string;
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** In quotes: never a brace. */
  readonly isQuoted: boolean;
}

/** Bytes of one file, at most. */
const fileBytesMax = 1024 * 1024;

/** The words of `text`. `variable` looks environment variables up; unset ones are empty. */
export function tokenize(text: string, file: string, variable: (name: string) => string | undefined): readonly Token[] {
  if (text.length > fileBytesMax)
    throw new DNSError("Corefile", `Cannot read ${file}: ${text.length} bytes, wanted at most ${fileBytesMax}`);
  const tokens: Token[] = [];
  const pattern = /\r?\n|[^\S\n]+|#[^\n]*|"((?:\\.|[^"\\])*)"|("[\s\S]*)|(\S+)/g;
  let line = 1;
  for (const [whole, quoted, unclosed, word] of text.matchAll(pattern)) {
    if (unclosed !== undefined)
      throw new DNSError("Corefile", `Cannot read ${file}:${line}: quote without end, wanted a closing "`);
    const raw = quoted === undefined ? word : quoted.replaceAll('\\"', '"');
    if (raw !== undefined) {
      tokens.push({ text: expand(raw, variable), file, line, isQuoted: quoted !== undefined });
    }
    line += whole.split("\n").length - 1;
  }
  return tokens;
}

function expand(text: string, variable: (name: string) => string | undefined): string {
  return text.replaceAll(
    /\{\$([^{}$%]+)\}|\{%([^{}$%]+)%\}/g,
    (_, dollar?: string, percent?: string) => variable(dollar ?? percent ?? "") ?? "",
  );
}
