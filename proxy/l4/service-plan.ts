/**
 * What one Service wants in one family's table. Pure.
 *
 *   ServiceResource + NodeFacts + what it had before ─▶ planService ─▶ ServicePlan { fragment, flows, problems }
 *                                                    └ port-plan.ts, for each port
 *
 * Invariant: equal arguments give equal plans. Behaviours: kube-proxy in nftables mode.
 */
import type { ServiceResource } from "#api/wire/service.ts";
import { isPort, type Target } from "./categories.ts";
import { Draft, emptyPlan } from "./draft.ts";
import type { NodeFacts } from "./facts.ts";
import { contains, type Family, familyOf, normalizeAddress } from "./ip.ts";
import type { Fragment } from "./nft/types.ts";
import { PortPlan, type PortPlanOptions } from "./port-plan.ts";
import { isOurs, keyOf } from "./service-key.ts";
import { rangesOf, tableFamilyOf } from "./skeleton.ts";

/** Endpoints that may keep flows to `address:port`, or to any address of the node at `*:port`, as `address:port`. */
export type Flows = ReadonlyMap<string, ReadonlySet<string>>;

export interface ServicePlan {
  readonly fragment: Fragment;
  /** Of UDP and SCTP ports: `udp 10.96.0.1:53`. */
  readonly flows: Flows;
  /** Order of the endpoints of each port: the next plan keeps it, so that few slots change. */
  readonly orders: ReadonlyMap<string, readonly Target[]>;
  /** Whether a policy Local finds no endpoint on this node, though there are some elsewhere. */
  readonly noLocal: { readonly internal: boolean; readonly external: boolean };
  readonly problems: readonly string[];
}

export interface PlanOptions {
  readonly family: Family;
  readonly facts: NodeFacts;
  /** Whether chains of its own may be made for exact rotation. */
  readonly isExact: boolean;
  readonly before?: ServicePlan | undefined;
  /** Addresses of pods whose callers policies judge. Default none. */
  readonly isolated?: ReadonlySet<string>;
}

const nobody: ReadonlySet<string> = new Set();
const namePattern = /^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/;

/** The plan for one Service in one family. */
export function planService(service: ServiceResource, options: PlanOptions): ServicePlan {
  if (!isOurs(service)) return emptyPlan;
  const draft = new Draft(tableFamilyOf(options.family));
  if (!namePattern.test(service.namespace) || !namePattern.test(service.name)) {
    draft.problem(`Cannot program Service ${JSON.stringify(keyOf(service))}: wanted names that are DNS labels`);
    return draft.done();
  }
  const addresses = addressesOf(service, options, draft);
  const { clusterIPs, externalIPs, loadBalancerIPs } = addresses;
  const hasNodePorts = service.type === "NodePort" || service.type === "LoadBalancer";
  // Nothing to do in this family, as nearly always in one of the two.
  if (!hasNodePorts && clusterIPs.length + externalIPs.length + loadBalancerIPs.length === 0)
    return draft.isEmpty ? emptyPlan : draft.done();
  const { family, facts, isExact, before, isolated = nobody } = options;
  const forPorts = { family, facts, isExact, orders: before?.orders, isolated, ...addresses };
  for (const port of service.ports) {
    if (isPort(port.port)) new PortPlan(draft, service, port, forPorts).plan();
    else draft.problem(`Cannot program Service ${keyOf(service)} port ${port.port}: wanted a number from 1 to 65535`);
  }
  return draft.done();
}

type Addresses = Pick<PortPlanOptions, "clusterIPs" | "externalIPs" | "loadBalancerIPs">;

function addressesOf(service: ServiceResource, { family, facts }: PlanOptions, draft: Draft): Addresses {
  const read = (texts: readonly string[]): string[] =>
    texts.flatMap((text) => {
      const address = normalizeAddress(text);
      if (address === undefined)
        draft.problem(`Cannot program Service ${keyOf(service)} on ${JSON.stringify(text)}: wanted an IP address`);
      return address === undefined || familyOf(address) !== family ? [] : [address];
    });
  const ranges = rangesOf(facts.serviceCIDRs, family);
  const clusterIPs = read(service.clusterIPs).filter((address) => {
    if (ranges.length === 0 || ranges.some((range) => contains(range, address))) return true;
    const wanted = `wanted an address in ${ranges.map(({ text }) => text).join(", ")}`;
    draft.problem(`Cannot program Service ${keyOf(service)} on ${address}: ${wanted}`);
    return false;
  });
  const loadBalancerIPs = service.type === "LoadBalancer" ? read(service.loadBalancerIPs) : [];
  return { clusterIPs, externalIPs: read(service.externalIPs), loadBalancerIPs };
}
