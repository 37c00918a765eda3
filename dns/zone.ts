/**
 * The cluster's zone: an index of all names, and what each query of it gets.
 *
 *   ServiceResource delta ─▶ Zone.apply ─▶ names ─▶ Zone.answer(name, type) ─▶ Answer (immutable, encoded once)
 *
 * Invariants: a sequence of deltas gives the same answers as the final Services from scratch. A name that exists
 * with other types is NODATA, one that does not is NXDOMAIN; both carry the SOA, whose times bound negative caching
 * by our own TTL. Single-threaded and synchronous: a query sees a delta as a whole or not at all.
 * Follows: Kubernetes DNS 1.1, RFC 2308, CoreDNS' kubernetes plugin.
 */
import type { ServiceResource } from "#api/wire/service.ts";
import { toBytes, toReverseZone } from "./address.ts";
import { type Node, planRecords, type ServiceRecords } from "./records.ts";
import { rcodes, types } from "./wire/constants.ts";
import { keyOfOwn, suffixOffset } from "./wire/name.ts";
import { encodeSections, numberOfType, type Records, type RR } from "./wire/record.ts";
import type { Answer } from "./wire/response.ts";

export interface ZoneOptions {
  /** Without the final dot. Default `cluster.local`. */
  readonly domain?: string;
  /** Of records, in seconds, 0 to 3600. Default 5, as CoreDNS. */
  readonly ttl?: number;
  /** Address of the DNS Service, for `ns.dns.<domain>`. Default 10.96.0.10. */
  readonly dnsVIP?: string;
  /** Ranges whose reverse names are ours: missing ones are NXDOMAIN. Multiples of 8 bits. */
  readonly reverseCIDRs?: readonly string[];
}

/** Aliases followed inside the zone, as CoreDNS has it; the rest is left to the downstream. */
const cnameChainMax = 10;
const dnsVersionTTL = 28_800;

/** A node of the index, with its answers made when first asked for. */
interface Entry {
  readonly node: Node;
  readonly answers: Map<number, Answer>;
}

export class Zone {
  readonly domain: string;
  readonly #key: string;
  readonly #ttl: number;
  readonly #reverseKeys: readonly string[];
  readonly #services = new Map<string, ServiceRecords>();
  readonly #entries = new Map<string, Entry>();
  readonly #fixed = new Map<string, Entry>();
  /** Empty non-terminals of namespaces → Services that need them. */
  readonly #parents = new Map<string, number>();
  /** PTR name → targets → how many records say so. */
  readonly #pointers = new Map<string, Map<string, number>>();
  #negatives = new Map<string, Answer>();
  #serial = 0;

  constructor({ domain = "cluster.local", ttl = 5, dnsVIP = "10.96.0.10", reverseCIDRs = [] }: ZoneOptions = {}) {
    this.domain = domain;
    this.#key = keyOfOwn(domain);
    this.#ttl = ttl;
    this.#reverseKeys = reverseCIDRs.flatMap((cidr) => toReverseZone(cidr) ?? []).map(keyOfOwn);
    this.#addFixed(dnsVIP);
  }

  /** Takes a delta. `nowSeconds` (Unix time) becomes the zone's serial. */
  apply(
    updated: readonly { readonly name: string; readonly resource: ServiceResource }[],
    removed: readonly string[],
    nowSeconds: number,
  ): void {
    for (const name of removed) this.#remove(name);
    for (const { name, resource } of updated) {
      this.#remove(name);
      this.#add(name, planRecords(resource, { domain: this.domain, ttl: this.#ttl }));
    }
    this.#serial = Math.max(this.#serial + 1, Math.floor(nowSeconds)) % 2 ** 32;
    this.#negatives = new Map();
  }

  /** The zone that a name belongs to (a key), or undefined when it is none of ours. */
  zoneOf(name: string): string | undefined {
    if (suffixOffset(name, this.#key) >= 0) return this.#key;
    if (this.#pointers.has(name)) return this.#reverseKeys.find((key) => suffixOffset(name, key) >= 0) ?? name;
    return this.#reverseKeys.find((key) => suffixOffset(name, key) >= 0);
  }

  /** The answer to a query of class IN for a name in `zone`. */
  answer(name: string, type: number, zone: string): Answer {
    const entry = this.#entries.get(name) ?? this.#fixed.get(name);
    if (entry !== undefined) return this.#answerEntry(name, type, entry, zone);
    const targets = this.#pointers.get(name);
    if (targets !== undefined && type === types.ptr) {
      const answer = [...targets.keys()].sort().map((target): RR => ({ name, ttl: this.#ttl, type: "PTR", target }));
      return positive(name, { answer });
    }
    const isKnown = targets !== undefined || this.#parents.has(name) || name === this.#key || name === zone;
    if (name === this.#key && type === types.soa) return positive(name, { answer: [this.#soa(zone)] });
    return this.#negative(name, isKnown ? rcodes.noError : rcodes.nxDomain, zone);
  }

  #answerEntry(name: string, type: number, entry: Entry, zone: string): Answer {
    const { node, answers } = entry;
    if (node.cname !== undefined && type !== types.cname) return this.#chase(name, type, node);
    const known = answers.get(type);
    if (known !== undefined) return known;
    const answer = node.records.filter((record) => numberOfType[record.type] === type);
    if (answer.length === 0) return this.#negative(name, rcodes.noError, zone);
    const made = positive(name, { answer, additional: type === types.srv ? node.additional : [] });
    answers.set(type, made);
    return made;
  }

  /** Follows aliases while they stay in the zone. Ends for loops too: their aliases are all the answer. */
  #chase(name: string, type: number, first: Node): Answer {
    const answer: RR[] = [];
    let node: Node | undefined = first;
    for (let length = 0; node?.cname !== undefined && length < cnameChainMax; length++) {
      answer.push(...node.records);
      node = (this.#entries.get(node.cname) ?? this.#fixed.get(node.cname))?.node;
    }
    if (node?.cname === undefined && node !== undefined) {
      answer.push(...node.records.filter((record) => numberOfType[record.type] === type));
    }
    return positive(name, { answer });
  }

  /** NODATA or NXDOMAIN. Made once for each name length: the SOA's owner points into the question, which echoes its case. */
  #negative(name: string, rcode: number, zone: string): Answer {
    const cacheKey = `${rcode} ${name.length} ${zone}`;
    const known = this.#negatives.get(cacheKey);
    if (known !== undefined) return known;
    const sections = encodeSections(name, { authority: [this.#soa(zone)] }, zone);
    const made: Answer = { rcode, isAuthoritative: true, sections };
    this.#negatives.set(cacheKey, made);
    return made;
  }

  /** Refresh, retry and expire as CoreDNS; minimum and the record's own TTL bound negative caching (RFC 2308 §5). */
  #soa(zone: string): RR {
    const [mname, rname] = [keyOfOwn(`ns.dns.${this.domain}`), keyOfOwn(`hostmaster.${this.domain}`)];
    const numbers = [this.#serial, 7200, 1800, 86_400, this.#ttl];
    return { name: zone, ttl: Math.min(this.#ttl, 300), type: "SOA", mname, rname, numbers };
  }

  #add(service: string, records: ServiceRecords): void {
    this.#services.set(service, records);
    for (const [name, node] of records.names) this.#entries.set(name, { node, answers: new Map() });
    this.#countParents(records.parents, 1);
    for (const [name, target] of records.pointers) {
      const targets = this.#pointers.get(name) ?? new Map<string, number>();
      targets.set(target, (targets.get(target) ?? 0) + 1);
      this.#pointers.set(name, targets);
    }
  }

  #remove(service: string): void {
    const records = this.#services.get(service);
    if (records === undefined) return;
    this.#services.delete(service);
    for (const name of records.names.keys()) this.#entries.delete(name);
    this.#countParents(records.parents, -1);
    for (const [name, target] of records.pointers) {
      const targets = this.#pointers.get(name);
      const left = (targets?.get(target) ?? 0) - 1;
      if (left > 0) targets?.set(target, left);
      else targets?.delete(target);
      if (targets?.size === 0) this.#pointers.delete(name);
    }
  }

  #countParents(parents: readonly string[], delta: number): void {
    for (const name of parents) {
      const count = (this.#parents.get(name) ?? 0) + delta;
      if (count > 0) this.#parents.set(name, count);
      else this.#parents.delete(name);
    }
  }

  /** Names that exist in every cluster. */
  #addFixed(dnsVIP: string): void {
    const set = (text: string, records: readonly RR[]): void => {
      const node: Node = { records, additional: [], cname: undefined };
      this.#fixed.set(keyOfOwn(text), { node, answers: new Map() });
    };
    const { domain } = this;
    const versionName = keyOfOwn(`dns-version.${domain}`);
    set(`dns-version.${domain}`, [{ name: versionName, ttl: dnsVersionTTL, type: "TXT", text: "1.1.0" }]);
    const nameserver = keyOfOwn(`ns.dns.${domain}`);
    const address = toBytes(dnsVIP);
    const isIPv4 = address?.length === 4;
    set(
      `ns.dns.${domain}`,
      address === undefined ? [] : [{ name: nameserver, ttl: this.#ttl, type: isIPv4 ? "A" : "AAAA", address }],
    );
    for (const text of [`dns.${domain}`, `svc.${domain}`, `pod.${domain}`]) set(text, []);
  }
}

function positive(name: string, sections: Records): Answer {
  return { rcode: rcodes.noError, isAuthoritative: true, sections: encodeSections(name, sections) };
}
