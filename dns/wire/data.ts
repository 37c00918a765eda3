/** Record data of the types that we make ourselves: values in, RRs out. Names are keys (name.ts). Pure. */
import { classIN, types } from "./constants.ts";
import type { RR } from "./record.ts";

/** What every record has. */
export interface Owner {
  readonly name: string;
  readonly ttl: number;
}

function record({ name, ttl }: Owner, type: number, data: Uint8Array): RR {
  return { name, ttl, type, class: classIN, data };
}

/** A for 4 bytes, AAAA for 16. */
export function addressRecord(owner: Owner, address: Uint8Array): RR {
  return record(owner, address.length === 4 ? types.a : types.aaaa, address);
}

/** CNAME, NS or PTR to the name `target`. */
export function nameRecord(owner: Owner, type: number, target: string): RR {
  return record(owner, type, Buffer.from(target, "latin1"));
}

export interface SRVData {
  readonly priority: number;
  readonly weight: number;
  readonly port: number;
  readonly target: string;
}

export function srvRecord(owner: Owner, { priority, weight, port, target }: SRVData): RR {
  const data = Buffer.allocUnsafe(6 + target.length);
  data.writeUInt16BE(priority, 0);
  data.writeUInt16BE(weight, 2);
  data.writeUInt16BE(port, 4);
  data.write(target, 6, "latin1");
  return record(owner, types.srv, data);
}

/** Each text is cut into strings of at most 255 bytes (RFC 1035 §3.3.14). */
export function txtRecord(owner: Owner, ...texts: readonly string[]): RR {
  return record(owner, types.txt, characterStrings(texts));
}

/** RFC 8482 §4.2: what an ANY query gets. */
export function hinfoRecord(owner: Owner, cpu: string, os: string): RR {
  return record(owner, types.hinfo, characterStrings([cpu, os]));
}

export interface SOAData {
  readonly mname: string;
  readonly rname: string;
  readonly serial: number;
  readonly refresh: number;
  readonly retry: number;
  readonly expire: number;
  readonly minimum: number;
}

export function soaRecord(owner: Owner, soa: SOAData): RR {
  const names = Buffer.from(soa.mname + soa.rname, "latin1");
  const numbers = Buffer.allocUnsafe(20);
  const { serial, refresh, retry, expire, minimum } = soa;
  for (const [index, number] of [serial, refresh, retry, expire, minimum].entries()) {
    numbers.writeUInt32BE(number, index * 4);
  }
  return record(owner, types.soa, Buffer.concat([names, numbers]));
}

/** Length byte and bytes of each text; longer ones are cut into several. */
export function characterStrings(texts: readonly string[]): Buffer {
  const parts: Buffer[] = [];
  for (const text of texts) {
    const bytes = Buffer.from(text, "latin1");
    for (let at = 0; at === 0 || at < bytes.length; at += 255) {
      const part = bytes.subarray(at, at + 255);
      parts.push(Buffer.from([part.length]), part);
    }
  }
  return Buffer.concat(parts);
}

/** The name that a CNAME, NS, PTR, SRV or MX record points to, as a key; undefined for other types. */
export function targetOf({ type, data }: RR): string | undefined {
  const skipped: Readonly<Record<number, number>> = {
    [types.cname]: 0,
    [types.ns]: 0,
    [types.ptr]: 0,
    [types.dname]: 0,
    [types.mx]: 2,
    [types.srv]: 6,
  };
  const from = skipped[type];
  return from === undefined ? undefined : Buffer.from(data.subarray(from)).toString("latin1").toLowerCase();
}

/** The last number of an SOA, which bounds negative caching (RFC 2308 §4). */
export function soaMinimum({ data }: RR): number {
  return data.length < 20 ? 0 : Buffer.from(data.buffer, data.byteOffset, data.length).readUInt32BE(data.length - 4);
}
