/**
 * Questions that wait for their answers, by message id: what UDP sockets and TCP connections to upstreams share.
 *
 *   ask(question) ─▶ id, random case ─▶ upstream ─▶ bytes ─▶ settle() ─▶ Message
 *
 * A reply counts only when id and question are those that were asked; the case of the name, drawn by chance, counts
 * too (draft-vixie-dnsext-dns0x20). One without a question counts as a failure and nothing more. Bounded: ids; who
 * waits has a deadline.
 */
import type { Random } from "#lib/random.ts";
import { flags, headerBytes, rcodes } from "../wire/constants.ts";
import { decodeMessage, encodeQuery, type Message, type Question } from "../wire/message.ts";
import { nameAsSent, type Query } from "../wire/query.ts";

/** What came of a question. */
export type Reply =
  | { readonly kind: "message"; readonly message: Message }
  /** All is right but the case of the name. */
  | { readonly kind: "caseLost"; readonly message: Message }
  | { readonly kind: "malformed" };

/** What is asked; the name with the case in which it is sent. */
export type Asked = Pick<Question, "nameAsSent" | "type" | "class">;

export interface Waiting {
  readonly id: number;
  readonly asked: Asked;
  readonly settle: (reply: Reply) => void;
}

/** Ids drawn before a table counts as full. */
const drawsMax = 64;
/** Some refuse so without repeating the question. Whatever else lacks it may be forged: it has no case to compare. */
const failuresWithoutQuestion: ReadonlySet<number> = new Set([
  rcodes.formErr,
  rcodes.servFail,
  rcodes.notImp,
  rcodes.refused,
]);

export class WaitingTable {
  readonly #waiting = new Map<number, Waiting>();
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  get size(): number {
    return this.#waiting.size;
  }

  /** Registers a question under an id that nobody could foresee; undefined when there are too many. */
  add(asked: Asked, settle: (reply: Reply) => void): Waiting | undefined {
    for (let draw = 0; draw < drawsMax; draw++) {
      const [high = 0, low = 0] = this.#random.bytes(2);
      const id = (high << 8) | low;
      if (this.#waiting.has(id)) continue;
      const waiting: Waiting = { id, asked, settle };
      this.#waiting.set(id, waiting);
      return waiting;
    }
    return undefined;
  }

  remove({ id }: Waiting): void {
    this.#waiting.delete(id);
  }

  get(id: number): Waiting | undefined {
    return this.#waiting.get(id);
  }

  /** Everyone who waits gets nothing. */
  failAll(): void {
    const all = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { settle } of all) settle({ kind: "malformed" });
  }

  /** Who asked what begins so gets nothing: it did not arrive. False: nobody waits with that id. */
  fail(bytes: Buffer): boolean {
    const waiting = bytes.length < 2 ? undefined : this.#waiting.get(bytes.readUInt16BE(0));
    if (waiting === undefined) return false;
    this.#waiting.delete(waiting.id);
    waiting.settle({ kind: "malformed" });
    return true;
  }

  /** Hands bytes to who waits for them. False: nobody does, as with a forged or late reply. */
  settle(bytes: Buffer): boolean {
    if (bytes.length < headerBytes) return false;
    const waiting = this.#waiting.get(bytes.readUInt16BE(0));
    if (waiting === undefined || (bytes.readUInt16BE(2) & flags.response) === 0) return false;
    const message = decodeMessage(bytes);
    if (message === undefined) {
      // Only who knew the id could send it; but a guess must not end the wait for the true one.
      return false;
    }
    const reply = replyTo(waiting.asked, message);
    if (reply === undefined) return false;
    this.#waiting.delete(waiting.id);
    waiting.settle(reply);
    return true;
  }
}

/** What `message` is to who asked; undefined: no reply to that. */
function replyTo(asked: Asked, message: Message): Reply | undefined {
  const { question } = message;
  if (question === undefined) {
    if (!failuresWithoutQuestion.has(message.rcode)) return undefined;
    const records = { answer: [], authority: [], additional: [] };
    return { kind: "message", message: { ...message, records, options: undefined } };
  }
  const isAsked =
    question.name === asked.nameAsSent.toLowerCase() && question.type === asked.type && question.class === asked.class;
  if (!isAsked) return undefined;
  return { kind: question.nameAsSent === asked.nameAsSent ? "message" : "caseLost", message };
}

/** The name with the case of each letter drawn by chance. */
export function mixCase(name: string, random: Random): string {
  const bits = random.bytes(Math.ceil(name.length / 8));
  let mixed = "";
  for (let at = 0; at < name.length; at++) {
    const letter = name.charAt(at);
    const isLetter = /[a-zA-Z]/.test(letter);
    // Length bytes of 65 and more do not exist, so only letters of labels are changed.
    const isUpper = (((bits[at >> 3] ?? 0) >> (at & 7)) & 1) === 1;
    mixed += !isLetter ? letter : isUpper ? letter.toUpperCase() : letter.toLowerCase();
  }
  return mixed;
}

/** Bytes to send for a downstream's query. */
export function encodeUpstreamQuery(query: Query, id: number, name: string): Buffer {
  const word = query.bytes.readUInt16BE(2);
  return encodeQuery({
    id,
    name,
    type: query.type,
    class: query.class,
    isRecursionDesired: (word & flags.recursionDesired) !== 0,
    isCheckingDisabled: (word & flags.checkingDisabled) !== 0,
    payloadBytes: query.payloadBytes === undefined && query.forwarded === undefined ? 0 : 1232,
    dnssecOK: query.dnssecOK,
    options: query.forwarded,
  });
}

/** The name to send: with drawn case where the upstream keeps it. */
export function nameToSend(query: Query, keepsCase: boolean, random: Random): string {
  return keepsCase ? mixCase(nameAsSent(query), random) : nameAsSent(query);
}
