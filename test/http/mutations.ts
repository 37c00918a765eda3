/**
 * Requests and responses that are nearly right: cases of the corpora, cut, joined and changed in a few places.
 *
 *   requestCases ─▶ mutationsOf({ seed, count }) ────────▶ differential.test.ts, bench/http-mutations.bench.ts
 *   responseCases ─▶ mutatedResponses({ seed, count }) ─▶ responses.test.ts, the same bench
 *
 * Equal seeds give equal mutations. The bytes that are put in are those on which parsers disagree.
 */
import { type Random, seededRandom } from "#lib/random.ts";
import { requestCases } from "./request-cases.ts";
import { responseCases } from "./response-cases.ts";

const pieces: readonly string[] = [
  ...Array.from("\r\n \t\0\x0b\x7f\xff:;,/?#+-_\"'()[]@"),
  "\r\n",
  "\r\n\r\n",
  "\n\n",
  "0",
  "00",
  "0x",
  "GET / HTTP/1.1\r\nHost: b\r\n\r\n",
  "Content-Length: 3\r\n",
  "Content-Length: 0\r\n",
  "Transfer-Encoding: chunked\r\n",
  "Transfer-Encoding:\tchunked\r\n",
  "Transfer-Encoding: identity\r\n",
  "Connection: close\r\n",
  "Connection: host, content-length\r\n",
  "Upgrade: websocket\r\n",
  "Expect: 100-continue\r\n",
  "Host: c\r\n",
  "3\r\nabc\r\n",
  "0\r\n\r\n",
  "HTTP/1.0",
  "HTTP/1.1",
  "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
  "HTTP/1.1 100 Continue\r\n\r\n",
  "204",
  "304",
  "chunked",
];

export interface Mutations {
  readonly seed: number;
  readonly count: number;
}

interface Corpus {
  readonly all: readonly string[];
  /** Those that pass give more that nearly pass. */
  readonly accepted: readonly string[];
}

const requests = corpusOf(requestCases);
const responses = corpusOf(responseCases);

export function* mutationsOf({ seed, count }: Mutations): Generator<string> {
  const random = seededRandom(seed);
  for (let index = 0; index < count; index++) yield mutate(random, requests);
}

/** `method` is what was asked. */
export function* mutatedResponses({ seed, count }: Mutations): Generator<{ bytes: string; method: string }> {
  const random = seededRandom(seed);
  for (let index = 0; index < count; index++)
    yield { bytes: mutate(random, responses), method: random.next() < 0.1 ? "HEAD" : "GET" };
}

function corpusOf(cases: readonly { readonly bytes: string; readonly outcome: "forward" | "cut" | number }[]): Corpus {
  const accepted = cases.filter(({ outcome }) => outcome === "forward").map(({ bytes }) => bytes);
  return { all: cases.map(({ bytes }) => bytes), accepted };
}

function mutate(random: Random, { all, accepted }: Corpus): string {
  let text = pick(random, random.next() < 0.7 ? accepted : all);
  if (random.next() < 0.2) text += pick(random, all);
  const changes = 1 + Math.floor(random.next() * 3);
  for (let change = 0; change < changes; change++) text = changeOnce(random, text);
  return text;
}

function changeOnce(random: Random, text: string): string {
  const at = Math.floor(random.next() * (text.length + 1));
  const length = 1 + Math.floor(random.next() * 4);
  switch (Math.floor(random.next() * 5)) {
    case 0:
      return text.slice(0, at) + pick(random, pieces) + text.slice(at);
    case 1:
      return text.slice(0, at) + text.slice(at + length);
    case 2:
      return text.slice(0, at) + pick(random, pieces) + text.slice(at + length);
    case 3: {
      // A line once more, where lines may be.
      const lines = text.split("\r\n");
      const line = Math.floor(random.next() * lines.length);
      lines.splice(Math.floor(random.next() * lines.length), 0, lines[line] ?? "");
      return lines.join("\r\n");
    }
    default:
      return text.slice(0, at) + String.fromCharCode(Math.floor(random.next() * 256)) + text.slice(at + 1);
  }
}

function pick<Item>(random: Random, items: readonly Item[]): Item {
  return items[Math.floor(random.next() * items.length)]!;
}
