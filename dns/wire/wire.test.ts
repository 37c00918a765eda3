/** The codec against dns-packet as the oracle, and against junk. */
import assert from "node:assert/strict";
import test from "node:test";
import dnsPacket from "dns-packet";
import * as fc from "fast-check";
import { ManualClock } from "#lib/clock.ts";
import { silentLogger } from "#lib/log.ts";
import { seededRandom } from "#lib/random.ts";
import { fromBytes, toBytes } from "../address.ts";
import { fixture, named } from "../fixture.ts";
import { createDNS } from "../state.ts";
import { answerOf, recordsOf, withRecords } from "../answer.ts";
import { types } from "./constants.ts";
import { addressRecord, nameRecord, srvRecord } from "./data.ts";
import { keyOfOwn, suffixOffset, toKey, toText } from "./name.ts";
import { decodeMessage } from "./message.ts";
import { parseQuery } from "./query.ts";
import { encodeSections, type RR } from "./record.ts";
import { encodeResponse } from "./response.ts";

const label = fc.stringMatching(/^[a-zA-Z0-9_-]{1,20}$/);
const name = fc.array(label, { minLength: 1, maxLength: 8 }).map((labels) => labels.join("."));

test("parseQuery() reads what dns-packet writes", () => {
  fc.assert(
    fc.property(name, fc.constantFrom("A", "AAAA", "SRV", "TXT"), fc.nat(65_535), (qname, type, id) => {
      const bytes = dnsPacket.encode({ type: "query", id, flags: 0x100, questions: [{ name: qname, type }] });
      const query = parseQuery(bytes);
      assert.equal(query.kind === "query" && query.name, toKey(qname));
    }),
  );
});

test("encodeSections() writes what dns-packet reads", () => {
  const records = fc.array(fc.tuple(name, fc.nat(65_535), name, fc.nat(3)), { maxLength: 20 });
  fc.assert(
    fc.property(name, records, (qname, rows) => {
      const answer = rows.map(([owner, number, target, kind]): RR => {
        const base = { name: keyOfOwn(owner), ttl: number };
        const to = keyOfOwn(target);
        if (kind === 0) return addressRecord(base, Uint8Array.of(10, 0, number >> 8, number & 255));
        if (kind === 1) return nameRecord(base, types.cname, to);
        if (kind === 2) return srvRecord(base, { priority: 1, weight: 2, port: number, target: to });
        return nameRecord(base, types.ptr, to);
      });
      const query = parseQuery(dnsPacket.encode({ type: "query", id: 1, questions: [{ name: qname, type: "A" }] }));
      assert.equal(query.kind, "query");
      if (query.kind !== "query") return;
      const sections = encodeSections(query.name, { answer });
      const decoded = dnsPacket.decode(encodeResponse(query, answerOf({ sections }), 65_535));
      assert.equal(decoded.questions?.[0]?.name, qname);
      const found = (decoded.answers ?? []).map((record) => {
        if (record.type === "OPT" || record.type === "TXT" || record.type === "SOA") return record.type;
        const data = record.type === "SRV" ? `${record.data.port} ${record.data.target}` : record.data;
        return `${record.name} ${record.ttl} ${record.type} ${data}`.toLowerCase();
      });
      const wanted = rows.map(([owner, number, target, kind]) => {
        const type = ["A", "CNAME", "SRV", "PTR"][kind];
        const data = [`10.0.${number >> 8}.${number & 255}`, target, `${number} ${target}`, target][kind];
        return `${owner} ${number} ${type} ${data}`.toLowerCase();
      });
      assert.deepEqual(found, wanted);
    }),
  );
});

test("respond() gives every message of junk an answer that can be read, or none", () => {
  const dns = createDNS({ clock: new ManualClock(), log: silentLogger });
  dns.apply(named(fixture), []);
  dns.markSynced();
  const random = seededRandom(20_260_101);
  const opt = { type: "OPT", name: ".", udpPayloadSize: 900, options: [] } as const;
  const questions = [{ name: "_http._tcp.hdls.testns.svc.cluster.local", type: "SRV" }];
  const seed = dnsPacket.encode({ type: "query", id: 9, questions, additionals: [opt] });
  for (let round = 0; round < 50_000; round++) {
    const isMutation = random.next() < 0.7;
    const message = isMutation ? Buffer.from(seed) : Buffer.from(random.bytes(Math.floor(random.next() * 80)));
    const edits = isMutation ? 1 + Math.floor(random.next() * 4) : 0;
    for (let edit = 0; edit < edits; edit++) {
      message[Math.floor(random.next() * message.length)] = Math.floor(random.next() * 256);
    }
    const cut = random.next() < 0.2 ? message.subarray(0, Math.floor(random.next() * message.length)) : message;
    const response = dns.respond(cut, "udp", "", 0);
    if (!Buffer.isBuffer(response)) continue;
    assert.equal(response.length <= 1232, true);
    assert.equal(response.readUInt16BE(0), cut.readUInt16BE(0));
    assert.equal((response[2] ?? 0) & 0x80, 0x80);
  }
  assert.equal(dns.counters.panics, 0);
});

test("toKey() and toText() are inverse, and refuse what is no name", () => {
  assert.equal(toText(keyOfOwn("Svc1.Default.")), "svc1.default.");
  for (const bad of ["a..b", "x".repeat(64), `${"abc.".repeat(64)}com`, "a b"]) assert.equal(toKey(bad), undefined);
});

test("suffixOffset() finds label boundaries only", () => {
  const zone = keyOfOwn("cluster.local");
  assert.equal(suffixOffset(keyOfOwn("a.cluster.local"), zone), 2);
  assert.equal(suffixOffset(zone, zone), 0);
  assert.equal(suffixOffset(`\x09a${zone}`, zone), -1);
  assert.equal(suffixOffset(keyOfOwn("notcluster.local"), zone), -1);
});

test("decodeMessage() survives junk, loops of pointers, and reads back what dns-packet writes", () => {
  const random = seededRandom(20_260_102);
  const answers = [
    { type: "CNAME", name: "a.example.org", ttl: 5, data: "b.example.org" },
    { type: "SRV", name: "b.example.org", ttl: 5, data: { priority: 1, weight: 2, port: 3, target: "c.example.org" } },
    { type: "A", name: "c.example.org", ttl: 5, data: "192.0.2.1" },
  ] as const;
  const questions = [{ name: "a.example.org", type: "A" }];
  const seed = dnsPacket.encode({ type: "response", id: 9, questions, answers });
  assert.equal(decodeMessage(seed)?.records.answer.length, 3);
  for (let round = 0; round < 50_000; round++) {
    const message = Buffer.from(seed);
    for (let edit = 0; edit <= random.next() * 4; edit++) {
      message[Math.floor(random.next() * message.length)] = Math.floor(random.next() * 256);
    }
    const decoded = decodeMessage(message.subarray(0, Math.floor((0.5 + random.next()) * message.length)));
    if (decoded === undefined) continue;
    // What was read can be written again.
    const { bytes } = encodeSections("\x01a\0", decoded.records);
    assert.ok(bytes.length <= 65_535);
  }
  const looping = Buffer.concat([seed.subarray(0, 12), Buffer.from([0xc0, 12, 0, 1, 0, 1])]);
  assert.equal(decodeMessage(looping), undefined);
});

test("recordsOf() and withRecords() are inverse, and age TTLs", () => {
  const records = fc.array(fc.tuple(name, fc.nat(65_535), fc.nat(3)), { minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(name, records, fc.nat(100), (qname, rows, ageSeconds) => {
      const answer = rows.map(([target, ttl, kind]) => {
        const owner = { name: keyOfOwn(qname), ttl };
        if (kind === 0) return srvRecord(owner, { priority: 1, weight: 2, port: 3, target: keyOfOwn(target) });
        if (kind === 1) return addressRecord(owner, Uint8Array.of(1, 2, 3, kind));
        return nameRecord(owner, kind === 2 ? types.cname : types.mx + 100, keyOfOwn(target));
      });
      const query = parseQuery(dnsPacket.encode({ type: "query", id: 1, questions: [{ name: qname, type: "A" }] }));
      assert.equal(query.kind, "query");
      if (query.kind !== "query") return;
      const made = answerOf({ sections: encodeSections(query.name, { answer }) });
      const found = recordsOf(query, { ...made, ageSeconds }).answer;
      const wanted = answer.map((record) => ({
        ...record,
        ttl: Math.max(0, record.ttl - ageSeconds),
        data: Buffer.from(record.data),
      }));
      assert.deepEqual(found, wanted);
      assert.deepEqual(withRecords(query, made, { answer }).sections.bytes, made.sections.bytes);
      const written = encodeResponse(query, { ...made, ageSeconds }, 65_535);
      assert.deepEqual(decodeMessage(written)?.records.answer, wanted);
    }),
  );
});

test("fromBytes() writes addresses as URLs do", () => {
  const bytes = fc.uint8Array({ minLength: 16, maxLength: 16 });
  const sparse = fc.array(fc.constantFrom(0, 0, 0, 1, 255), { minLength: 16, maxLength: 16 });
  fc.assert(
    fc.property(fc.oneof(bytes, sparse), (given) => {
      const address = Uint8Array.from(given);
      const groups = Array.from({ length: 8 }, (_, at) =>
        Buffer.from(address)
          .readUInt16BE(2 * at)
          .toString(16),
      );
      const { hostname } = new URL(`http://[${groups.join(":")}]`);
      const text = fromBytes(address);
      assert.deepEqual(toBytes(text), text.includes(":") ? address : address.subarray(12));
      if (text.includes(":")) assert.equal(`[${text}]`, hostname);
    }),
    { numRuns: 1000 },
  );
  assert.equal(fromBytes(Uint8Array.from([10, 0, 0, 255])), "10.0.0.255");
  assert.equal(fromBytes(toBytes("::ffff:10.0.0.9") ?? new Uint8Array(4)), "10.0.0.9");
});
