/**
 * An address as Envoy writes it. Pure.
 *
 *   SocketAddress ─▶ addressOf() ─▶ "10.0.0.1:80", "[fd00::1]:80"
 */
import { isIPv6 } from "node:net";
import type { SocketAddress } from "./types.ts";

export function addressOf({ address, port }: SocketAddress): string {
  return isIPv6(address) ? `[${address}]:${port}` : `${address}:${port}`;
}
