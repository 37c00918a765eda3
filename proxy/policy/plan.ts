/**
 * What the policies want in one family's table on this node. Pure.
 *
 *   PolicyView ─▶ pods of this node that a policy selects ─▶ one chain for each set of policies ─▶ Fragment
 *
 * A chain returns for what one of its policies allows, and drops the rest. The pods that a rule names are a set of
 * their own, so that a pod that comes or goes is one element of it, whatever the number of pods.
 * Source: k8s.io/api networking/v1; kubernetes.io/docs/concepts/services-networking/network-policies.
 */
import { createHash } from "node:crypto";
import type { LabelSelector } from "#api/meta.ts";
import type { NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort } from "#api/networking/network-policy.ts";
import { matchesLabels, toRequirements } from "#api/selector.ts";
import { type Family, familyOf, parseRange } from "../l4/ip.ts";
import type { Fragment } from "../l4/nft/types.ts";
import { tableFamilyOf } from "../l4/skeleton.ts";
import { typesOf } from "./isolation.ts";
import { portMatches } from "./ports.ts";
import type { PolicyPod, PolicyView } from "./view.ts";

export interface PolicyPlanOptions {
  readonly family: Family;
  readonly nodeName: string;
}

type Direction = "ingress" | "egress";

interface Rule {
  readonly peers: readonly NetworkPolicyPeer[];
  readonly ports: readonly NetworkPolicyPort[];
}

/** Names longer than this are hashed; the kernel takes 255 bytes. */
const nameMax = 120;

export function planPolicies(view: PolicyView, options: PolicyPlanOptions): Fragment {
  return new Planner(view, options).plan();
}

class Planner {
  readonly #view: PolicyView;
  readonly #options: PolicyPlanOptions;
  readonly #podsOf = new Map<string, PolicyPod[]>();
  readonly #chains = new Map<string, readonly string[]>();
  readonly #sets = new Map<string, string>();
  readonly #elements = new Map<string, Map<string, string>>();

  constructor(view: PolicyView, options: PolicyPlanOptions) {
    this.#view = view;
    this.#options = options;
    for (const pod of view.pods) {
      const known = this.#podsOf.get(pod.namespace);
      if (known === undefined) this.#podsOf.set(pod.namespace, [pod]);
      else known.push(pod);
    }
  }

  plan(): Fragment {
    for (const direction of ["ingress", "egress"] as const) {
      const policiesOf = new Map<PolicyPod, NetworkPolicy[]>();
      for (const policy of this.#view.policies.toSorted(byName)) {
        if (!typesOf(policy).includes(direction === "ingress" ? "Ingress" : "Egress")) continue;
        for (const pod of this.#selected(policy)) {
          if (pod.nodeName !== this.#options.nodeName) continue;
          policiesOf.set(pod, [...(policiesOf.get(pod) ?? []), policy]);
        }
      }
      for (const [pod, policies] of policiesOf) this.#isolate(pod, direction, policies);
    }
    return { chains: this.#chains, sets: this.#sets, elements: this.#elements };
  }

  #isolate(pod: PolicyPod, direction: Direction, policies: readonly NetworkPolicy[]): void {
    const group = shorten(policies.map(keyOf).join("+"));
    const chain = `${direction}/${group}`;
    if (!this.#chains.has(chain)) this.#chains.set(chain, this.#planChain(direction, policies, false));
    const outside = `egress-outside/${group}`;
    if (direction === "egress" && !this.#chains.has(outside))
      this.#chains.set(outside, this.#planChain(direction, policies, true));
    for (const address of this.#addressesOf(pod)) {
      this.#add(direction, address, `jump ${chain}`);
      if (direction === "egress") this.#add("egress-outside", address, `jump ${outside}`);
      // Nothing keeps a pod from itself, also by way of a Service.
      this.#add("self", `${address} . ${address}`, "");
    }
  }

  /** `isOutside`: by where a connection was meant to go, which no pod is. */
  #planChain(direction: Direction, policies: readonly NetworkPolicy[], isOutside: boolean): readonly string[] {
    const rules = policies.flatMap((policy) =>
      rulesOf(policy, direction).flatMap((rule, index) => {
        const name = shorten(`${keyOf(policy)}/${direction}/${index}`);
        return this.#planRule(policy, rule, { direction, name, isOutside });
      }),
    );
    return [...rules, "drop"];
  }

  #planRule(
    policy: NetworkPolicy,
    { peers, ports }: Rule,
    {
      direction,
      name,
      isOutside,
    }: { readonly direction: Direction; readonly name: string; readonly isOutside: boolean },
  ): readonly string[] {
    const ip = tableFamilyOf(this.#options.family);
    const address = direction === "ingress" ? `${ip} saddr` : isOutside ? `ct original ${ip} daddr` : `${ip} daddr`;
    const blocks = peers.flatMap(({ ipBlock }) =>
      ipBlock === undefined ? [] : (this.#matchBlock(address, ipBlock) ?? []),
    );
    const isSelecting = peers.some(({ ipBlock }) => ipBlock === undefined);
    const pods = isSelecting ? this.#peerPods(policy, peers) : [];
    if (isSelecting && !isOutside) {
      const elements = pods.flatMap((pod) => this.#addressesOf(pod));
      blocks.unshift(`${address} @${this.#set(`peers/${name}`, this.#type, elements)} `);
    }
    const matches = peers.length === 0 ? [""] : blocks;
    const numbers = portMatches(ports, isOutside);
    const texts = matches.flatMap((match) => numbers.map((number) => `${match}${number}return`));
    const named = ports.filter(({ port }) => typeof port === "string");
    if (named.length === 0 || isOutside) return texts;
    // The names are those of the pod that is called: one of this policy, or one of its peers.
    const called = direction === "ingress" ? this.#selected(policy) : peers.length === 0 ? this.#view.pods : pods;
    const set = this.#set(
      `ports/${name}`,
      `${this.#type} . inet_proto . inet_service`,
      this.#namedPorts(called, named),
    );
    const callers = direction === "ingress" ? matches : [""];
    return [...texts, ...callers.map((match) => `${match}${ip} daddr . meta l4proto . th dport @${set} return`)];
  }

  get #type(): string {
    return this.#options.family === "IPv4" ? "type ipv4_addr" : "type ipv6_addr";
  }

  #namedPorts(pods: readonly PolicyPod[], wanted: readonly NetworkPolicyPort[]): readonly string[] {
    return pods.flatMap((pod) =>
      pod.ports
        .filter(({ name, protocol }) =>
          wanted.some((port) => port.port === name && (port.protocol ?? "TCP") === protocol),
        )
        .flatMap(({ protocol, port }) =>
          this.#addressesOf(pod).map((address) => `${address} . ${protocol.toLowerCase()} . ${port}`),
        ),
    );
  }

  /** Undefined for a block of the other family. */
  #matchBlock(address: string, { cidr, except = [] }: NonNullable<NetworkPolicyPeer["ipBlock"]>): string | undefined {
    const range = parseRange(cidr);
    if (range === undefined || range.family !== this.#options.family) return undefined;
    const holes = except.flatMap((text) => parseRange(text)?.text ?? []);
    return `${address} ${range.text} ${holes.map((text) => `${address} != ${text} `).join("")}`;
  }

  #peerPods(policy: NetworkPolicy, peers: readonly NetworkPolicyPeer[]): readonly PolicyPod[] {
    const found = new Set<PolicyPod>();
    for (const { podSelector = {}, namespaceSelector, ipBlock } of peers) {
      if (ipBlock !== undefined) continue;
      const namespaces =
        namespaceSelector === undefined ? [policy.metadata.namespace ?? ""] : this.#namespaces(namespaceSelector);
      for (const namespace of namespaces) for (const pod of this.#pods(namespace, podSelector)) found.add(pod);
    }
    return [...found];
  }

  #selected({ metadata, spec }: NetworkPolicy): readonly PolicyPod[] {
    return this.#pods(metadata.namespace ?? "", spec?.podSelector ?? {});
  }

  #pods(namespace: string, selector: LabelSelector): readonly PolicyPod[] {
    const requirements = toRequirements(selector);
    return (this.#podsOf.get(namespace) ?? []).filter(({ labels }) => matchesLabels(requirements, labels));
  }

  #namespaces(selector: LabelSelector): readonly string[] {
    const requirements = toRequirements(selector);
    return [...this.#view.namespaces].flatMap(([name, labels]) => (matchesLabels(requirements, labels) ? [name] : []));
  }

  #addressesOf({ addresses }: PolicyPod): readonly string[] {
    return addresses.filter((address) => familyOf(address) === this.#options.family);
  }

  #set(name: string, type: string, elements: readonly string[]): string {
    this.#sets.set(name, `${type} ;`);
    for (const element of elements) this.#add(name, element, "");
    return name;
  }

  #add(collection: string, key: string, value: string): void {
    let elements = this.#elements.get(collection);
    if (elements === undefined) this.#elements.set(collection, (elements = new Map()));
    elements.set(key, value);
  }
}

function rulesOf({ spec }: NetworkPolicy, direction: Direction): readonly Rule[] {
  if (direction === "ingress")
    return (spec?.ingress ?? []).map(({ from = [], ports = [] }) => ({ peers: from, ports }));
  return (spec?.egress ?? []).map(({ to = [], ports = [] }) => ({ peers: to, ports }));
}

function keyOf({ metadata }: NetworkPolicy): string {
  return `${metadata.namespace ?? ""}/${metadata.name}`;
}

function byName(a: NetworkPolicy, b: NetworkPolicy): number {
  return keyOf(a) < keyOf(b) ? -1 : 1;
}

/** A name that nft takes: at most `nameMax` of letters, digits and few others. */
function shorten(name: string): string {
  if (name.length <= nameMax && !name.includes("+")) return name;
  return createHash("sha256").update(name).digest("hex").slice(0, 32);
}
