/**
 * Is anything that the engine forwards read as two requests, in a million mutations of the corpus of test/http?
 *
 * Each mutation goes through the engine's own parser; what it would forward is read again and must be the same one
 * request. The test beside the corpus does the same with llhttp as the second reader, on fewer of them.
 */
import { mutationsOf } from "../test/http/mutations.ts";
import { readForwarded } from "../test/http/reading.ts";
import type { Measured } from "./measured.ts";

const count = 1_000_000;

export async function run(): Promise<readonly Measured[]> {
  let forwarded = 0;
  let split = 0;
  const startMs = performance.now();
  for (const bytes of mutationsOf({ seed: 1, count })) {
    for (const { head, body, text } of readForwarded(bytes)) {
      forwarded++;
      const [first, second] = readForwarded(text);
      const isSame = first?.head.method === head.method && first.head.target === head.target && first.body === body;
      if (!isSame || second !== undefined) split++;
    }
  }
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
  return [
    {
      question: `forwarded requests that read as another or as two, of ${count} mutations`,
      measured: `${split} of ${forwarded} forwarded, in ${seconds} s`,
      budget: "0",
    },
  ];
}
