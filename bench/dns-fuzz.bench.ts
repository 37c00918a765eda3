/**
 * Does any of ten million mutated messages end the resolver, hold memory, or get what no resolver may say?
 *
 *   corpus ─▶ mutation (seeded) ─▶ a node's packet path: parse, chain, encode   (3 of 4)
 *                               └▶ the reader of upstreams' answers, and its writer (1 of 4)
 *
 * `WHERRY_FUZZ_MESSAGES` sets another number. It ends after ten minutes at the latest, and says how far it came.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import dnsPacket, { type Answer } from "dns-packet";
import { realClock } from "#lib/clock.ts";
import { silentLogger } from "#lib/log.ts";
import { seededRandom } from "#lib/random.ts";
import { fixture, named } from "../dns/fixture.ts";
import { createDNS, nodeCorefile } from "../dns/state.ts";
import { decodeMessage } from "../dns/wire/message.ts";
import { encodeSections } from "../dns/wire/record.ts";
import type { Measured } from "./measured.ts";

const count = Number(process.env["WHERRY_FUZZ_MESSAGES"] ?? 10_000_000);
const minutesMax = 10;
/** After so many messages memory is what it stays: code is compiled, answers are made. */
const warmUp = Math.min(count / 4, 1_000_000);
const responseBytesMax = 1232;
/** NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED; BADVERS is 0 with its upper bits in OPT. */
const rcodesAllowed: ReadonlySet<number> = new Set([0, 1, 2, 3, 4, 5]);

const opt: Answer = { type: "OPT", name: ".", udpPayloadSize: 900, options: [] };

/** Queries of each sort of name, with and without EDNS; other opcodes; loops of pointers; answers. */
function corpus(): { readonly queries: readonly Buffer[]; readonly answers: readonly Buffer[] } {
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
function mutate(seed: Buffer, scratch: Buffer, random: () => number): Buffer {
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
function faultOf(query: Buffer, response: Buffer): string | undefined {
  if (response.length > responseBytesMax) return "too long";
  if (response.readUInt16BE(0) !== query.readUInt16BE(0)) return "another id";
  if (((response[2] ?? 0) & 0x80) === 0) return "no response";
  if (!rcodesAllowed.has((response[3] ?? 0) & 15)) return `rcode ${(response[3] ?? 0) & 15}`;
  return undefined;
}

/** Bytes that are held, once the collector has been through. */
function heldBytes(): number {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

export async function run(): Promise<readonly Measured[]> {
  const dns = createDNS({ clock: realClock, log: silentLogger, corefile: nodeCorefile({ walksSearchList: true }) });
  dns.apply(named(fixture), []);
  dns.markSynced();
  const { queries, answers } = corpus();
  const chance = seededRandom(20_261_121);
  const random = (): number => chance.next();
  const scratch = Buffer.alloc(2048);
  const faults = new Map<string, number>();
  const note = (fault: string | undefined): void => {
    if (fault !== undefined) faults.set(fault, (faults.get(fault) ?? 0) + 1);
  };
  const startMs = performance.now();
  let done = 0;
  let answered = 0;
  let warmBytes = 0;
  for (; done < count && performance.now() - startMs < minutesMax * 60_000; done++) {
    if (done === warmUp) warmBytes = heldBytes();
    // A turn for what was answered later, and for the collector's own work.
    if (done % 100_000 === 0) await new Promise((resolve) => setImmediate(resolve));
    const corpusOf = done % 4 === 3 ? answers : queries;
    const message = mutate(corpusOf[Math.floor(random() * corpusOf.length)] ?? scratch, scratch, random);
    if (corpusOf === answers) {
      const decoded = decodeMessage(message);
      if (decoded !== undefined) encodeSections("\x01a\0", decoded.records);
      continue;
    }
    let response = dns.respond(message, "udp", "10.244.1.2", 4000);
    // The scratch buffer is the message: it must not change while somebody waits for its answer.
    if (response instanceof Promise) response = await response;
    if (!Buffer.isBuffer(response)) continue;
    answered++;
    note(faultOf(message, response));
  }
  const seconds = (performance.now() - startMs) / 1000;
  const grownMB = (heldBytes() - warmBytes) / 2 ** 20;
  if (dns.counters.panics > 0) faults.set("panics", dns.counters.panics);
  await dns.close();
  const wrong = [...faults].map(([fault, times]) => `${times} × ${fault}`).join(", ") || "none wrong";
  return [
    {
      question: `DNS, ${done} mutated messages`,
      measured: `${answered} answered, ${wrong}; memory held ${grownMB >= 0 ? "+" : ""}${grownMB.toFixed(1)} MB; ${Math.round(done / seconds)}/s`,
      budget: "10,000,000, none wrong, memory flat (± 1 MB)",
    },
  ];
}
