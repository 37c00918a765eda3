/**
 * Responses kept as bytes for questions that come again: found by the question's own bytes, and completed where the
 * query lies, without reading it otherwise, without the chain, and without making an object.
 *
 *   query in a slot ─▶ answer(): same bytes but for the case of the name? ─▶ flags, counts, sections written behind it
 *   respond.ts ─▶ offer(): the second time that a question is answered
 *
 * Invariant: what `answer` writes is what the chain would have said, and what the chain would have counted is counted.
 * Only an answer with a `validity` is kept, only where every plugin above it tells what a repetition costs it
 * (`Plugin.repeat`), and only while none of these is over. Bounded: `placesMax` responses; another question of the same
 * place takes it over.
 */
import type { Clock } from "#lib/clock.ts";
import type { Answer, Validity } from "../answer.ts";
import type { Observation, SiteMetrics } from "../metrics.ts";
import type { Repetition, Request } from "../plugin.ts";
import { headerBytes, labelBytesMax, nameBytesMax, types } from "../wire/constants.ts";
import type { Served } from "./router.ts";

/** A power of two. */
const placesMax = 8192;
const placeMask = placesMax - 1;
const optBytes = 11;
/** Of the header's second word: QR and opcode, which are 0 in a query; RD; CD. */
const notQuery = 0xf8;
const recursionDesired = 0x01;
const checkingDisabled = 0x10;

/** Lower case of each byte (RFC 4343). Lengths of labels are below the letters. */
const lower = Uint8Array.from({ length: 256 }, (_, byte) => (byte >= 65 && byte <= 90 ? byte + 32 : byte));

/** One kept response. */
interface Kept {
  readonly hash: number;
  /** Name in lower case, type, class. */
  readonly question: Uint8Array;
  readonly shape: number;
  readonly payloadBytes: number;
  /** Bytes 2 to 12 of the header. */
  readonly head: Uint8Array;
  /** All behind the question. */
  readonly tail: Uint8Array;
  readonly validities: readonly Validity[];
  readonly counts: readonly (() => void)[];
  readonly metrics: SiteMetrics;
  readonly seen: Observation;
  /** Times given out since its counts were told, to IPv4 and to IPv6. */
  hits: number;
  hitsIPv6: number;
}

/** What a response is kept for. */
export interface Offer {
  readonly request: Request;
  readonly served: Served;
  readonly answer: Answer;
  readonly response: Buffer;
  readonly seen: Observation;
}

export class Prebuilt {
  readonly #clock: Clock;
  readonly #places: (Kept | undefined)[] = Array.from({ length: placesMax }, () => undefined);
  /** Hashes of questions that were answered once. */
  readonly #answered = new Int32Array(placesMax);
  /** Of the message that `#read` read last. */
  #hash = 0;
  #shape = 0;
  #payloadBytes = 0;
  /** Whether `answer` was ever asked: for who never asks, nothing is kept. */
  #isUsed = false;
  /** When what is answered now was taken, by the monotonic clock. */
  #startMs = 0;
  readonly #timed: SiteMetrics[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Begins a batch: its answers count as taking as long as all of it. */
  begin(): void {
    this.#startMs = this.#clock.monotonicMs();
  }

  end(): void {
    if (this.#timed.length === 0) return;
    const seconds = (this.#clock.monotonicMs() - this.#startMs) / 1000;
    for (const metrics of this.#timed) metrics.timeRepeats(seconds);
    this.#timed.length = 0;
  }

  /**
   * Completes the query at `start` to its response, in place: `bytes` must have room for it. The length of the
   * response, or 0: nothing was written, and the chain is to be asked.
   */
  answer(bytes: Uint8Array, start: number, length: number, isIPv6: boolean): number {
    this.#isUsed = true;
    const questionEnd = this.#read(bytes, start, length);
    if (questionEnd === 0) return 0;
    const kept = this.#places[this.#hash & placeMask];
    if (kept === undefined || !this.#isAsked(kept, bytes, start, questionEnd)) return 0;
    for (const validity of kept.validities) {
      if (!validity.isOver) continue;
      this.#forget(kept);
      return 0;
    }
    for (const count of kept.counts) count();
    if (isIPv6) kept.hitsIPv6++;
    else kept.hits++;
    if (kept.metrics.repeats++ === 0) this.#timed.push(kept.metrics);
    const { head, tail } = kept;
    for (let at = 0; at < head.length; at++) bytes[start + 2 + at] = head[at] ?? 0;
    bytes.set(tail, start + questionEnd);
    return questionEnd + tail.length;
  }

  /** Keeps a response for the next time, where it may be. */
  offer({ request, served, answer, response, seen }: Offer): void {
    const { bytes } = request.query;
    if (!this.#isUsed || answer.validity === undefined || answer.validity.isOver || served.repeat === undefined) return;
    const questionEnd = this.#read(bytes, 0, bytes.length);
    if (questionEnd === 0) return;
    const place = this.#hash & placeMask;
    if (this.#answered[place] !== this.#hash) {
      this.#answered[place] = this.#hash;
      return;
    }
    const repetitions = served.repeat(request, answer);
    if (repetitions === undefined) return;
    const before = this.#places[place];
    if (before !== undefined) this.#forget(before);
    const question = Uint8Array.from(bytes.subarray(headerBytes, questionEnd));
    for (let at = 0; at < question.length - 4; at++) question[at] = lower[question[at] ?? 0] ?? 0;
    this.#places[place] = {
      hash: this.#hash,
      question,
      shape: this.#shape,
      payloadBytes: this.#payloadBytes,
      head: Uint8Array.from(response.subarray(2, headerBytes)),
      tail: Uint8Array.from(response.subarray(questionEnd)),
      validities: [answer.validity, ...repetitions.flatMap(({ validity }: Repetition) => validity ?? [])],
      counts: repetitions.flatMap(({ count }: Repetition) => count ?? []),
      metrics: served.metrics,
      seen,
      hits: 0,
      hitsIPv6: 0,
    };
  }

  /** Tells the metrics what was given out. */
  settle(): void {
    for (const kept of this.#places) if (kept !== undefined) this.#tell(kept);
  }

  /** Forgets everything. */
  clear(): void {
    this.settle();
    this.#places.fill(undefined);
    this.#answered.fill(0);
  }

  #forget(kept: Kept): void {
    this.#tell(kept);
    this.#places[kept.hash & placeMask] = undefined;
  }

  #tell(kept: Kept): void {
    if (kept.hits > 0) kept.metrics.count({ ...kept.seen, isIPv6: false }, kept.hits);
    if (kept.hitsIPv6 > 0) kept.metrics.count({ ...kept.seen, isIPv6: true }, kept.hitsIPv6);
    kept.hits = 0;
    kept.hitsIPv6 = 0;
  }

  #isAsked(kept: Kept, bytes: Uint8Array, start: number, questionEnd: number): boolean {
    const { question } = kept;
    if (kept.hash !== this.#hash || kept.shape !== this.#shape || kept.payloadBytes !== this.#payloadBytes)
      return false;
    if (question.length !== questionEnd - headerBytes) return false;
    const from = start + headerBytes;
    const nameEnd = question.length - 4;
    for (let at = 0; at < nameEnd; at++) if (question[at] !== lower[bytes[from + at] ?? 0]) return false;
    for (let at = nameEnd; at < question.length; at++) if (question[at] !== bytes[from + at]) return false;
    return true;
  }

  /**
   * Where the question ends, of a query without anything that is rare: one question, at most an OPT without options.
   * Hash and shape are left in their fields. 0: another message.
   */
  #read(bytes: Uint8Array, start: number, length: number): number {
    if (length < headerBytes + 5 || ((bytes[start + 2] ?? 0) & notQuery) !== 0) return 0;
    const additionals = bytes[start + 11] ?? 0;
    const counts = ((bytes[start + 4] ?? 0) << 8) | (bytes[start + 5] ?? 0);
    const others =
      (bytes[start + 6] ?? 0) | (bytes[start + 7] ?? 0) | (bytes[start + 8] ?? 0) | (bytes[start + 9] ?? 0);
    if (counts !== 1 || others !== 0 || (bytes[start + 10] ?? 0) !== 0 || additionals > 1) return 0;
    const end = start + length;
    let at = start + headerBytes;
    let hash = 0x811c9dc5;
    for (let left = bytes[at] ?? 0; left !== 0; left = bytes[at] ?? 0) {
      const labelEnd = at + 1 + left;
      if (left > labelBytesMax || labelEnd >= end || labelEnd - start > headerBytes + nameBytesMax) return 0;
      for (; at < labelEnd; at++) hash = Math.imul(hash ^ (lower[bytes[at] ?? 0] ?? 0), 0x01000193);
    }
    const questionEnd = at + 5;
    if (questionEnd > end || questionEnd - 4 - start > headerBytes + nameBytesMax) return 0;
    for (; at < questionEnd; at++) hash = Math.imul(hash ^ (bytes[at] ?? 0), 0x01000193);
    let shape = ((bytes[start + 2] ?? 0) & recursionDesired) | ((bytes[start + 3] ?? 0) & checkingDisabled);
    let payloadBytes = -1;
    if (additionals === 0 ? questionEnd !== end : !isPlainOPT(bytes, questionEnd, end)) return 0;
    if (additionals === 1) {
      payloadBytes = ((bytes[questionEnd + 3] ?? 0) << 8) | (bytes[questionEnd + 4] ?? 0);
      shape |= (bytes[questionEnd + 7] ?? 0) & 0x80;
    }
    this.#hash = Math.imul(hash ^ shape ^ (payloadBytes << 8), 0x01000193);
    this.#shape = shape;
    this.#payloadBytes = payloadBytes;
    return questionEnd - start;
  }
}

/** OPT of version 0, without options, and nothing behind it. */
function isPlainOPT(bytes: Uint8Array, at: number, end: number): boolean {
  if (end - at !== optBytes || bytes[at] !== 0 || bytes[at + 1] !== 0 || bytes[at + 2] !== types.opt) return false;
  return bytes[at + 6] === 0 && bytes[at + 9] === 0 && bytes[at + 10] === 0;
}
