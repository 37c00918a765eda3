/**
 * Negative answers of a zone and its SOA, until anything changes.
 *
 *   zone.ts ─▶ Negatives.of(name, rcode, …) ─▶ Answer: NODATA or NXDOMAIN with the SOA
 *
 * Made once for each name length: the SOA's owner points into the question, which echoes its case. Bounded:
 * `negativesMax`. Times bound negative caching by our own TTL (RFC 2308 §5). Follows: CoreDNS' kubernetes plugin.
 */
import { type Answer, answerOf, type Validity } from "./answer.ts";
import { flags } from "./wire/constants.ts";
import { soaRecord } from "./wire/data.ts";
import { keyOfOwn } from "./wire/name.ts";
import { encodeSections, type RR } from "./wire/record.ts";

/** Encoded answers kept: one for each name length and zone. */
const negativesMax = 4096;

export interface Missing {
  readonly rcode: number;
  /** The zone of the SOA, a key. */
  readonly zone: string;
  /** Whether nothing but Services decides, so that the answer stands until one changes. */
  readonly isOfServices: boolean;
}

export class Negatives {
  readonly #domain: string;
  readonly #ttl: number;
  #known = new Map<string, Answer>();
  #serial = 0;
  #life: { isOver: boolean } = { isOver: false };

  /** `domain` without its final dot; `ttl` in seconds. */
  constructor(domain: string, ttl: number) {
    this.#domain = domain;
    this.#ttl = ttl;
  }

  /** Over with the next change of anything. */
  get validity(): Validity {
    return this.#life;
  }

  /** Something has changed: all answers so far are over, and the serial rises. */
  touch(nowSeconds: number): void {
    this.#serial = Math.max(this.#serial + 1, Math.floor(nowSeconds)) % 2 ** 32;
    this.#known = new Map();
    this.#life.isOver = true;
    this.#life = { isOver: false };
  }

  of(name: string, { rcode, zone, isOfServices }: Missing): Answer {
    const cacheKey = `${rcode} ${isOfServices ? "" : "?"}${name.length} ${zone}`;
    const known = this.#known.get(cacheKey);
    if (known !== undefined) return known;
    const validity = isOfServices ? this.#life : undefined;
    const sections = encodeSections(name, { authority: [this.soa(zone)] }, zone);
    const made = answerOf({
      plugin: "kubernetes",
      rcode,
      flags: flags.authoritative,
      isLive: true,
      sections,
      validity,
    });
    if (this.#known.size < negativesMax) this.#known.set(cacheKey, made);
    return made;
  }

  /** Refresh, retry and expire as CoreDNS has them. */
  soa(zone: string): RR {
    const names = { mname: keyOfOwn(`ns.dns.${this.#domain}`), rname: keyOfOwn(`hostmaster.${this.#domain}`) };
    const times = { refresh: 7200, retry: 1800, expire: 86_400, minimum: this.#ttl };
    return soaRecord({ name: zone, ttl: Math.min(this.#ttl, 300) }, { ...names, serial: this.#serial, ...times });
  }
}
