/**
 * What pods ask for and nodes have, in whole thousandths so that sums stay exact. Pure.
 *
 * Follows: NodeResourcesFit of kube-scheduler: init containers run one after the other and before the rest, so the
 * largest of them counts against the sum of the containers; sidecars (init containers that stay) add to both.
 */
import type { Node } from "#api/core/node.ts";
import type { Container, Pod } from "#api/core/pod.ts";
import { parseMilli } from "#api/quantity.ts";

/** Amounts in thousandths: cpu in millicores, memory in milli-bytes, pods in milli-pods. */
export interface Resources {
  readonly cpu: number;
  readonly memory: number;
  readonly pods: number;
  /** Extended resources and the like, by name; absent when there are none. */
  readonly others?: Readonly<Record<string, number>>;
}

type Amounts = Map<string, number>;

/** What a pod asks for, and itself. */
export function requestsOf(pod: Pod): Resources {
  const { initContainers = [], containers } = pod.spec;
  let running: Amounts = new Map();
  let peak: Amounts = new Map();
  for (const container of initContainers) {
    const during = plus(running, amountsOf(container));
    peak = larger(peak, during);
    if (container.restartPolicy === "Always") running = during;
  }
  for (const container of containers) running = plus(running, amountsOf(container));
  const total = larger(running, peak);
  for (const [name, amount] of Object.entries(overheadOf(pod))) total.set(name, (total.get(name) ?? 0) + amount);
  const { cpu = 0, memory = 0, ...others } = Object.fromEntries(total);
  return { cpu, memory, pods: 1000, ...(Object.keys(others).length === 0 ? {} : { others }) };
}

/** Quantities are parsed once a node object: there are many more pods than changes of nodes. */
const parsed = new WeakMap<Node, Resources>();

export function allocatableOf(node: Node): Resources {
  const known = parsed.get(node);
  if (known !== undefined) return known;
  const resources = parseAllocatable(node);
  parsed.set(node, resources);
  return resources;
}

function parseAllocatable({ status }: Node): Resources {
  const amounts = Object.entries(status?.allocatable ?? {}).map(([name, text]) => [name, parseMilli(text) ?? 0]);
  const { cpu = 0, memory = 0, pods = 0, ...others } = Object.fromEntries(amounts) as Record<string, number>;
  return { cpu, memory, pods, others };
}

export function addResources(a: Resources, b: Resources, sign: 1 | -1): Resources {
  const sum = { cpu: a.cpu + sign * b.cpu, memory: a.memory + sign * b.memory, pods: a.pods + sign * b.pods };
  if (b.others === undefined) return a.others === undefined ? sum : { ...sum, others: a.others };
  const others = { ...a.others };
  for (const [name, amount] of Object.entries(b.others)) others[name] = (others[name] ?? 0) + sign * amount;
  return { ...sum, others };
}

/** Which resources do not suffice for `wanted` beside `used`, in kube-scheduler's words. */
export function shortages(wanted: Resources, used: Resources, allocatable: Resources): readonly string[] {
  const short: string[] = [];
  if (used.pods + wanted.pods > allocatable.pods) short.push("Too many pods");
  if (wanted.cpu > 0 && used.cpu + wanted.cpu > allocatable.cpu) short.push("Insufficient cpu");
  if (wanted.memory > 0 && used.memory + wanted.memory > allocatable.memory) short.push("Insufficient memory");
  for (const [name, amount] of Object.entries(wanted.others ?? {})) {
    const free = (allocatable.others?.[name] ?? 0) - (used.others?.[name] ?? 0);
    if (amount > free && amount > 0) short.push(`Insufficient ${name}`);
  }
  return short;
}

function amountsOf({ resources }: Container): Amounts {
  const amounts: Amounts = new Map();
  for (const [name, text] of Object.entries(resources?.requests ?? {})) amounts.set(name, parseMilli(text) ?? 0);
  return amounts;
}

function overheadOf(pod: Pod): Readonly<Record<string, number>> {
  const { overhead = {} } = pod.spec as { readonly overhead?: Readonly<Record<string, string>> };
  return Object.fromEntries(Object.entries(overhead).map(([name, text]) => [name, parseMilli(text) ?? 0]));
}

function plus(a: Amounts, b: Amounts): Amounts {
  if (b.size === 0) return a;
  const sum = new Map(a);
  for (const [name, amount] of b) sum.set(name, (sum.get(name) ?? 0) + amount);
  return sum;
}

function larger(a: Amounts, b: Amounts): Amounts {
  const most = new Map(a);
  for (const [name, amount] of b) most.set(name, Math.max(most.get(name) ?? 0, amount));
  return most;
}
