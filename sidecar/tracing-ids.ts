/**
 * Random identifiers for traces, spans and requests, drawn from a pool: a system call for each would cost more than the
 * identifier.
 */
import type { Random } from "#lib/random.ts";
import { isZero } from "./tracing-context.ts";

/** Bytes drawn at a time. */
const poolBytes = 4096;
const uuidBytes = 16;
const dash = 0x2d;
const uuidChars = 36;
/** Which of its 32 digits is at each place of a UUID; -1 is a dash. */
const uuidDigits: Int8Array = Int8Array.from({ length: uuidChars }, (_, place) => {
  if (place === 8 || place === 13 || place === 18 || place === 23) return -1;
  return place - [8, 13, 18, 23].filter((at) => at < place).length;
});

export class Ids {
  readonly #random: Random;
  #pool = "";
  #at = 0;
  /** Identifiers one behind the other: taken whole, each is one piece of the head that it is written into. */
  #uuids = "";
  #uuidsAt = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  /** `digits` hexadecimal digits, not all of them zero (which would mean "none"). */
  hex(digits: number): string {
    if (this.#at + digits > this.#pool.length) {
      this.#pool = Buffer.from(this.#random.bytes(poolBytes)).toString("hex");
      this.#at = 0;
    }
    const text = this.#pool.slice(this.#at, this.#at + digits);
    this.#at += digits;
    return isZero(text, 0, digits) ? `${text.slice(1)}1` : text;
  }

  /** A random UUID, RFC 9562 §5.4. */
  uuid(): string {
    if (this.#uuidsAt === this.#uuids.length) {
      this.#uuids = formatUUIDs(this.#random.bytes(poolBytes));
      this.#uuidsAt = 0;
    }
    const from = this.#uuidsAt;
    this.#uuidsAt = from + uuidChars;
    return this.#uuids.slice(from, this.#uuidsAt);
  }
}

/** Of each 16 random bytes the UUID, without anything between two of them. */
function formatUUIDs(random: Uint8Array): string {
  for (let at = 0; at < random.length; at += uuidBytes) {
    // Version 4, variant 10.
    random[at + 6] = (random[at + 6]! & 0x0f) | 0x40;
    random[at + 8] = (random[at + 8]! & 0x3f) | 0x80;
  }
  const digits = Buffer.from(Buffer.from(random).toString("hex"), "latin1");
  const text = Buffer.allocUnsafe((random.length / uuidBytes) * uuidChars);
  for (let from = 0, to = 0; to < text.length; from += 2 * uuidBytes, to += uuidChars)
    for (let at = 0; at < uuidChars; at++) {
      const digit = uuidDigits[at]!;
      text[to + at] = digit < 0 ? dash : digits[from + digit]!;
    }
  return text.toString("latin1");
}
