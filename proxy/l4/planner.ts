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
import { Claims } from "./claims.ts";
import type { NodeFacts } from "./facts.ts";
import type { Family } from "./ip.ts";
import type { Change } from "./nft/types.ts";
import { type Flows, isOurs, planService, type ServicePlan } from "./service-plan.ts";

export class Planner {
  readonly #facts: NodeFacts;
  readonly #family: Family;
  readonly #claims = new Claims();
  readonly #plans = new Map<string, ServicePlan>();
  readonly #exact = new Map<string, number>();
  #exactCount = 0;
  readonly #noLocal = { internal: 0, external: 0 };

  constructor(facts: NodeFacts, family: Family) {
    this.#facts = facts;
    this.#family = family;
  }

  /** Plans one Service anew; undefined when it is gone. `name` is `namespace/name`. */
  put(name: string, service: ServiceResource | undefined): Change {
    const before = this.#plans.get(name);
    this.#countNoLocal(before, -1);
    if (service === undefined || !isOurs(service)) {
      this.#account(name, 0);
      this.#plans.delete(name);
      return this.#claims.put(name, undefined);
    }
    const isExact = this.#account(name, service.ports.length);
    const plan = planService(service, { family: this.#family, facts: this.#facts, isExact, before });
    this.#plans.set(name, plan);
    this.#countNoLocal(plan, 1);
    return this.#claims.put(name, plan.fragment);
  }

  /** Of one Service: what cannot be programmed. */
  problemsOf(name: string): readonly string[] {
    const plan = this.#plans.get(name);
    if (plan === undefined) return [];
    const lost = ["services", "nodeports"].flatMap((collection) =>
      [...(plan.fragment.elements.get(collection)?.keys() ?? [])].flatMap((key) => {
        const holder = this.#claims.holderOf(collection, key);
        return holder === undefined || holder === name
          ? []
          : [`Cannot program Service ${name} on ${key}: Service ${holder} has that address and port`];
      }),
    );
    return [...plan.problems, ...lost];
  }

  /** Where the flows of one Service may go. */
  flowsOf(name: string): Flows {
    return this.#plans.get(name)?.flows ?? new Map();
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
