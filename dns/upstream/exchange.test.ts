/** Which replies count: with the question that was asked, or a bare failure. */
import assert from "node:assert/strict";
import test from "node:test";
import { seededRandom } from "#lib/random.ts";
import dnsPacket, { type DecodedPacket } from "dns-packet";
import { reply } from "../plugin-fixture.ts";
import { type Reply, WaitingTable } from "./exchange.ts";

const forged = [{ type: "A", name: "a.test", ttl: 60, data: "203.0.113.66" } as const];

/** Settles one question for `a.TEST` A IN with the bytes that `make` gives; what came of it. */
function settleWith(make: (query: DecodedPacket) => Buffer): { readonly counts: boolean; readonly reply?: Reply } {
  const table = new WaitingTable(seededRandom(1));
  let settled: Reply | undefined;
  const asked = { nameAsSent: "\u0001a\u0004TEST\0", type: 1, class: 1 };
  const waiting = table.add(asked, (given) => (settled = given));
  const questions = [{ name: "a.TEST", type: "A" }];
  const query = dnsPacket.decode(dnsPacket.encode({ type: "query", id: waiting?.id ?? 0, flags: 0, questions }));
  const counts = table.settle(make(query));
  return { counts, ...(settled === undefined ? {} : { reply: settled }) };
}

test("settle() takes the question that was asked, and tells when its case was lost", () => {
  assert.equal(settleWith((query) => reply(query, forged)).reply?.kind, "message");
  const questions = [{ name: "a.test", type: "A" }];
  assert.equal(settleWith((query) => reply({ ...query, questions }, forged)).reply?.kind, "caseLost");
});

test("settle() without a question takes only failures, and none of their records", () => {
  for (const rcode of [1, 2, 4, 5]) {
    const settled = settleWith((query) => reply({ ...query, questions: [] }, forged, rcode)).reply;
    assert.ok(settled?.kind === "message", `rcode ${rcode}`);
    assert.equal(settled.message.rcode, rcode);
    assert.deepEqual(settled.message.records, { answer: [], authority: [], additional: [] });
  }
  for (const rcode of [0, 3, 6, 9]) {
    const { counts } = settleWith((query) => reply({ ...query, questions: [] }, forged, rcode));
    assert.equal(counts, false, `rcode ${rcode}`);
  }
});

test("settle() compares name, type and class", () => {
  const others = [
    { name: "b.TEST", type: "A" },
    { name: "a.TEST", type: "AAAA" },
  ];
  for (const question of others)
    assert.equal(settleWith((query) => reply({ ...query, questions: [question] }, forged)).counts, false);
  const chaos = settleWith((query) => {
    const bytes = reply(query, []);
    bytes.writeUInt16BE(3, 12 + "\u0001a\u0004TEST\0".length + 2);
    return bytes;
  });
  assert.equal(chaos.counts, false);
});
