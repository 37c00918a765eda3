/**
 * view: a server block only for some queries.
 *
 *   Request ─▶ expr EXPRESSION ─▶ this block, or the next one of the same zone
 *
 * The expressions: client_ip(), name(), type(), class(), proto(), port(), server_port(); ==, !=, in [..], matches,
 * startsWith, endsWith, contains; incidr(client_ip(), '…'); and, or, not, &&, ||, !, parentheses. Others are refused.
 * Follows: CoreDNS plugin/view.
 */
import { isInRange, parseRange, toBytes } from "../address.ts";
import { complain, type Directive, onlyOptions, regexOf } from "../corefile/directive.ts";
import type { PluginKind, Request } from "../plugin.ts";
import { typeName } from "../wire/constants.ts";
import { toText } from "../wire/name.ts";

type Test = (request: Request) => boolean;
type Value = (request: Request) => string;

/** The plugin `view NAME { expr EXPRESSION }`. */
export const view: PluginKind = {
  name: "view",
  setup([directive]) {
    if (directive === undefined) throw new TypeError("view needs a directive");
    const tests = onlyOptions(directive, ["expr"]).map((option) => new Parser(option).parse());
    if (tests.length === 0) complain(directive, "wanted expr EXPRESSION");
    return { name: "view", accepts: (request) => tests.every((test) => test(request)) };
  },
};

const values: Readonly<Record<string, Value>> = {
  client_ip: ({ client }) => client,
  name: ({ query }) => toText(query.name),
  type: ({ query }) => typeName(query.type),
  class: ({ query }) => (query.class === 1 ? "IN" : String(query.class)),
  proto: ({ proto }) => (proto === "udp" ? "udp" : "tcp"),
  port: ({ clientPort }) => String(clientPort),
};

/** Reads one expression; lower operators first. */
class Parser {
  readonly #option: Directive;
  readonly #words: readonly string[];
  #at = 0;

  constructor(option: Directive) {
    this.#option = option;
    this.#words = option.args.join(" ").match(/'[^']*'|"[^"]*"|&&|\|\||[=!]=|[A-Za-z_][A-Za-z0-9_]*|[0-9]+|\S/g) ?? [];
  }

  parse(): Test {
    const test = this.#or();
    return this.#at === this.#words.length ? test : this.#fail();
  }

  #or(): Test {
    let left = this.#and();
    while (this.#take("or") || this.#take("||")) {
      const [before, right] = [left, this.#and()];
      left = (request) => before(request) || right(request);
    }
    return left;
  }

  #and(): Test {
    let left = this.#not();
    while (this.#take("and") || this.#take("&&")) {
      const [before, right] = [left, this.#not()];
      left = (request) => before(request) && right(request);
    }
    return left;
  }

  #not(): Test {
    if (this.#take("not") || this.#take("!")) {
      const inner = this.#not();
      return (request) => !inner(request);
    }
    if (this.#take("(")) {
      const inner = this.#or();
      this.#expect(")");
      return inner;
    }
    return this.#take("incidr") ? this.#inCIDR() : this.#comparison();
  }

  #inCIDR(): Test {
    this.#expect("(");
    const address = this.#value();
    this.#expect(",");
    const text = this.#literal();
    this.#expect(")");
    const range = parseRange(text) ?? complain(this.#option, `"${text}", wanted a range such as 10.0.0.0/8`);
    return (request) => {
      const bytes = toBytes(address(request));
      return bytes !== undefined && isInRange(bytes, range);
    };
  }

  #comparison(): Test {
    const left = this.#value();
    if (this.#take("in")) {
      const list = this.#list();
      return (request) => list.includes(left(request));
    }
    const operator = this.#words[this.#at++];
    const right = this.#literal();
    const pattern = operator === "matches" ? regexOf(this.#option, right) : undefined;
    const tests: Readonly<Record<string, Test>> = {
      "==": (request) => left(request) === right,
      "!=": (request) => left(request) !== right,
      startsWith: (request) => left(request).startsWith(right),
      endsWith: (request) => left(request).endsWith(right),
      contains: (request) => left(request).includes(right),
      matches: (request) => pattern?.test(left(request)) === true,
    };
    return tests[operator ?? ""] ?? this.#fail();
  }

  #value(): Value {
    const value = values[this.#words[this.#at++] ?? ""];
    this.#expect("(");
    this.#expect(")");
    return value ?? this.#fail();
  }

  #list(): readonly string[] {
    this.#expect("[");
    const all = [this.#literal()];
    while (this.#take(",")) all.push(this.#literal());
    this.#expect("]");
    return all;
  }

  #literal(): string {
    const word = this.#words[this.#at++] ?? "";
    if (/^['"]/.test(word)) return word.slice(1, -1);
    return /^[0-9]+$/.test(word) ? word : this.#fail();
  }

  #take(word: string): boolean {
    if (this.#words[this.#at] !== word) return false;
    this.#at++;
    return true;
  }

  #expect(word: string): void {
    if (!this.#take(word)) this.#fail();
  }

  #fail(): never {
    const at = this.#words[Math.max(0, this.#at - 1)] ?? "the end";
    return complain(this.#option, `expression near "${at}", wanted such as incidr(client_ip(), '10.0.0.0/8')`);
  }
}
