/**
 * HTTP/2 towards downstreams, by the cases of h2spec and some more of section 8: over plaintext with prior knowledge
 * and over TLS with ALPN. What node:http2 does otherwise than RFC 9113 says is listed in ../differences.ts, and
 * nothing else.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { http2Otherwise } from "../differences.ts";
import { flowCases } from "./flow-cases.ts";
import { frameCases } from "./frame-cases.ts";
import { genericCases } from "./generic-cases.ts";
import { hpackCases } from "./hpack-cases.ts";
import { messageCases } from "./message-cases.ts";
import { type Case, type Engine, startEngine } from "./peer.ts";
import { streamCases } from "./stream-cases.ts";

const cases = [...genericCases, ...hpackCases, ...streamCases, ...frameCases, ...flowCases, ...messageCases];

for (const transport of ["plaintext", "TLS"] as const) {
  let engine: Engine;
  before(async () => {
    engine = await startEngine(transport === "TLS");
  });
  after(async () => engine[Symbol.asyncDispose]());

  for (const one of cases)
    test(`${transport}, ${one.origin} (${one.section}): ${one.what}`, async () => {
      const { outcome, acks, isClosed, forwarded } = await engine.play(one);
      const otherwise = http2Otherwise[`${one.origin}, ${transport}`] ?? http2Otherwise[one.origin];
      if (otherwise === undefined) assert.ok(isWanted(one, outcome), `${outcome}, not ${one.wants.join(" or ")}`);
      else {
        assert.equal(outcome, otherwise.outcome);
        // What needs no excuse must not have one.
        assert.ok(!isWanted(one, outcome));
      }
      if (one.wantsAcks !== undefined && otherwise === undefined) assert.deepEqual(acks, one.wantsAcks);
      // RFC 9113 §5.4.1: an error of the connection ends it.
      if (outcome.startsWith("GOAWAY")) assert.ok(isClosed);
      // A malformed request must not be forwarded (RFC 9113 §8.1.1), or at least not what is wrong in it.
      if (isMalformed(one))
        for (const line of forwarded) assert.match(line, otherwise === undefined ? /^$/ : plainLine);
    });
}

test("each case of h2spec is there once", () => {
  const origins = cases.map(({ origin }) => origin);
  assert.equal(new Set(origins).size, origins.length);
  const count = (group: string): number => origins.filter((origin) => origin.startsWith(`${group} `)).length;
  assert.deepEqual([count("generic"), count("http2"), count("hpack")], [44, 95, 8]);
  assert.deepEqual(
    Object.keys(http2Otherwise).filter((name) => !origins.includes(name.replace(/, .*/, ""))),
    [],
  );
});

/** An answer of 400 has a body of some length. */
function isWanted({ wants }: Case, outcome: string): boolean {
  return wants.includes(outcome) || (wants.includes("400") && outcome.startsWith("400 "));
}

/** What reaches the upstream of a request that has no fields of its own. */
const plainLine = /^(?:GET|POST) \/ (?:connection )?host (?:transfer-encoding )?x-forwarded-proto$/;

function isMalformed({ section, wants }: Case): boolean {
  return section.startsWith("8.") && section !== "8.4" && !wants.some((outcome) => outcome.startsWith("200"));
}
