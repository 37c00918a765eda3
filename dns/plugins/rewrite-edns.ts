/**
 * rewrite edns0: options that upstreams get with a query (RFC 6891 §6.1.2).
 *
 *   `edns0 local|nsid|subnet ACTION …` ─▶ rule ─▶ Query.forwarded ─▶ upstream/exchange.ts
 *
 * Only what a rule made is sent on: what a downstream says of itself (cookies, its subnet) ends here, as answers are
 * cached for all. Follows: CoreDNS plugin/rewrite, RFC 5001 (NSID), RFC 7871 (client subnet).
 */
import { toBytes } from "../address.ts";
import { complain, type Directive, numberOf } from "../corefile/directive.ts";
import type { Request } from "../plugin.ts";
import { toText } from "../wire/name.ts";
import type { Query } from "../wire/query.ts";

/** An option of OPT. */
interface EDNSOption {
  readonly code: number;
  readonly data: Uint8Array;
}

/** `append` adds it where there is none, `replace` changes one that is there, `set` does both. */
const actions = ["set", "append", "replace", "unset"] as const;
type Action = (typeof actions)[number];

const codes = { nsid: 3, subnet: 8 } as const;
/** Numbers for local use and experiments, and all others that have no name here. */
const codeMax = 65_535;

/** The query with its options changed; undefined when the rule changes nothing. */
export type OptionRule = (query: Query, request: Request) => Query | undefined;

/** Reads what stands behind `edns0`. `revert` is taken: options of upstreams' answers are never passed on. */
export function readOptionRule(directive: Directive, given: readonly string[]): OptionRule {
  const words = given.at(-1) === "revert" ? given.slice(0, -1) : given;
  const [kind = "", actionText = "", ...rest] = words;
  const action = actions.find((known) => known === actionText);
  if (action === undefined) complain(directive, `action "${actionText}", wanted ${actions.join(", ")}`);
  const wanted = (count: number, what: string): void => {
    if (rest.length !== (action === "unset" ? Math.min(count, 1) : count))
      complain(directive, `"${given.join(" ")}", wanted ${what}`);
  };
  switch (kind) {
    case "local": {
      wanted(2, "edns0 local ACTION CODE DATA");
      const [codeText = "", dataText = ""] = rest;
      const code = codeOf(directive, codeText);
      const dataOf = action === "unset" ? () => new Uint8Array(0) : readData(directive, dataText);
      return (query, request) => change(query, action, { code, data: dataOf(query, request) });
    }
    case "nsid":
      wanted(0, "edns0 nsid ACTION");
      return (query) => change(query, action, { code: codes.nsid, data: new Uint8Array(0) });
    case "subnet": {
      if (action !== "unset") wanted(2, "edns0 subnet ACTION IPV4BITS IPV6BITS");
      const [bits4 = 0, bits6 = 0] = rest.map((text, index) =>
        numberOf(directive, text, { min: 0, max: index === 0 ? 32 : 128 }),
      );
      return (query, { client }) => change(query, action, { code: codes.subnet, data: subnetOf(client, bits4, bits6) });
    }
    default:
      return complain(directive, `edns0 "${kind}", wanted local, nsid or subnet`);
  }
}

function codeOf(directive: Directive, text: string): number {
  const number = /^0x[0-9a-f]{1,4}$/i.test(text) ? String(Number(text)) : text;
  return numberOf(directive, number, { min: 0, max: codeMax });
}

/** `0x…` bytes, a variable in braces, or text. */
function readData(directive: Directive, text: string): (query: Query, request: Request) => Uint8Array {
  if (text.startsWith("0x")) {
    if (!/^0x([0-9a-f]{2})*$/i.test(text)) complain(directive, `"${text}", wanted pairs of hexadecimal digits`);
    const bytes = Buffer.from(text.slice(2), "hex");
    return () => bytes;
  }
  if (!text.startsWith("{")) {
    const bytes = Buffer.from(text, "utf8");
    return () => bytes;
  }
  const number = (value: number): Uint8Array => Uint8Array.of(value >> 8, value & 255);
  switch (text) {
    case "{qname}":
      return ({ name }) => Buffer.from(toText(name), "latin1");
    case "{qtype}":
      return ({ type }) => number(type);
    case "{client_ip}":
      return (_, { client }) => toBytes(client) ?? new Uint8Array(0);
    case "{client_port}":
      return (_, { clientPort }) => number(clientPort);
    case "{protocol}":
      return (_, { proto }) => Buffer.from(proto, "latin1");
    default:
      return complain(
        directive,
        `variable ${text}, wanted {qname}, {qtype}, {client_ip}, {client_port} or {protocol} (others are not supported)`,
      );
  }
}

/** RFC 7871 §6: family, source bits, scope 0, the address up to those bits. */
function subnetOf(client: string, bits4: number, bits6: number): Uint8Array {
  const address = toBytes(client) ?? new Uint8Array(4);
  const isIPv4 = address.length === 4;
  const bits = isIPv4 ? bits4 : bits6;
  const prefix = Uint8Array.from(address.subarray(0, Math.ceil(bits / 8)));
  const last = prefix.length - 1;
  if (bits % 8 !== 0) prefix[last] = (prefix[last] ?? 0) & (0xff << (8 - (bits % 8)));
  return Uint8Array.of(0, isIPv4 ? 1 : 2, bits, 0, ...prefix);
}

function change(query: Query, action: Action, option: EDNSOption): Query | undefined {
  const made = decodeOptions(query.forwarded);
  const isThere = [...made, ...decodeOptions(query.options)].some(({ code }) => code === option.code);
  if (isThere ? action === "append" : action === "replace" || action === "unset") return undefined;
  const others = made.filter(({ code }) => code !== option.code);
  const all = action === "unset" ? others : [...others, option];
  // What the downstream sent is out of the way, so that a later rule finds what this one made.
  const rest = decodeOptions(query.options).filter(({ code }) => code !== option.code);
  return { ...query, options: encodeOptions(rest), forwarded: encodeOptions(all) };
}

function decodeOptions(bytes: Uint8Array | undefined): readonly EDNSOption[] {
  const found: EDNSOption[] = [];
  if (bytes === undefined) return found;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0; at + 4 <= bytes.length;) {
    const end = at + 4 + view.getUint16(at + 2);
    if (end > bytes.length) break;
    found.push({ code: view.getUint16(at), data: bytes.subarray(at + 4, end) });
    at = end;
  }
  return found;
}

function encodeOptions(all: readonly EDNSOption[]): Uint8Array {
  return Buffer.concat(
    all.flatMap(({ code, data }) => [Uint8Array.of(code >> 8, code & 255, data.length >> 8, data.length & 255), data]),
  );
}
