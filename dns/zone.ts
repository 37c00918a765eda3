/**
 * The cluster's zone: an index of its Services, and what each query of it gets.
 *
 *   ServiceResource delta ─▶ Zone.apply ─▶ Services ─▶ Zone.answer(name, type) ─▶ Answer (immutable, encoded once)
 *
 * A Service's records are made when one of its names is first asked for, and forgotten when it changes: memory is for
 * the Services that are used. Invariants: a sequence of deltas gives the same answers as the final Services from
 * scratch. A name that exists with other types is NODATA, one that does not is NXDOMAIN; both carry the SOA
 * (negatives.ts). Single-threaded and synchronous: a query sees a delta as a whole or not at all. Follows: Kubernetes
 * DNS 1.1, CoreDNS' kubernetes plugin.
 */
import type { ServiceResource } from "#api/wire/service.ts";
import { canonical, fromDashed, fromReverseName } from "./address.ts";
import { type Answer, answerOf, type Validity } from "./answer.ts";
import type { NamedService } from "./cluster-source.ts";
import { Negatives } from "./negatives.ts";
import { AddressOwners } from "./owners.ts";
import { type Node, planFixed, planRecords, type ServiceRecords } from "./records.ts";
import { flags, rcodes, types } from "./wire/constants.ts";
import { addressRecord, nameRecord } from "./wire/data.ts";
import { keyOfLabels, keyOfOwn, labelsBefore, suffixOffset, toText } from "./wire/name.ts";
import { encodeSections, type Records, type RR } from "./wire/record.ts";
import type { ZoneOptions } from "./zone-options.ts";

/** Aliases followed, as CoreDNS has it; the rest is left to the downstream. */
export const cnameChainMax = 10;
/** A node of the index, with its answers made when first asked for. */
interface Entry {
  readonly node: Node;
  readonly life: Life;
  readonly answers: Map<number, Answer>;
}

/** Until when an answer is true: its Service changes, or anything for what is negative. */
interface Life {
  isOver: boolean;
}

/** That of names which every cluster has. */
const endless: Life = { isOver: false };

interface Held {
  readonly resource: ServiceResource;
  /** Once it was asked for. */
  records: ServiceRecords | undefined;
  life: Life | undefined;
}

/** What a lookup found: an answer, or an alias to what is outside the zone. */
export type Found =
  | { readonly kind: "answer"; readonly answer: Answer }
  | { readonly kind: "alias"; readonly aliases: readonly RR[]; readonly target: string };

export class Zone {
  readonly domain: string;
  /** Key of the domain. */
  readonly key: string;
  readonly #options: ZoneOptions;
  readonly #ttl: number;
  readonly #zones: readonly string[];
  readonly #services = new Map<string, Held>();
  /** Names of the Services that were asked for. */
  readonly #entries = new Map<string, Entry>();
  readonly #fixed = new Map<string, Entry>();
  /** Namespace → names of its Services. */
  readonly #namespaces = new Map<string, Set<string>>();
  readonly #owners = new AddressOwners();
  readonly #negatives: Negatives;

  constructor(options: ZoneOptions = {}) {
    const { domain = "cluster.local", ttl = 5, dnsVIPs = ["10.96.0.10"], reverseZones = [] } = options;
    this.#options = options;
    this.domain = domain;
    this.key = keyOfOwn(domain);
    this.#ttl = ttl;
    this.#negatives = new Negatives(domain, ttl);
    // The longest first: the closest zone owns a name.
    this.#zones = [this.key, ...reverseZones].toSorted((a, b) => b.length - a.length);
    for (const [name, node] of planFixed({ domain, ttl, dnsVIPs }))
      this.#fixed.set(name, { node, life: endless, answers: new Map() });
  }

  /** Takes a delta. `nowSeconds` (Unix time) becomes the zone's serial. */
  apply(updated: readonly NamedService[], removed: readonly string[], nowSeconds: number): void {
    for (const name of removed) this.#remove(name);
    for (const { name, resource } of updated) {
      this.#remove(name);
      this.#add(name, resource);
    }
    this.touch(nowSeconds);
  }

  /** Raises the serial. */
  touch(nowSeconds: number): void {
    this.#negatives.touch(nowSeconds);
  }

  /** Over with the next change of anything. */
  get validity(): Validity {
    return this.#negatives.validity;
  }

  serviceOf(namespace: string, name: string): ServiceResource | undefined {
    return this.#services.get(`${namespace}/${name}`)?.resource;
  }

  get serviceCount(): number {
    return this.#services.size;
  }

  /** The zone that a name belongs to (a key), or undefined when it is none of ours. */
  zoneOf(name: string): string | undefined {
    for (const zone of this.#zones) if (suffixOffset(name, zone) >= 0) return zone;
    return undefined;
  }

  /** What a query of class IN gets for a name in `zone`. */
  find(name: string, type: number, zone: string): Found {
    const entry = this.#entryOf(name, zone);
    if (entry === undefined) return { kind: "answer", answer: this.#answerOther(name, type, zone) };
    const { node, answers, life } = entry;
    if (node.cname !== undefined && type !== types.cname) return this.#chase(name, type, node);
    const known = answers.get(type);
    if (known !== undefined) return { kind: "answer", answer: known };
    const answer = node.records.filter((record) => record.type === type);
    if (answer.length === 0) return { kind: "answer", answer: this.negative(name, rcodes.noError, zone) };
    const made = positive(name, { answer, additional: type === types.srv ? node.additional : [] }, life);
    answers.set(type, made);
    return { kind: "answer", answer: made };
  }

  /** The namespace of the pod with this address, as far as a Service has it as an endpoint. */
  namespaceOfEndpoint(address: string): string | undefined {
    for (const owner of this.#owners.of(address)) {
      const { resource } = this.#services.get(owner) ?? {};
      const endpoint = resource?.endpoints.find((each) => each.address === address && each.podName !== "");
      if (endpoint !== undefined) return resource?.namespace;
    }
    return undefined;
  }

  /** Every record, SOA first: for zone transfers. */
  *records(): Iterable<RR> {
    yield this.#negatives.soa(this.key);
    for (const { node } of this.#fixed.values()) yield* node.records;
    for (const held of this.#services.values()) for (const node of this.#plan(held).names.values()) yield* node.records;
  }

  /** NODATA or NXDOMAIN, `isOfServices` when nothing but Services decides. */
  negative(name: string, rcode: number, zone: string, isOfServices = true): Answer {
    return this.#negatives.of(name, { rcode, zone, isOfServices });
  }

  #entryOf(name: string, zone: string): Entry | undefined {
    const known = this.#entries.get(name) ?? this.#fixed.get(name);
    if (known !== undefined || zone !== this.key) return known;
    const labels = labelsBefore(name, zone);
    if (labels.at(-1) !== "svc" || labels.length < 3) return undefined;
    const held = this.#services.get(`${labels.at(-2)}/${labels.at(-3)}`);
    if (held === undefined) return undefined;
    if (held.records === undefined) this.#plan(held);
    const [port = "", protocol = ""] = labels;
    // CoreDNS takes port names without their underscores, too.
    if (labels.length === 5 && !(port.startsWith("_") && protocol.startsWith("_"))) {
      const spelled = [port, protocol].map((label) => (label.startsWith("_") ? label : `_${label}`));
      return this.#respelled(name, keyOfLabels([...spelled, ...labels.slice(2)], this.key));
    }
    return this.#entries.get(name);
  }

  /** The entry under another spelling of its name. Not kept: few ask so. */
  #respelled(name: string, usual: string): Entry | undefined {
    const entry = this.#entries.get(usual);
    if (entry === undefined) return undefined;
    const rename = (record: RR): RR => (record.name === usual ? { ...record, name } : record);
    return { ...entry, node: { ...entry.node, records: entry.node.records.map(rename) }, answers: new Map() };
  }

  #plan(held: Held): ServiceRecords {
    const { domain } = this;
    const records = planRecords(held.resource, { ...this.#options, domain, ttl: this.#ttl });
    const life: Life = (held.life = { isOver: false });
    held.records = records;
    for (const [name, node] of records.names) this.#entries.set(name, { node, life, answers: new Map() });
    return records;
  }

  /** Names that no Service has: the apex, what lies between, pods, reverse names. */
  #answerOther(name: string, type: number, zone: string): Answer {
    if (name === this.key && type === types.soa) return positive(name, { answer: [this.#negatives.soa(zone)] });
    if (name === this.key && type === types.ns) return this.#nameservers(name);
    if (name === zone) return this.negative(name, rcodes.noError, zone);
    if (zone !== this.key) return this.#reverse(name, type, zone);
    const labels = labelsBefore(name, zone);
    const [kind, namespace] = [labels.at(-1), labels.at(-2) ?? ""];
    // Pods and namespaces change without a word to us.
    const isOfServices = kind !== "pod" && labels.length !== 2;
    if (labels.length === 2 && (kind === "svc" || kind === "pod") && this.hasNamespace(namespace)) {
      return this.negative(name, rcodes.noError, zone, isOfServices);
    }
    const pod = labels.length === 3 && kind === "pod" ? this.#pod(labels[0] ?? "", namespace) : undefined;
    if (pod === undefined) return this.negative(name, rcodes.nxDomain, zone, isOfServices);
    const record = addressRecord({ name, ttl: this.#ttl }, pod);
    return record.type === type
      ? positive(name, { answer: [record] })
      : this.negative(name, rcodes.noError, zone, isOfServices);
  }

  #nameservers(name: string): Answer {
    const nameserver = keyOfOwn(`ns.dns.${this.domain}`);
    const answer = [nameRecord({ name, ttl: this.#ttl }, types.ns, nameserver)];
    return positive(name, { answer, additional: this.#fixed.get(nameserver)?.node.records ?? [] });
  }

  /** The address that a pod's name stands for. */
  #pod(label: string, namespace: string): Uint8Array | undefined {
    const { pods = "disabled", namespaceOfPod } = this.#options;
    const address = pods === "disabled" ? undefined : fromDashed(label);
    if (address === undefined || !this.hasNamespace(namespace)) return undefined;
    return pods === "insecure" || namespaceOfPod?.(canonical(address)) === namespace ? address : undefined;
  }

  hasNamespace(namespace: string): boolean {
    if (this.#options.namespaces?.includes(namespace) === false) return false;
    const known = this.#options.hasNamespace?.(namespace);
    if (known !== undefined) return known;
    for (const name of this.#namespaces.get(namespace) ?? []) {
      const held = this.#services.get(name);
      if (held !== undefined && (held.records ?? this.#plan(held)).names.size > 0) return true;
    }
    return false;
  }

  /** ClusterIPs first: an address that is both belongs to the Service itself (CoreDNS). */
  #reverse(name: string, type: number, zone: string): Answer {
    const address = fromReverseName(toText(name));
    const owners = address === undefined ? [] : this.#owners.of(canonical(address));
    const targets = new Set<string>();
    for (const owner of owners) {
      const held = this.#services.get(owner);
      if (held === undefined) continue;
      for (const [pointer, target] of (held.records ?? this.#plan(held)).pointers) {
        if (pointer === name) targets.add(target);
      }
    }
    if (targets.size === 0) return this.negative(name, rcodes.nxDomain, zone);
    if (type !== types.ptr) return this.negative(name, rcodes.noError, zone);
    const owner = { name, ttl: this.#ttl };
    const answer = [...targets].sort().map((target) => nameRecord(owner, types.ptr, target));
    return positive(name, { answer }, this.validity);
  }

  /** Follows aliases while they stay in the zone. Ends for loops too: their aliases are all the answer. */
  #chase(name: string, type: number, first: Node): Found {
    const answer: RR[] = [];
    let node: Node | undefined = first;
    for (let length = 0; node?.cname !== undefined && length < cnameChainMax; length++) {
      answer.push(...node.records);
      const target: string = node.cname;
      const zone = this.zoneOf(target);
      if (zone === undefined) return { kind: "alias", aliases: answer, target };
      node = this.#entryOf(target, zone)?.node;
    }
    if (node?.cname === undefined && node !== undefined) {
      answer.push(...node.records.filter((record) => record.type === type));
    }
    return { kind: "answer", answer: positive(name, { answer }) };
  }

  #add(name: string, resource: ServiceResource): void {
    const { namespaces } = this.#options;
    if (namespaces !== undefined && !namespaces.includes(resource.namespace)) return;
    this.#services.set(name, { resource, records: undefined, life: undefined });
    const siblings = this.#namespaces.get(resource.namespace) ?? new Set();
    this.#namespaces.set(resource.namespace, siblings.add(name));
    this.#owners.add(name, resource);
  }

  #remove(name: string): void {
    const held = this.#services.get(name);
    if (held === undefined) return;
    this.#services.delete(name);
    if (held.life !== undefined) held.life.isOver = true;
    for (const known of held.records?.names.keys() ?? []) this.#entries.delete(known);
    const { namespace } = held.resource;
    const siblings = this.#namespaces.get(namespace);
    siblings?.delete(name);
    if (siblings?.size === 0) this.#namespaces.delete(namespace);
    this.#owners.remove(name, held.resource);
  }
}

function positive(name: string, records: Records, validity?: Validity): Answer {
  const sections = encodeSections(name, records);
  return answerOf({ plugin: "kubernetes", flags: flags.authoritative, isLive: true, sections, validity });
}
