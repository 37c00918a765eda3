/**
 * Mutated messages, and what no response to one may be. Only tests and benches import this.
 *
 *   corpus ─▶ mutate (seeded) ─▶ a resolver ─▶ faultOf
 */
import dnsPacket, { type Answer } from "dns-packet";

const responseBytesMax = 1232;
/** NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED; BADVERS is 0 with its upper bits in OPT. */
const rcodesAllowed: ReadonlySet<number> = new Set([0, 1, 2, 3, 4, 5]);

const opt: Answer = { type: "OPT", name: ".", udpPayloadSize: 900, options: [] };

/** Queries of each sort of name, with and without EDNS; other opcodes; loops of pointers; answers. */
export function corpus(): { readonly queries: readonly Buffer[]; readonly answers: readonly Buffer[] } {
  const sv = "testns.svc.cluster.local";
  const questions = [
    { name: `svc1.${sv}`, type: "A" },
    { name: `_http._tcp.hdls.${sv}`, type: "SRV" },
    { name: `ext2svc.${sv}`, type: "A" },
    { name: `loop1.${sv}`, type: "AAAA" },
    { name: `big.${sv}`, type: "A" },
    { name: "1.0.0.10.in-addr.arpa", type: "PTR" },
    { name: "10-240-0-1.testns.pod.cluster.local", type: "A" },
    { name: "cluster.local", type: "SOA" },
    { name: "www.example.org", type: "ANY" },
  ];
  const plain = questions.flatMap((question) =>
    [[], [opt]].map((additionals) =>
      dnsPacket.encode({ type: "query", id: 9, flags: 0x100, questions: [question], additionals }),
    ),
  );
  const [first = Buffer.alloc(0)] = plain;
  const withOpcode = (opcode: number): Buffer => {
    const bytes = Buffer.from(first);
    bytes.writeUInt16BE(opcode << 11, 2);
    return bytes;
  };
  const looping = Buffer.concat([first.subarray(0, 12), Buffer.from([1, 97, 0xc0, 12, 0, 1, 0, 1])]);
  const records: readonly Answer[] = [
    { type: "CNAME", name: "a.example.org", ttl: 5, data: "b.example.org" },
    { type: "SRV", name: "b.example.org", ttl: 5, data: { priority: 1, weight: 2, port: 3, target: "c.example.org" } },
    { type: "A", name: "c.example.org", ttl: 5, data: "192.0.2.1" },
    { type: "TXT", name: "c.example.org", ttl: 5, data: [Buffer.from("text")] },
  ];
  const asked = [{ name: "a.example.org", type: "A" }];
  const message = { type: "response", id: 9, flags: 0x180, questions: asked } as const;
  return {
    queries: [...plain, ...[1, 2, 4, 5, 15].map(withOpcode), looping],
    answers: [
      dnsPacket.encode({ ...message, answers: records }),
      dnsPacket.encode({ ...message, answers: records.slice(0, 1), additionals: [opt] }),
    ],
  };
}

/** One to four edits of a copy: bytes, counts, lengths, pointers, cuts, repeats. */
export function mutate(seed: Buffer, scratch: Buffer, random: () => number): Buffer {
  let length = seed.copy(scratch);
  const below = (limit: number): number => Math.floor(random() * limit);
  for (let edits = 1 + below(4); edits > 0; edits--) {
    const at = below(length);
    const kind = below(8);
    if (kind < 3) scratch[at] = below(256);
    else if (kind === 3) scratch[at] = (scratch[at] ?? 0) ^ (1 << below(8));
    else if (kind === 4) scratch[4 + below(8)] = below(4);
    else if (kind === 5) length = Math.max(1, at);
    else if (kind === 6 && at + 2 <= length) scratch.writeUInt16BE(0xc000 | below(length), at);
    else length += scratch.copy(scratch, length, 0, Math.min(at, scratch.length - length));
  }
  return scratch.subarray(0, length);
}

/** What is wrong with a response, or undefined. */
export function faultOf(query: Buffer, response: Buffer): string | undefined {
  if (response.length > responseBytesMax) return "too long";
  if (response.readUInt16BE(0) !== query.readUInt16BE(0)) return "another id";
  if (((response[2] ?? 0) & 0x80) === 0) return "no response";
  if (!rcodesAllowed.has((response[3] ?? 0) & 15)) return `rcode ${(response[3] ?? 0) & 15}`;
  return undefined;
}
