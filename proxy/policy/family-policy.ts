/**
 * One family's policies in the kernel: a table beside the proxy's.
 *
 *   state.ts ─ put, flush ─▶ plan.ts ─▶ claims ─▶ l4/nft/apply.ts
 *
 * Invariant: before the first policy there is no table. One that an earlier proxy left stays as it is until the first
 * view is known, and is replaced then.
 */
import { Claims } from "../l4/claims.ts";
import type { FamilyProxyOptions } from "../l4/family-proxy.ts";
import { Applier } from "../l4/nft/apply.ts";
import { policyTableNames } from "../l4/nft/names.ts";
import { planPolicies } from "./plan.ts";
import { planPolicySkeleton } from "./skeleton.ts";
import { type PolicyView, resolverPod } from "./view.ts";

export class FamilyPolicy {
  readonly #options: FamilyProxyOptions;
  readonly #claims = new Claims();
  readonly #applier: Applier;
  #isUsed = false;
  #isTold = false;

  constructor(options: FamilyProxyOptions) {
    const { exec, clock, random, log, facts, family, metrics, touching } = options;
    this.#options = options;
    this.#applier = new Applier({
      exec,
      clock,
      random,
      log,
      observer: metrics.observer(family, touching),
      skeleton: planPolicySkeleton(facts, family),
      names: policyTableNames,
    });
  }

  /** Wants what the view says from now on. */
  put(view: PolicyView): void {
    const { facts, family } = this.#options;
    this.#isTold = true;
    const pods = [...view.pods, { ...resolverPod, addresses: facts.resolverIPs }];
    const plan = planPolicies({ ...view, pods }, { family, nodeName: facts.nodeName });
    this.#applier.update(this.#claims.put("policies", plan));
  }

  /** Resolves when the kernel holds it. */
  async flush(): Promise<void> {
    this.#isUsed ||= !this.#applier.isEmpty || (this.#isTold && (await this.#applier.findLeft()));
    if (this.#isUsed) await this.#applier.flush();
  }

  async verify(): Promise<void> {
    if (this.#isUsed) await this.#applier.verify();
  }

  renew(): void {
    this.invalidate();
  }

  invalidate(): void {
    if (this.#isUsed) this.#applier.invalidate();
  }

  close(): Promise<void> {
    return this.#applier.close();
  }
}
