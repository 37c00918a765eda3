/**
 * Is anything that the engine forwards read as two requests, or relayed as two responses, in a million mutations of the
 * corpora of test/http: half of them requests, half responses?
 *
 * Each mutation goes through the engine's own parser; what it would write is read again and must be the same one
 * message. The tests beside the corpora do the same with llhttp as the second reader, on fewer of them.
 */
import { mutatedResponses, mutationsOf } from "../test/http/mutations.ts";
import { readForwarded } from "../test/http/reading.ts";
import { readResponses, relay } from "../test/http/relaying.ts";
import type { Measured } from "./measured.ts";

const count = 500_000;

export async function run(): Promise<readonly Measured[]> {
  return [measure("forwarded requests", requests), measure("relayed responses", responses)];
}

interface Found {
  /** Messages that were written. */
  written: number;
  /** Of them, those that read as another message, or as two. */
  split: number;
}

function measure(what: string, look: () => Found): Measured {
  const startMs = performance.now();
  const { written, split } = look();
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
  return {
    question: `${what} that read as another or as two, of ${count} mutations`,
    measured: `${split} of ${written}, in ${seconds} s`,
    budget: "0",
  };
}

function requests(): Found {
  const found: Found = { written: 0, split: 0 };
  for (const bytes of mutationsOf({ seed: 1, count }))
    for (const { head, body, text } of readForwarded(bytes)) {
      found.written++;
      const [first, second] = readForwarded(text);
      const isSame = first?.head.method === head.method && first.head.target === head.target && first.body === body;
      if (!isSame || second !== undefined) found.split++;
    }
  return found;
}

function responses(): Found {
  const found: Found = { written: 0, split: 0 };
  for (const { bytes, method } of mutatedResponses({ seed: 1, count })) {
    const relayed = relay(bytes, method);
    if (relayed === undefined) continue;
    found.written++;
    const [first, second] = [...readResponses(relayed.text, method)];
    const isSame = first?.head.status === relayed.head.status && first.body === relayed.body;
    if (!isSame || second !== undefined) found.split++;
  }
  return found;
}
