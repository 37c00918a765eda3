/**
 * Addresses and ports as the kernel's calls have them: struct sockaddr_in and struct sockaddr_in6. Pure.
 *
 *   SocketAddress ─▶ encodeAddress ─▶ bytes ─▶ linux.ts ─▶ bytes ─▶ decodeAddress ─▶ SocketAddress
 *
 * The family is in host order (little-endian on x86-64 and arm64), port and address are in network order.
 */
import { SocketAddress as KnownAddress } from "node:net";

export const AF_INET = 2;
export const AF_INET6 = 10;

/** An IPv4 or IPv6 address and a port. */
export interface SocketAddress {
  /** Dotted quad, or hexadecimal groups without brackets and without a zone. */
  readonly address: string;
  readonly port: number;
}

/** The family of an address in text. */
export function familyOf(address: string): typeof AF_INET | typeof AF_INET6 {
  return address.includes(":") ? AF_INET6 : AF_INET;
}

/** The bytes of a well-formed address: 16 for IPv4, 28 for IPv6. */
export function encodeAddress({ address, port }: SocketAddress): Uint8Array {
  const isIPv6 = familyOf(address) === AF_INET6;
  const bytes = new Uint8Array(isIPv6 ? 28 : 16);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, familyOf(address), true);
  view.setUint16(2, port);
  if (isIPv6) for (const [at, group] of groupsOf(address).entries()) view.setUint16(8 + 2 * at, group);
  else bytes.set(address.split(".").map(Number), 4);
  return bytes;
}

/** What `bytes`, 28 of them or 16 for IPv4, say. IPv6 addresses are in their usual spelling (RFC 5952). */
export function decodeAddress(bytes: Uint8Array): SocketAddress {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const port = view.getUint16(2);
  if (view.getUint16(0, true) !== AF_INET6) return { address: bytes.subarray(4, 8).join("."), port };
  const groups = Array.from({ length: 8 }, (_, at) => view.getUint16(8 + 2 * at).toString(16));
  return { address: new KnownAddress({ address: groups.join(":"), family: "ipv6" }).address, port };
}

function groupsOf(address: string): readonly number[] {
  const [head = "", tail = ""] = address.split("::");
  const read = (half: string): readonly number[] =>
    half === "" ? [] : half.split(":").map((group) => Number.parseInt(group, 16));
  const [first, last] = [read(head), read(tail)];
  return [...first, ...Array.from({ length: 8 - first.length - last.length }, () => 0), ...last];
}
