/**
 * IP addresses: bytes for A and AAAA, names for PTR, and the dashed form that names an endpoint without a host name.
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

/** The reverse zone of a range whose length is a multiple of 8 bits: `10.96.0.0/16` → `96.10.in-addr.arpa`. */
export function toReverseZone(cidr: string): string | undefined {
  const [address = "", bits] = cidr.split("/");
  const octets = Number(bits) / 8;
  if (!isIPv4(address) || ![1, 2, 3].includes(octets)) return undefined;
  return `${address.split(".").slice(0, octets).reverse().join(".")}.in-addr.arpa`;
}
