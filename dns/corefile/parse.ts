/**
 * A Corefile as server blocks.
 *
 *   text (+ imported files) ─▶ parseCorefile ─▶ ServerBlock[] ─▶ build.ts
 *
 *   (snippet) { … }            kept, put in by `import snippet`, where {args[0]} is the first argument
 *   [SCHEME://]ZONE[:PORT] … { DIRECTIVE ARGS { OPTION ARGS } }
 *
 * Follows: corefile(5); one block without braces may be all of the file.
 */
import { DNSError } from "../errors.ts";
import { complain, type Directive, numberOf, zoneKeysOf } from "./directive.ts";
import { type Token, tokenize } from "./tokens.ts";

export const schemes = ["dns", "tls", "https"] as const;
export type Scheme = (typeof schemes)[number];

export interface Address {
  readonly scheme: Scheme;
  /** A key. */
  readonly zone: string;
  readonly port: number;
}

export interface ServerBlock {
  readonly addresses: readonly Address[];
  readonly directives: readonly Directive[];
  /** `Corefile:1` */
  readonly at: string;
}

export interface ParseOptions {
  readonly file: string;
  /** Where no port is given for `dns://`. */
  readonly port: number;
  readonly environmentVariable: (name: string) => string | undefined;
  /** Texts of the files that a pattern of `import` names; throws when there are none. */
  readonly readImport: (pattern: string) => readonly { readonly file: string; readonly text: string }[];
}

const importDepthMax = 10;
/** Words after imports, at most: a file that imports itself twice must not fill the memory. */
const tokensMax = 200_000;

/** The server blocks of a Corefile. Throws DNSError Corefile with file and line. */
export function parseCorefile(text: string, options: ParseOptions): readonly ServerBlock[] {
  return new Parser(text, options).blocks();
}

class Parser {
  readonly #options: ParseOptions;
  readonly #snippets = new Map<string, readonly Token[]>();
  #tokens: Token[];
  #at = 0;
  #imports = 0;

  constructor(text: string, options: ParseOptions) {
    this.#options = options;
    this.#tokens = [...tokenize(text, options.file, options.environmentVariable)];
  }

  blocks(): readonly ServerBlock[] {
    const blocks: ServerBlock[] = [];
    while (this.#peek() !== undefined) {
      const block = this.#serverBlock();
      if (block !== undefined) blocks.push(block);
    }
    return blocks;
  }

  #serverBlock(): ServerBlock | undefined {
    const first = this.#peek();
    if (first?.text === "import" && !first.isQuoted) {
      this.#import(this.#line());
      return undefined;
    }
    if (isBrace(first, "}")) return this.#fail(first, "} without {");
    const keys: Token[] = [];
    for (let token = this.#peek(); token !== undefined && !isBrace(token, "{"); token = this.#peek()) {
      const before = keys.at(-1);
      // Keys may go on in the next line after a comma; otherwise what follows belongs to a block without braces.
      if (before !== undefined && token.line !== before.line && !before.text.endsWith(",")) break;
      keys.push(token);
      this.#at++;
    }
    const [key] = keys;
    const open = this.#peek();
    if (key === undefined) return this.#fail(open, "wanted a zone before {");
    const isBraced = open !== undefined && isBrace(open, "{");
    const snippet = /^\((.+)\)$/.exec(key.text)?.[1];
    if (snippet !== undefined) {
      this.#snippets.set(snippet, this.#skipBlock(key));
      return undefined;
    }
    if (isBraced) this.#at++;
    const directives = this.#directives(isBraced ? "}" : undefined, key);
    return { addresses: this.#addresses(keys), directives, at: placeOf(key) };
  }

  /** Tokens of a braced block, without its braces. */
  #skipBlock(opener: Token): readonly Token[] {
    if (!isBrace(this.#peek(), "{")) return this.#fail(opener, "wanted { after the name of a snippet");
    const start = ++this.#at;
    for (let depth = 1; depth > 0; this.#at++) {
      const token = this.#peek() ?? this.#fail(opener, "block without end, wanted }");
      if (isBrace(token, "{")) depth++;
      if (isBrace(token, "}")) depth--;
    }
    return this.#tokens.slice(start, this.#at - 1);
  }

  /** Directives up to the closing brace, which is taken, or up to the end of the file. */
  #directives(until: "}" | undefined, opener: Token): readonly Directive[] {
    const directives: Directive[] = [];
    for (;;) {
      const token = this.#peek();
      if (token === undefined) {
        if (until === undefined) return directives;
        return this.#fail(opener, "block without end, wanted }");
      }
      if (isBrace(token, "}")) {
        if (until === undefined) return this.#fail(token, "} without {");
        this.#at++;
        return directives;
      }
      if (isBrace(token, "{")) return this.#fail(token, "wanted a directive before {");
      if (token.text === "import" && !token.isQuoted) {
        this.#import(this.#line());
        continue;
      }
      directives.push(this.#directive());
    }
  }

  #directive(): Directive {
    const [name, ...args] = this.#line();
    if (name === undefined) return this.#fail(this.#peek(), "wanted a directive");
    let block: readonly Directive[] | undefined;
    const next = this.#peek();
    const last = args.at(-1) ?? name;
    if (next !== undefined && isBrace(next, "{") && next.line === last.line) {
      this.#at++;
      block = this.#directives("}", next);
    }
    return { name: name.text, args: args.map(({ text }) => text), block, at: placeOf(name) };
  }

  /** The words up to the end of the line or a brace. */
  #line(): readonly Token[] {
    const words: Token[] = [];
    for (let token = this.#peek(); token !== undefined; token = this.#peek()) {
      const first = words[0];
      const isOther = first !== undefined && (token.line !== first.line || token.file !== first.file);
      if (isOther || isBrace(token, "{") || isBrace(token, "}")) break;
      words.push(token);
      this.#at++;
    }
    return words;
  }

  /** Puts a snippet or files in place of the line that was just read. */
  #import([keyword, pattern, ...args]: readonly Token[]): void {
    if (keyword === undefined || pattern === undefined) {
      return this.#fail(keyword, "wanted a file or a snippet after import");
    }
    if (++this.#imports > importDepthMax * 100) return this.#fail(keyword, "wanted imports that end");
    const tokens = this.#snippets.get(pattern.text) ?? this.#filesOf(pattern);
    const filled = tokens.map((token) => ({
      ...token,
      text: token.text.replaceAll(/\{args\[([0-9]+)\]\}/g, (_, index: string) => args[Number(index)]?.text ?? ""),
    }));
    if (this.#tokens.length + filled.length > tokensMax) return this.#fail(keyword, "wanted imports that end");
    this.#tokens.splice(this.#at, 0, ...filled);
  }

  #filesOf(pattern: Token): readonly Token[] {
    try {
      return this.#options
        .readImport(pattern.text)
        .flatMap(({ file, text }) => tokenize(text, file, this.#options.environmentVariable));
    } catch (error) {
      if (error instanceof DNSError) throw error;
      return this.#fail(pattern, `no snippet and no file "${pattern.text}"`);
    }
  }

  #addresses(keys: readonly Token[]): readonly Address[] {
    return keys.flatMap((token) =>
      token.text
        .split(",")
        .filter((text) => text !== "")
        .flatMap((text) => this.#address(text, token)),
    );
  }

  #address(text: string, token: Token): readonly Address[] {
    const place = { at: placeOf(token), name: "the server block" };
    const [, schemeText, rest = text] = /^([a-z0-9+]+):\/\/(.*)$/i.exec(text) ?? [];
    const scheme = schemes.find((known) => known === (schemeText ?? "dns").toLowerCase());
    if (scheme === undefined) return complain(place, `scheme "${schemeText}", wanted ${schemes.join(", ")}`);
    const [, zone = "", portText] = /^(.*?)(?::([^:]*))?$/.exec(rest) ?? [];
    const ports: Readonly<Record<Scheme, number>> = { dns: this.#options.port, tls: 853, https: 443 };
    const directive: Directive = { ...place, args: [], block: undefined };
    const port = portText === undefined ? ports[scheme] : numberOf(directive, portText, { min: 0, max: 65_535 });
    return zoneKeysOf(place, zone === "" ? "." : zone).map((key) => ({ scheme, zone: key, port }));
  }

  #peek(): Token | undefined {
    return this.#tokens[this.#at];
  }

  #fail(token: Token | undefined, problem: string): never {
    const at = token ?? this.#tokens.at(-1);
    const place = at === undefined ? this.#options.file : placeOf(at);
    throw new DNSError("Corefile", `Cannot read ${place}: ${problem}`);
  }
}

function placeOf({ file, line }: Token): string {
  return `${file}:${line}`;
}

function isBrace(token: Token | undefined, brace: "{" | "}"): boolean {
  return token !== undefined && !token.isQuoted && token.text === brace;
}
