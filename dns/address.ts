/**
 * IP addresses: bytes for A and AAAA, names and zones for PTR, and the dashed form that names an endpoint without a
 * host name.
 */
import { isIPv4, isIPv6 } from "node:net";

/** 4 or 16 bytes; undefined for what is no address. */
export function toBytes(address: string): Uint8Array | undefined {
  if (isIPv4(address)) return Uint8Array.from(address.split("."), Number);
  if (!isIPv6(address) || address.includes("%")) return undefined;
  const bytes = new Uint8Array(16);
  const [head = "", tail] = embeddedAsHex(address).split("::");
  const left = groupsOf(head);
  const right = groupsOf(tail ?? "");
  const groups = [...left, ...Array.from({ length: 8 - left.length - right.length }, () => 0), ...right];
  for (const [index, group] of groups.entries()) new DataView(bytes.buffer).setUint16(index * 2, group);
  return bytes;
}

function groupsOf(text: string): readonly number[] {
  return text === "" ? [] : text.split(":").map((group) => Number.parseInt(group, 16));
}

/** `::ffff:1.2.3.4` → `::ffff:102:304`. */
function embeddedAsHex(address: string): string {
  return address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, ...parts: string[]) => {
    const [a = 0, b = 0, c = 0, d = 0] = parts.slice(0, 4).map(Number);
    return `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
  });
}

/** The text of 4 or 16 bytes (RFC 5952 §4; IPv4 within IPv6 as IPv4). */
export function fromBytes(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".");
  const groups = Array.from({ length: 8 }, (_, at) => ((bytes[2 * at] ?? 0) << 8) | (bytes[2 * at + 1] ?? 0));
  if (groups[5] === 0xffff && groups.slice(0, 5).every((group) => group === 0)) return bytes.subarray(12).join(".");
  const text = groups.map((group) => group.toString(16)).join(":");
  // The longest run of zeros, the first of equal ones, and of two groups at least.
  const runs = [...text.matchAll(/(?<![0-9a-f])0(?::0)+(?![0-9a-f])/g)];
  const longest = runs.reduce<string>((best, [run]) => (run.length > best.length ? run : best), "");
  if (longest === "") return text;
  const at = runs.find(([run]) => run === longest)?.index ?? 0;
  const before = text.slice(0, at).replace(/:$/, "");
  return `${before}::${text.slice(at + longest.length).replace(/^:/, "")}`;
}

/** `172.0.0.2` → `172-0-0-2`, `5678:abcd::1` → `5678-abcd--1`. */
export function toDashed(address: string): string {
  return address.replaceAll(/[.:]/g, "-");
}

/** `172.0.0.2` → `2.0.0.172.in-addr.arpa`; IPv6 by nibbles under ip6.arpa (RFC 3596 §2.5). */
export function toReverseName(bytes: Uint8Array): string {
  const backwards = [...bytes].reverse();
  if (bytes.length === 4) return `${backwards.join(".")}.in-addr.arpa`;
  const nibbles = backwards.flatMap((byte) => [(byte & 15).toString(16), (byte >> 4).toString(16)]);
  return `${nibbles.join(".")}.ip6.arpa`;
}

/** Octets or nibbles of one reverse label, and where they hang. */
const reverseTrees = {
  4: { bitsPerLabel: 8, suffix: "in-addr.arpa" },
  16: { bitsPerLabel: 4, suffix: "ip6.arpa" },
} as const;

/**
 * The reverse zones of a range; several where it ends within a label: `10.96.0.0/15` is `96.10.in-addr.arpa` and
 * `97.10.in-addr.arpa`. Undefined when it is no range.
 */
export function toReverseZones(cidr: string): readonly string[] | undefined {
  const [address = "", bitsText = "", ...rest] = cidr.split("/");
  const bytes = toBytes(address);
  const bits = Number(bitsText);
  if (bytes === undefined || rest.length > 0 || !/^[0-9]{1,3}$/.test(bitsText) || bits > bytes.length * 8)
    return undefined;
  const { bitsPerLabel, suffix } = reverseTrees[bytes.length as 4 | 16];
  const labels = labelsOf(bytes, bitsPerLabel);
  const whole = Math.ceil(bits / bitsPerLabel);
  if (whole === 0) return [suffix];
  const free = 2 ** (whole * bitsPerLabel - bits);
  const last = Math.floor((labels[whole - 1] ?? 0) / free) * free;
  return Array.from({ length: free }, (_, index) =>
    [...labels.slice(0, whole - 1), last + index]
      .map((label) => label.toString(bitsPerLabel === 8 ? 10 : 16))
      .reverse()
      .concat(suffix)
      .join("."),
  );
}

function labelsOf(bytes: Uint8Array, bitsPerLabel: 4 | 8): readonly number[] {
  return bitsPerLabel === 8 ? [...bytes] : [...bytes].flatMap((byte) => [byte >> 4, byte & 15]);
}

/** The address that a PTR name in dotted form stands for, as bytes; undefined when it is not a whole one. */
export function fromReverseName(name: string): Uint8Array | undefined {
  const bare = name.replace(/\.$/, "").toLowerCase();
  const four = /^((?:[0-9]{1,3}\.){4})in-addr\.arpa$/.exec(bare)?.[1];
  if (four !== undefined) return toBytes(four.slice(0, -1).split(".").reverse().join("."));
  const sixteen = /^((?:[0-9a-f]\.){32})ip6\.arpa$/.exec(bare)?.[1];
  if (sixteen === undefined) return undefined;
  return Buffer.from(sixteen.replaceAll(".", "").split("").reverse().join(""), "hex");
}

/** `10-240-0-1` → 10.240.0.1, `5678-abcd--1` → 5678:abcd::1, as bytes. */
export function fromDashed(label: string): Uint8Array | undefined {
  return /^[0-9]+(-[0-9]+){3}$/.test(label) ? toBytes(label.replaceAll("-", ".")) : toBytes(label.replaceAll("-", ":"));
}

/** One text for all spellings of an address. */
export function canonical(bytes: Uint8Array): string {
  return bytes.length === 4 ? bytes.join(".") : Buffer.from(bytes).toString("hex");
}

/** Whether `bytes` lie in the range. */
export function isInRange(bytes: Uint8Array, range: { readonly bytes: Uint8Array; readonly bits: number }): boolean {
  if (bytes.length !== range.bytes.length) return false;
  for (let bit = 0; bit < range.bits; bit += 8) {
    const mask = (0xff << Math.max(0, 8 - (range.bits - bit))) & 0xff;
    if (((bytes[bit >> 3] ?? 0) & mask) !== ((range.bytes[bit >> 3] ?? 0) & mask)) return false;
  }
  return true;
}

/** `10.0.0.0/8`, or one address, as bytes and length; undefined when it is neither. */
export function parseRange(text: string): { readonly bytes: Uint8Array; readonly bits: number } | undefined {
  const [address = "", bitsText] = text.split("/");
  const bytes = toBytes(address);
  if (bytes === undefined) return undefined;
  if (bitsText === undefined) return { bytes, bits: bytes.length * 8 };
  const bits = Number(bitsText);
  return /^[0-9]{1,3}$/.test(bitsText) && bits <= bytes.length * 8 ? { bytes, bits } : undefined;
}
