/**
 * Services in, table changes out, for one family: plans anew what changed, and only that.
 *
 *   put(name, ServiceResource) ─▶ planService ─▶ claims ─▶ Change ─▶ nft/apply.ts
 *                                             └▶ flows ─▶ conntrack.ts
 *
 * Invariant: whatever the order of the changes, the table means the same as one planned from nothing; only the order of
 * slots, and which Services have chains of their own when there are more than `exactMax`, depend on the way there.
 */
import type { ServiceResource } from "#api/wire/service.ts";
import type { Isolation } from "../policy/isolation.ts";
import { isPerRequest } from "../requests/choice.ts";
import { Claims } from "./claims.ts";
import { emptyPlan } from "./draft.ts";
import type { NodeFacts } from "./facts.ts";
import { type Family, familyOf } from "./ip.ts";
import type { Change } from "./nft/types.ts";
import { isOurs } from "./service-key.ts";
import { connectionsOnly } from "./skeleton.ts";
import { type Flows, planService, type ServicePlan } from "./service-plan.ts";

/** Collections whose keys are addresses and ports of Services. */
const addressed: readonly string[] = ["services", "nodeports"];

export class Planner {
  #facts: NodeFacts;
  readonly #family: Family;
  readonly #claims = new Claims();
  readonly #plans = new Map<string, ServicePlan>();
  readonly #exact = new Map<string, number>();
  #exactCount = 0;
  readonly #noLocal = { internal: 0, external: 0 };
  /** Services that ask to be balanced per request: what policies isolate decides on them, too. */
  readonly #perRequest = new Map<string, ServiceResource>();
  #isolated: ReadonlySet<string> = new Set();

  constructor(facts: NodeFacts, family: Family) {
    this.#facts = facts;
    this.#family = family;
  }

  /** Plans one Service anew; undefined when it is gone. `name` is `namespace/name`. */
  put(name: string, service: ServiceResource | undefined): Change {
    const before = this.#plans.get(name);
    this.#countNoLocal(before, -1);
    this.#perRequest.delete(name);
    if (service === undefined || !isOurs(service)) {
      this.#account(name, 0);
      this.#plans.delete(name);
      return this.#claims.put(name, undefined);
    }
    if (service.ports.some((port) => isPerRequest(service, port))) this.#perRequest.set(name, service);
    const isExact = this.#account(name, service.ports.length);
    const isolated = this.#isolated;
    const plan = planService(service, { family: this.#family, facts: this.#facts, isExact, before, isolated });
    if (plan === emptyPlan) this.#plans.delete(name);
    else this.#plans.set(name, plan);
    this.#countNoLocal(plan, 1);
    return this.#claims.put(name, plan.fragment);
  }

  /** Plans by another zone from now on; Services that have hints are to be put again. */
  setZone(zone: string): void {
    this.#facts = { ...this.#facts, zone };
  }

  /** Takes what policies isolate, of all families; gives the changes that come of it. */
  isolate({ ingress, egress }: Isolation): readonly Change[] {
    const elements = new Map([...egress].filter((each) => familyOf(each) === this.#family).map((each) => [each, ""]));
    const callers = { chains: new Map(), sets: new Map(), elements: new Map([[connectionsOnly, elements]]) };
    // No Service has a name without a slash.
    const changes = [this.#claims.put("policies", callers)];
    if (ingress.symmetricDifference(this.#isolated).size === 0) return changes;
    this.#isolated = ingress;
    return [...changes, ...[...this.#perRequest].map(([name, service]) => this.put(name, service))];
  }

  /** Of one Service: what cannot be programmed. */
  problemsOf(name: string): readonly string[] {
    const plan = this.#plans.get(name);
    if (plan === undefined) return emptyPlan.problems;
    let problems = plan.problems;
    for (const collection of addressed)
      for (const key of plan.fragment.elements.get(collection)?.keys() ?? []) {
        const holder = this.#claims.holderOf(collection, key);
        if (holder !== undefined && holder !== name)
          problems = [
            ...problems,
            `Cannot program Service ${name} on ${key}: Service ${holder} has that address and port`,
          ];
      }
    return problems;
  }

  /** The Services that want an address and port of this one, too. */
  rivalsOf(name: string): readonly string[] {
    const elements = this.#plans.get(name)?.fragment.elements;
    let rivals: readonly string[] = [];
    for (const collection of addressed)
      for (const key of elements?.get(collection)?.keys() ?? [])
        for (const rival of this.#claims.rivalsFor(collection, key)) if (rival !== name) rivals = [...rivals, rival];
    return rivals;
  }

  /** Where the flows of one Service may go. */
  flowsOf(name: string): Flows {
    return this.#plans.get(name)?.flows ?? emptyPlan.flows;
  }

  /** Service ports with a policy Local that find no endpoint on this node. */
  get noLocal(): { readonly internal: number; readonly external: number } {
    return this.#noLocal;
  }

  #countNoLocal(plan: ServicePlan | undefined, by: 1 | -1): void {
    if (plan?.noLocal.internal === true) this.#noLocal.internal += by;
    if (plan?.noLocal.external === true) this.#noLocal.external += by;
  }

  /** Whether the Service has chains of its own: first come, first served, and kept while the Service is there. */
  #account(name: string, ports: number): boolean {
    const held = this.#exact.get(name) ?? 0;
    const count = this.#exactCount - held + ports;
    const isExact = ports > 0 && count <= this.#facts.exactMax;
    if (isExact) this.#exact.set(name, ports);
    else this.#exact.delete(name);
    this.#exactCount = isExact ? count : this.#exactCount - held;
    return isExact;
  }
}
