/**
 * Cluster IPs and node ports: which are taken, and a free one for a Service that needs it.
 *
 *   cache events ─▶ observe() ─▶ taken ─▶ admission/service.ts ─▶ pick*() and reserve() until the write is in the cache
 *
 * Free ones are drawn by chance, so that an address is not reused soon after its release: clients and conntrack
 * still remember it.
 * Invariant: no two Services, stored or being written, hold the same address or node port.
 */
import type { Service } from "#api/core/service.ts";
import { formatKey, type KubeObject, type ObjectKey } from "#api/meta.ts";
import { assert } from "#lib/assert.ts";
import type { Random } from "#lib/random.ts";

export interface ServiceRanges {
  /** Network of cluster IPs, `10.96.0.0/16`. */
  readonly serviceCIDR: string;
  /** First and last node port. */
  readonly nodePorts: readonly [number, number];
}

export const defaultRanges: ServiceRanges = { serviceCIDR: "10.96.0.0/16", nodePorts: [30_000, 32_767] };

/** Host parts that are only given when asked for: `kubernetes` and the cluster DNS. */
const wellKnownHosts: readonly number[] = [1, 10];

export class ServiceAllocator {
  readonly #random: Random;
  readonly #base: number;
  readonly #size: number;
  readonly #nodePorts: readonly [number, number];
  /** Address or node port, and the key of the Service that holds it. */
  readonly #taken = new Map<string | number, string>();
  /** Held by writes on their way. */
  readonly #reserved = new Map<string | number, string>();

  constructor(random: Random, ranges: ServiceRanges = defaultRanges) {
    const match = /^(\d+)\.(\d+)\.(\d+)\.(\d+)\/(\d+)$/.exec(ranges.serviceCIDR);
    assert(match !== null, `serviceCIDR is an IPv4 network, got ${ranges.serviceCIDR}`);
    const [a = 0, b = 0, c = 0, d = 0, bits = 0] = match.slice(1).map(Number);
    this.#random = random;
    this.#base = ((a << 24) | (b << 16) | (c << 8) | d) >>> 0;
    this.#size = 2 ** (32 - bits);
    this.#nodePorts = ranges.nodePorts;
  }

  /** Follows the Services in the cache. */
  observe(key: ObjectKey, previous: KubeObject | undefined, object: KubeObject | undefined): void {
    const owner = formatKey(key);
    for (const item of held(previous as Service | undefined))
      if (this.#taken.get(item) === owner) this.#taken.delete(item);
    for (const item of held(object as Service | undefined)) this.#taken.set(item, owner);
  }

  /** Whether an address or node port belongs to a Service other than `owner`. */
  isTaken(item: string | number, owner: string): boolean {
    const holder = this.#taken.get(item) ?? this.#reserved.get(item);
    return holder !== undefined && holder !== owner;
  }

  /** Holds an address or node port until the function given back is called. */
  reserve(item: string | number, owner: string): () => void {
    this.#reserved.set(item, owner);
    return () => void this.#reserved.delete(item);
  }

  /** Whether `address` is one that a Service may have: in the range, neither its network nor its broadcast address. */
  isInRange(address: string): boolean {
    const [a = 0, b = 0, c = 0, d = 0] = address.split(".").map(Number);
    const offset = (((a << 24) | (b << 16) | (c << 8) | d) >>> 0) - this.#base;
    return offset > 0 && offset < this.#size - 1;
  }

  isNodePort(port: number): boolean {
    return port >= this.#nodePorts[0] && port <= this.#nodePorts[1];
  }

  /** A free cluster IP; undefined when there is none. */
  pickAddress(): string | undefined {
    // The first 256 addresses are left to those who ask for one by name, as kube-apiserver does, until the rest is
    // used up.
    const band = Math.min(256, this.#size >> 4);
    return (
      this.#draw(band, this.#size - 2, (offset) => this.#freeAddress(offset)) ??
      this.#draw(1, band - 1, (offset) => this.#freeAddress(offset))
    );
  }

  /** A free node port; undefined when there is none. */
  pickNodePort(): number | undefined {
    const isFree = (port: number): boolean => !this.#taken.has(port) && !this.#reserved.has(port);
    return this.#draw(...this.#nodePorts, (port) => (isFree(port) ? port : undefined));
  }

  #freeAddress(offset: number): string | undefined {
    const address = this.#base + offset;
    const text = [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join(".");
    return this.#taken.has(text) || this.#reserved.has(text) || wellKnownHosts.includes(offset) ? undefined : text;
  }

  /** The first that `take` accepts of first..last, from a random one on, around. */
  #draw<T>(first: number, last: number, take: (candidate: number) => T | undefined): T | undefined {
    const count = last - first + 1;
    const start = Math.floor(this.#random.next() * count);
    for (let step = 0; step < count; step++) {
      const taken = take(first + ((start + step) % count));
      if (taken !== undefined) return taken;
    }
    return undefined;
  }
}

/** The addresses and node ports that a Service holds. */
function held(service: Service | undefined): (string | number)[] {
  if (service === undefined) return [];
  const addresses = (service.spec.clusterIPs ?? []).filter((address) => address !== "None" && address !== "");
  const ports = (service.spec.ports ?? []).map(({ nodePort }) => nodePort ?? 0).filter((port) => port > 0);
  return [...addresses, ...ports];
}
