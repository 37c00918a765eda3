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
/** Codes of the hexadecimal digits. */
const digitCodes: Uint8Array = Uint8Array.from("0123456789abcdef", (digit) => digit.charCodeAt(0));

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
  const text = Buffer.allocUnsafe((random.length / uuidBytes) * uuidChars);
  let to = 0;
  for (let from = 0; from < random.length; from++) {
    const at = from % uuidBytes;
    let byte = random[from]!;
    // Version 4, variant 10.
    if (at === 6) byte = (byte & 0x0f) | 0x40;
    else if (at === 8) byte = (byte & 0x3f) | 0x80;
    if (at === 4 || at === 6 || at === 8 || at === 10) text[to++] = dash;
    text[to++] = digitCodes[byte >> 4]!;
    text[to++] = digitCodes[byte & 15]!;
  }
  return text.toString("latin1");
}
