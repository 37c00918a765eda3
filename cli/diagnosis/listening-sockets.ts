/**
 * The TCP sockets that listen in a network namespace, by the kernel's table of them. Pure.
 *
 *   /proc/net/tcp, /proc/net/tcp6 ─▶ parseListening() ─▶ ListeningSocket[]
 *
 * Source: Linux, Documentation/networking/proc_net_tcp.rst; addresses are words in the machine's order, little-endian here.
 */

export interface ListeningSocket {
  /** `0.0.0.0` and `::` are every address. */
  readonly address: string;
  readonly port: number;
}

/** TCP_LISTEN in include/net/tcp_states.h. */
const listenState = "0A";

/** Those that listen, of one table or both after each other. What is no line of them is passed over. */
export function parseListening(text: string): readonly ListeningSocket[] {
  return [...text.matchAll(/^\s*\d+: ([0-9A-F]+):([0-9A-F]{4}) [0-9A-F]+:[0-9A-F]{4} ([0-9A-F]{2}) /gm)].flatMap(
    ([, address = "", port = "", state]) =>
      state === listenState ? [{ address: parseAddress(address), port: Number.parseInt(port, 16) }] : [],
  );
}

function parseAddress(hex: string): string {
  const words = Buffer.from(hex, "hex").swap32();
  if (words.length === 4) return [...words].join(".");
  if (words.every((byte) => byte === 0)) return "::";
  // An IPv4 address that a socket of IPv6 has (RFC 4291 §2.5.5.2).
  const isMapped = words.subarray(0, 12).equals(Buffer.from("00000000000000000000ffff", "hex"));
  if (isMapped) return [...words.subarray(12)].join(".");
  return (words.toString("hex").match(/.{4}/g) ?? []).join(":");
}
