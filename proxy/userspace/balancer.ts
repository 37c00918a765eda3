/**
 * Which endpoint is next: exact rotation, or the one that the source had last. No I/O.
 *
 * Bounded: of `sourcesMax` sources the last endpoint is known; the oldest one is forgotten then.
 */
import type { Target } from "../l4/categories.ts";
import { contains, normalizeAddress } from "../l4/ip.ts";
import type { Frontend } from "./frontends.ts";

const sourcesMax = 10_000;

interface Sticky {
  readonly key: string;
  readonly untilMs: number;
}

export class Balancer {
  #frontend: Frontend;
  #next = 0;
  readonly #sticky = new Map<string, Sticky>();

  constructor(frontend: Frontend) {
    this.#frontend = frontend;
  }

  /** Other endpoints from now on; the rotation goes on. */
  update(frontend: Frontend): void {
    this.#frontend = frontend;
  }

  /** Whether `source` may call at all. */
  admits(source: string): boolean {
    const { sources } = this.#frontend;
    const address = normalizeAddress(source);
    return sources === undefined || (address !== undefined && sources.some((range) => contains(range, address)));
  }

  has(target: Target): boolean {
    return this.#frontend.targets.some((known) => keyOf(known) === keyOf(target));
  }

  /** The endpoint for a new flow; none of `tried`. Undefined when all were. */
  pick(source: string, nowMs: number, tried: readonly Target[] = []): Target | undefined {
    const { targets, affinitySeconds } = this.#frontend;
    const left = targets.filter((target) => !tried.some((other) => keyOf(other) === keyOf(target)));
    const last = affinitySeconds > 0 ? this.#sticky.get(source) : undefined;
    const kept = last === undefined || last.untilMs < nowMs ? undefined : left.find((each) => keyOf(each) === last.key);
    const target = kept ?? left[this.#next++ % Math.max(1, left.length)];
    if (target !== undefined && affinitySeconds > 0) this.#remember(source, target, nowMs + affinitySeconds * 1000);
    return target;
  }

  #remember(source: string, target: Target, untilMs: number): void {
    // Deleted first, so that the order is that of the last use.
    this.#sticky.delete(source);
    this.#sticky.set(source, { key: keyOf(target), untilMs });
    const [oldest] = this.#sticky.keys();
    if (this.#sticky.size > sourcesMax && oldest !== undefined) this.#sticky.delete(oldest);
  }
}

function keyOf({ address, port }: Target): string {
  return `${address} ${port}`;
}
