/**
 * Numbers of the DNS protocol: RFC 1035, 2782 (SRV), 3596 (AAAA), 6891 (EDNS0), 8482 (HINFO for ANY), 9460 (HTTPS).
 */

export const rcodes = {
  noError: 0,
  formErr: 1,
  servFail: 2,
  nxDomain: 3,
  notImp: 4,
  refused: 5,
  /** Extended: its upper bits go into the OPT record (RFC 6891 §9). */
  badVersion: 16,
} as const;

/** Names of rcodes as metrics, logs and Corefiles spell them. */
export const rcodeNames: Readonly<Record<number, string>> = {
  0: "NOERROR",
  1: "FORMERR",
  2: "SERVFAIL",
  3: "NXDOMAIN",
  4: "NOTIMP",
  5: "REFUSED",
  6: "YXDOMAIN",
  7: "YXRRSET",
  8: "NXRRSET",
  9: "NOTAUTH",
  10: "NOTZONE",
  16: "BADVERS",
};

export const types = {
  a: 1,
  ns: 2,
  cname: 5,
  soa: 6,
  minfo: 14,
  ptr: 12,
  hinfo: 13,
  mx: 15,
  txt: 16,
  rp: 17,
  afsdb: 18,
  sig: 24,
  key: 25,
  px: 26,
  aaaa: 28,
  srv: 33,
  naptr: 35,
  kx: 36,
  dname: 39,
  opt: 41,
  ds: 43,
  rrsig: 46,
  nsec: 47,
  dnskey: 48,
  nsec3: 50,
  svcb: 64,
  https: 65,
  spf: 99,
  ixfr: 251,
  axfr: 252,
  any: 255,
  caa: 257,
} as const;

/** Type number → its name in upper case; others are `TYPEn` (RFC 3597 §5). */
export const typeNames: ReadonlyMap<number, string> = new Map(
  Object.entries(types).map(([name, number]) => [number, name.toUpperCase()] as const),
);

/** `A`, `AAAA`, …, `TYPE65280`. */
export function typeName(type: number): string {
  return typeNames.get(type) ?? `TYPE${type}`;
}

/** The number of a type's name, in any case; undefined when it is none. */
export function typeNumber(name: string): number | undefined {
  const known = (types as Readonly<Record<string, number>>)[name.toLowerCase()];
  if (known !== undefined) return known;
  const generic = /^TYPE([0-9]{1,5})$/i.exec(name)?.[1];
  return generic === undefined || Number(generic) > 65_535 ? undefined : Number(generic);
}

export const classIN = 1;

/** Bits of the header's second word. */
export const flags = {
  response: 0x8000,
  authoritative: 0x0400,
  truncated: 0x0200,
  recursionDesired: 0x0100,
  recursionAvailable: 0x0080,
  authenticData: 0x0020,
  checkingDisabled: 0x0010,
} as const;

export const headerBytes = 12;
export const labelBytesMax = 63;
export const nameBytesMax = 255;
export const messageBytesMax = 65_535;
