/**
 * Addresses and ranges of both families in text: read once, in one spelling from then on. Pure.
 *
 * kubernetes TestBadIPs: older objects hold addresses with leading zeros, which read as decimal; spaces around are
 * tolerated. What is no address at all is undefined, never an exception.
 */
export type Family = "IPv4" | "IPv6";

export interface Range {
  readonly family: Family;
  /** As nft and `ip` write it: 10.0.0.0/8. */
  readonly text: string;
  readonly first: bigint;
  readonly last: bigint;
}

const octet = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])";
const usualIPv4 = new RegExp(`^${octet}(?:\\.${octet}){3}$`);

/** The address in its usual spelling, or undefined. */
export function normalizeAddress(text: string): string | undefined {
  // Nearly all are well written, and this is asked of every endpoint.
  if (usualIPv4.test(text)) return text;
  const trimmed = text.trim();
  if (trimmed.includes(":")) return normalizeIPv6(trimmed);
  const parts = trimmed.split(".");
  if (parts.length !== 4 || parts.some((part) => !/^[0-9]{1,3}$/.test(part) || Number(part) > 255)) return undefined;
  return parts.map(Number).join(".");
}

/** The 16 bytes of an address, or undefined. */
export function parseIPv6Bytes(text: string): readonly number[] | undefined {
  return parseIPv6(text)?.flatMap((group) => [group >> 8, group & 255]);
}

/** Of a normalized address. */
export function familyOf(address: string): Family {
  return address.includes(":") ? "IPv6" : "IPv4";
}

/** The range in its usual spelling, host bits cleared, or undefined. */
export function parseRange(text: string): Range | undefined {
  const [start = "", bits = "", ...rest] = text.trim().split("/");
  const address = normalizeAddress(start);
  if (address === undefined || rest.length > 0 || !/^[0-9]{1,3}$/.test(bits)) return undefined;
  const family = familyOf(address);
  const width = family === "IPv4" ? 32 : 128;
  const length = Number(bits);
  if (length > width) return undefined;
  const size = 1n << BigInt(width - length);
  const first = (toBigInt(address) / size) * size;
  return { family, text: `${fromBigInt(first, family)}/${length}`, first, last: first + size - 1n };
}

/**
 * Whether source ranges limit who may come to an address of a family: those of the other one alone do not, as with
 * kube-proxy. What is no range admits nobody.
 */
export function isLimited(ranges: readonly string[], family: Family): boolean {
  return ranges.some((text) => (parseRange(text)?.family ?? family) === family);
}

/** Whether a normalized address is in the range. */
export function contains(range: Range, address: string): boolean {
  if (familyOf(address) !== range.family) return false;
  const number = toBigInt(address);
  return number >= range.first && number <= range.last;
}

function normalizeIPv6(text: string): string | undefined {
  const groups = parseIPv6(text);
  return groups === undefined ? undefined : formatIPv6(groups);
}

function parseIPv6(text: string): readonly number[] | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const read = (half: string): number[] | undefined => {
    const groups = half === "" ? [] : half.split(":");
    if (groups.some((group) => !/^[0-9a-fA-F]{1,4}$/.test(group))) return undefined;
    return groups.map((group) => Number.parseInt(group, 16));
  };
  const [head, tail] = [read(halves[0] ?? ""), read(halves[1] ?? "")];
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 1) return missing === 0 ? head : undefined;
  return missing < 1 ? undefined : [...head, ...Array.from({ length: missing }, () => 0), ...tail];
}

/** RFC 5952 §4: lower case, the longest run of at least two zero groups shortened. */
function formatIPv6(groups: readonly number[]): string {
  let best = { at: -1, length: 1 };
  for (let at = 0; at < 8; at++) {
    let length = 0;
    while (at + length < 8 && groups[at + length] === 0) length++;
    if (length > best.length) best = { at, length };
  }
  const hex = groups.map((group) => group.toString(16));
  if (best.at < 0) return hex.join(":");
  return `${hex.slice(0, best.at).join(":")}::${hex.slice(best.at + best.length).join(":")}`;
}

function toBigInt(address: string): bigint {
  if (familyOf(address) === "IPv4")
    return BigInt(address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0));
  return (parseIPv6(address) ?? []).reduce((sum, group) => (sum << 16n) | BigInt(group), 0n);
}

function fromBigInt(number: bigint, family: Family): string {
  if (family === "IPv4") return [24n, 16n, 8n, 0n].map((shift) => String((number >> shift) & 255n)).join(".");
  return formatIPv6(Array.from({ length: 8 }, (_, at) => Number((number >> BigInt(112 - 16 * at)) & 0xffffn)));
}
