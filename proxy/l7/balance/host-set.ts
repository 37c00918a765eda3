/**
 * The endpoints of a cluster, or of a subset of it, by priority and locality, each group with its balancer.
 *
 *   endpoints ─▶ levels (priority.ts) ─▶ localities (edf.ts) ─▶ Balancer
 *
 * Invariant: an endpoint that is degraded is picked only where the healthy ones are not enough, any other that is not
 * healthy only in a panic.
 */
import { type Balancer, type BalancingPolicy, createBalancer } from "./balancer.ts";
import { EarliestDeadline } from "./edf.ts";
import type { Endpoint } from "../endpoint.ts";
import type { EngineDeps } from "../types.ts";
import { type LevelLoad, type PriorityOptions, levelFor, priorityLoads } from "./priority.ts";

export interface HostSetOptions extends PriorityOptions {
  readonly policy: BalancingPolicy;
  /** Localities get requests by their weights; else all endpoints of a priority are one group. */
  readonly weighsLocalities: boolean;
}

/** Endpoints that are balanced together. */
interface Group {
  readonly balancer: Balancer<Endpoint>;
  weight: number;
}

class Level {
  readonly #deps: EngineDeps;
  readonly #options: HostSetOptions;
  readonly #groups = new Map<string, Group>();
  readonly #turns = new EarliestDeadline<Group>();

  constructor(options: HostSetOptions, deps: EngineDeps) {
    this.#options = options;
    this.#deps = deps;
  }

  update(endpoints: readonly Endpoint[], all: readonly Endpoint[]): void {
    const { weighsLocalities, policy, overprovisioning } = this.#options;
    const keyOf = (endpoint: Endpoint): string => (weighsLocalities ? endpoint.locality : "");
    const members = Map.groupBy(endpoints, keyOf);
    for (const key of this.#groups.keys()) if (!members.has(key)) this.#groups.delete(key);
    for (const [key, of] of members) {
      let group = this.#groups.get(key);
      if (group === undefined) {
        const clock = { monotonicMs: this.#deps.nowMs };
        group = { balancer: createBalancer(policy, { clock, random: this.#deps.random }), weight: 1 };
        this.#groups.set(key, group);
      }
      const total = weighsLocalities ? all.filter((endpoint) => keyOf(endpoint) === key).length : of.length;
      const weight = weighsLocalities ? (of[0]?.localityWeight ?? 1) : 1;
      group.weight = weight * Math.min(1, (overprovisioning * of.length) / total / 100);
      group.balancer.update(of);
    }
    // A locality of weight 0 gets nothing.
    const groups = [...this.#groups.values()].filter(({ weight }) => weight > 0);
    this.#turns.update(groups, ({ weight }) => weight);
    this.#only = groups.length === 1 ? groups[0] : undefined;
  }

  /** The one group, as a rule. */
  #only: Group | undefined;

  pick(tried: readonly Endpoint[], hash: bigint | undefined): Endpoint | undefined {
    const group = this.#only ?? this.#turns.pick([], ({ weight }) => weight);
    return group?.balancer.pick(tried, hash);
  }
}

export class HostSet {
  readonly #deps: EngineDeps;
  readonly #options: HostSetOptions;
  /** By priority. */
  readonly #levels: Level[] = [];
  /** The degraded endpoints of each. */
  readonly #degraded: Level[] = [];
  #loads: readonly LevelLoad[] = [];
  /** The priority that has everything, as a rule. */
  #only: Level | undefined;

  constructor(options: HostSetOptions, deps: EngineDeps) {
    this.#options = options;
    this.#deps = deps;
  }

  /** In a panic of any priority. */
  get isPanic(): boolean {
    return this.#loads.some(({ isPanic }) => isPanic);
  }

  update(endpoints: readonly Endpoint[]): void {
    const count = endpoints.reduce((most, { priority }) => Math.max(most, priority + 1), 0);
    const members = Array.from({ length: count }, (_, at) => endpoints.filter(({ priority }) => priority === at));
    const healthy = members.map((of) => of.filter(({ isHealthy }) => isHealthy));
    const degraded = members.map((of) => of.filter(({ isDegraded }) => isDegraded));
    const health = members.map((of, at) => ({
      total: of.length,
      healthy: healthy[at]!.length,
      degraded: degraded[at]!.length,
    }));
    this.#loads = priorityLoads(health, this.#options);
    this.#fill(this.#levels, healthy, members);
    this.#fill(this.#degraded, this.#loads.length > count ? degraded : [], members);
    const only = this.#loads.findIndex(({ load }) => load === 100);
    this.#only = only < 0 ? undefined : this.#levelAt(only);
  }

  /** Each level with its endpoints, in a panic with all of its priority. */
  #fill(levels: Level[], of: readonly Endpoint[][], members: readonly Endpoint[][]): void {
    levels.length = of.length;
    for (const [at, endpoints] of of.entries()) {
      const all = members[at]!;
      levels[at] ??= new Level(this.#options, this.#deps);
      levels[at].update(this.#loads[at]!.isPanic ? all : endpoints, all);
    }
  }

  #levelAt(at: number): Level | undefined {
    return this.#levels[at] ?? this.#degraded[at - this.#levels.length];
  }

  pick(tried: readonly Endpoint[], hash: bigint | undefined): Endpoint | undefined {
    if (this.#only !== undefined) return this.#only.pick(tried, hash);
    // By its hash, where a request has one: the same request finds the same priority again.
    const draw = hash === undefined ? this.#deps.random.next() : Number(hash % 100n) / 100;
    const level = levelFor(this.#loads, draw);
    return level === undefined ? undefined : this.#levelAt(level)?.pick(tried, hash);
  }
}
