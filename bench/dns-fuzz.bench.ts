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
import { realClock } from "#lib/clock.ts";
import { silentLogger } from "#lib/log.ts";
import { seededRandom } from "#lib/random.ts";
import { fixture, named } from "../dns/fixture.ts";
import { corpus, faultOf, mutate } from "../dns/mutations.ts";
import { createDNS, nodeCorefile } from "../dns/state.ts";
import { decodeMessage } from "../dns/wire/message.ts";
import { encodeSections } from "../dns/wire/record.ts";
import type { Measured } from "./measured.ts";

const count = Number(process.env["WHERRY_FUZZ_MESSAGES"] ?? 10_000_000);
const minutesMax = 10;
/** After so many messages memory is what it stays: code is compiled, answers are made. */
const warmUp = Math.min(count / 4, 1_000_000);
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
