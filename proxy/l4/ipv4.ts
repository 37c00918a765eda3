/** IPv4 addresses and ranges in text. Strict: no leading zeros, no short forms (kubernetes TestBadIPs). */

const octet = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])";
const pattern = new RegExp(`^${octet}(?:\\.${octet}){3}$`);

export function isIPv4(text: string): boolean {
  return pattern.test(text);
}

/** Whether the address is in the range. Both are well-formed. */
export function isInCIDR(address: string, cidr: string): boolean {
  const [network = "", bits = ""] = cidr.split("/");
  const size = 2 ** (32 - Number(bits));
  return Math.floor(toNumber(address) / size) === Math.floor(toNumber(network) / size);
}

function toNumber(address: string): number {
  return address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
}
