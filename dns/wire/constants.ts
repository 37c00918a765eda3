/** Numbers of the DNS protocol: RFC 1035, 2782 (SRV), 3596 (AAAA), 6891 (EDNS0). */

export const rcodes = { noError: 0, formErr: 1, servFail: 2, nxDomain: 3, notImp: 4, refused: 5 } as const;

/** Extended rcode BADVERS: its upper bits go into the OPT record (RFC 6891 §9). */
export const badVersion = 16;

export const types = {
  a: 1,
  ns: 2,
  cname: 5,
  soa: 6,
  ptr: 12,
  hinfo: 13,
  mx: 15,
  txt: 16,
  aaaa: 28,
  srv: 33,
  opt: 41,
  https: 65,
  any: 255,
} as const;

export const classIN = 1;

/** Bits of the header's second word. */
export const flags = { response: 0x8000, authoritative: 0x0400, truncated: 0x0200, recursionDesired: 0x0100 } as const;

export const headerBytes = 12;
export const labelBytesMax = 63;
export const nameBytesMax = 255;
