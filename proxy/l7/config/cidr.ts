/**
 * A CidrRange → a range that addresses are tested against. Pure. Source: envoy.config.core.v3.CidrRange.
 */
import { BlockList, isIP } from "node:net";
import type { Reader } from "./reader.ts";

export interface AddressRange {
  readonly text: string;
  /** Bits of the prefix: more are more specific. */
  readonly bits: number;
  has(address: string): boolean;
}

export function readRange(reader: Reader): AddressRange {
  const address = reader.wantText("address_prefix");
  const family = isIP(address);
  if (family === 0) throw reader.bad("address_prefix", `${JSON.stringify(address)} is not an IP address`);
  const bits = reader.integer("prefix_len", 0) ?? 0;
  if (bits > (family === 4 ? 32 : 128)) throw reader.bad("prefix_len", "it is longer than the address");
  reader.done();
  const list = new BlockList();
  list.addSubnet(address, bits, family === 4 ? "ipv4" : "ipv6");
  return {
    text: `${address}/${bits}`,
    bits,
    has(other) {
      const kind = isIP(other);
      return kind === family && list.check(other, kind === 4 ? "ipv4" : "ipv6");
    },
  };
}
