/**
 * Random identifiers for traces, spans and requests, drawn from a pool: a system call for each would cost more than the
 * identifier.
 */
import type { Random } from "#lib/random.ts";
import { isZero } from "./tracing-context.ts";

/** Bytes drawn at a time. */
const poolBytes = 4096;

export class Ids {
  readonly #random: Random;
  #pool = "";
  #at = 0;

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
    const hex = this.hex(32);
    const variant = "89ab"[Number.parseInt(hex[16]!, 16) & 3]!;
    const high = `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}`;
    return `${high}-${variant}${hex.slice(17, 20)}-${hex.slice(20)}`;
  }
}
