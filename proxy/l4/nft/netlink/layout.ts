/**
 * How the kernel keeps what nft's words say: the bytes of keys and values of sets and maps, by their types. Pure.
 *
 *   `type ipv4_addr . inet_proto . inet_service : verdict ;` ─▶ parseLayout() ─▶ Layout ─▶ put(), the bytes
 *
 * Only what our tables have: fixed keys, no flags. Of what it does not know there is no layout, and nft does the work.
 * A field of several is filled up to four bytes, one alone is not. Numbers are in network order, but for slots, which
 * are those of a register: in the machine's own (little endian; link.ts sees to it).
 */
import { parseIPv6Bytes } from "../../ip.ts";

/** One field of a key or a value. */
interface Field {
  readonly bytes: number;
  /** Puts what `word` says at `at` of zeros; false if it says nothing of the kind. */
  readonly put: (target: Buffer, at: number, word: string) => boolean;
}

export interface Layout {
  readonly key: readonly Field[];
  /** Nothing: a set. */
  readonly value: readonly Field[] | "verdict" | undefined;
}

/** IANA's numbers. */
const protocols: Readonly<Record<string, number>> = { tcp: 6, udp: 17, sctp: 132 };

const ipv4: Field = {
  bytes: 4,
  put: (target, at, word) => {
    let start = 0;
    for (let n = 0; n < 4; n++) {
      const end = n < 3 ? word.indexOf(".", start) : word.length;
      const number = parseNumber(word, start, end, 255);
      if (number < 0) return false;
      target[at + n] = number;
      start = end + 1;
    }
    return true;
  },
};

const ipv6: Field = {
  bytes: 16,
  put: (target, at, word) => {
    const bytes = parseIPv6Bytes(word);
    for (let n = 0; n < 16; n++) target[at + n] = bytes?.[n] ?? 0;
    return bytes !== undefined;
  },
};

const protocol: Field = {
  bytes: 1,
  put: (target, at, word) => {
    const number = protocols[word];
    target[at] = number ?? 0;
    return number !== undefined;
  },
};

const port: Field = {
  bytes: 2,
  put: (target, at, word) => {
    const number = parseNumber(word, 0, word.length, 65_535);
    if (number >= 0) target.writeUInt16BE(number, at);
    return number >= 0;
  },
};

const slot: Field = {
  bytes: 4,
  put: (target, at, word) => {
    const number = parseNumber(word, 0, word.length, 65_535);
    if (number >= 0) target.writeUInt32LE(number, at);
    return number >= 0;
  },
};

const fields: ReadonlyMap<string, Field> = new Map([
  ["ipv4_addr", ipv4],
  ["ip daddr", ipv4],
  ["ipv6_addr", ipv6],
  ["ip6 daddr", ipv6],
  ["inet_proto", protocol],
  ["inet_service", port],
  ["tcp dport", port],
  ["udp dport", port],
  ["sctp dport", port],
  ["numgen inc mod 65536", slot],
]);

/** The layout of a set or map of that type, as it stands between the braces of its declaration. */
export function parseLayout(type: string): Layout | undefined {
  const words = /^(?:type|typeof) ([^:;]+?)(?: : ([^:;]+?))? ;$/.exec(type);
  const key = parseFields(words?.[1]);
  const value = words?.[2] === "verdict" ? "verdict" : parseFields(words?.[2]);
  if (key === undefined || (value === undefined && words?.[2] !== undefined)) return undefined;
  return { key, value };
}

function parseFields(text: string | undefined): readonly Field[] | undefined {
  const known = text?.split(" . ").map((word) => fields.get(word));
  return known?.every((field) => field !== undefined) === true ? known : undefined;
}

/** How long a key or a value is. */
export function lengthOf(all: readonly Field[]): number {
  return all.length === 1 ? all[0]!.bytes : all.reduce((sum, { bytes }) => sum + aligned(bytes), 0);
}

/** Puts what nft's words say at `at` of zeros; false if they do not fit the layout. */
export function put(target: Buffer, at: number, all: readonly Field[], text: string): boolean {
  let [place, start] = [at, 0];
  for (let n = 0; n < all.length; n++) {
    const end = n + 1 < all.length ? text.indexOf(" . ", start) : text.length;
    if (end < 0 || !all[n]!.put(target, place, text.slice(start, end))) return false;
    place += aligned(all[n]!.bytes);
    start = end + 3;
  }
  return true;
}

/** Netlink aligns to four bytes. */
export function aligned(bytes: number): number {
  return (bytes + 3) & ~3;
}

/** The decimal number between `from` and `to`; -1 if there is none, or one above `max`. */
function parseNumber(text: string, from: number, to: number, max: number): number {
  if (to <= from || to - from > 5) return -1;
  let number = 0;
  for (let at = from; at < to; at++) {
    const digit = text.charCodeAt(at) - 48;
    if (digit < 0 || digit > 9) return -1;
    number = number * 10 + digit;
  }
  return number <= max ? number : -1;
}
