/**
 * The way of a connection's first packet through fake tables: an interpreter of the rules that we write.
 *
 *   prerouting or output ─▶ (routing) ─▶ input or forward ─▶ postrouting, each hook's chains by priority
 *
 * Throws for a rule that it cannot read, so that no rule goes untested. Only tests import this.
 */
import { contains, normalizeAddress, parseRange } from "../ip.ts";
import type { FakeRule, FakeTable } from "./fake.ts";

export interface Packet {
  readonly protocol: "tcp" | "udp" | "sctp";
  readonly source: string;
  readonly destination: string;
  readonly port: number;
}

export type Verdict =
  | { readonly kind: "accept" }
  | { readonly kind: "reject" }
  | { readonly kind: "drop" }
  | { readonly kind: "dnat"; readonly to: string; readonly isMasqueraded: boolean };

interface Walk {
  readonly packet: Packet;
  readonly isLocal: (address: string) => boolean;
  destination: string;
  port: number;
  mark: number;
  to: string | undefined;
  isMasqueraded: boolean;
}

/** What a rule or chain does: go on with the next rule, back to the caller, or the end of this hook. */
type Outcome = "next" | "return" | "accept" | "reject" | "drop" | "translated";

/** Sends a packet through the tables. */
export function walkPacket(packet: Packet, tables: readonly FakeTable[], localAddresses: readonly string[]): Verdict {
  const isLocal = (address: string): boolean => localAddresses.includes(address);
  const { destination, port } = packet;
  const walk: Walk = { packet, isLocal, destination, port, mark: 0, to: undefined, isMasqueraded: false };
  const hooks = isLocal(packet.source) ? ["output"] : ["prerouting", "forward or input"];
  for (const hook of [...hooks, "postrouting"]) {
    const name = hook === "forward or input" ? (isLocal(walk.destination) ? "input" : "forward") : hook;
    const outcome = walkHook(walk, tables, name);
    if (outcome === "reject" || outcome === "drop") return { kind: outcome };
  }
  return walk.to === undefined ? { kind: "accept" } : { kind: "dnat", to: walk.to, isMasqueraded: walk.isMasqueraded };
}

function walkHook(walk: Walk, tables: readonly FakeTable[], hook: string): Outcome {
  const bases = tables
    .flatMap((table) => [...table.chains.values()].map((chain) => ({ table, chain })))
    .map((base) => ({ ...base, priority: Number(/priority (-?[0-9]+)/.exec(base.chain.hook)?.[1] ?? 0) }))
    .filter(({ chain }) => chain.hook.includes(` hook ${hook} `))
    .sort((a, b) => a.priority - b.priority);
  for (const { table, chain } of bases) {
    const outcome = walkRules(walk, table, chain.rules);
    if (outcome === "reject" || outcome === "drop") return outcome;
  }
  return "next";
}

function walkChain(walk: Walk, table: FakeTable, name: string): Outcome {
  const chain = table.chains.get(name);
  if (chain === undefined) throw new Error(`Cannot walk to chain ${name}: there is none`);
  return walkRules(walk, table, chain.rules);
}

function walkRules(walk: Walk, table: FakeTable, rules: readonly FakeRule[]): Outcome {
  for (const rule of rules) {
    const outcome = walkRule(walk, table, rule);
    if (outcome === "return") return "next";
    if (outcome !== "next") return outcome;
  }
  return "next";
}

/** A verdict of a map or a rule. What `goto` leads to is the end of this chain. */
function follow(walk: Walk, table: FakeTable, verdict: string): Outcome {
  const [word = "", chain = ""] = verdict.split(" ");
  if (word === "drop" || word === "return" || word === "accept") return word;
  const outcome = walkChain(walk, table, chain);
  return word === "goto" && outcome === "next" ? "return" : outcome;
}

interface Step {
  readonly pattern: RegExp;
  /** Undefined: the rule goes on with what follows; "mismatch": it does not apply. */
  readonly run: (
    walk: Walk,
    table: FakeTable,
    words: readonly string[],
    rule: FakeRule,
  ) => Outcome | "mismatch" | undefined;
}

const when = (holds: boolean): "mismatch" | undefined => (holds ? undefined : "mismatch");

const steps: readonly Step[] = [
  {
    pattern: /^(?:ip6? daddr \. )?meta l4proto \. th dport vmap @(\S+)$/,
    run: (walk, table, [text = "", map = ""]) => {
      const byPort = `${walk.packet.protocol} . ${walk.port}`;
      const key = text.includes("daddr") ? `${walk.destination} . ${byPort}` : byPort;
      const verdict = table.collections.get(map)?.get(key);
      return verdict === undefined ? "mismatch" : follow(walk, table, verdict);
    },
  },
  {
    pattern: /^ip6? daddr \. meta l4proto \. th dport @(\S+) /,
    run: ({ packet, destination, port }, table, [, set = ""]) =>
      when(table.collections.get(set)?.has(`${destination} . ${packet.protocol} . ${port}`) === true),
  },
  {
    pattern: /^ip6? saddr \. ip6? daddr @(\S+) /,
    run: ({ packet, destination }, table, [, set = ""]) =>
      when(table.collections.get(set)?.has(`${packet.source} . ${destination}`) === true),
  },
  {
    pattern: /^ip6? (saddr|daddr) (!= )?(\{[^}]*\}|\S+) /,
    run: (walk, table, [, which, not, wanted = ""]) => {
      const address = which === "saddr" ? walk.packet.source : walk.destination;
      return when(isAmong(address, wanted, table) === (not === undefined));
    },
  },
  {
    pattern: /^(tcp|udp) dport ([0-9]+) /,
    run: ({ packet, port }, _, [, p, n]) => when(packet.protocol === p && port === Number(n)),
  },
  { pattern: /^(tcp|udp) sport ([0-9]+) /, run: () => "mismatch" },
  {
    pattern: /^meta l4proto (tcp|udp|sctp) /,
    run: ({ packet }, _, [, protocol]) => when(packet.protocol === protocol),
  },
  {
    pattern: /^fib (saddr|daddr) type local /,
    run: (walk, _, [, which]) => when(walk.isLocal(which === "saddr" ? walk.packet.source : walk.destination)),
  },
  // Of a connection's first packet.
  { pattern: /^ct state != new /, run: () => "mismatch" },
  { pattern: /^ct status dnat /, run: ({ to }) => when(to !== undefined) },
  { pattern: /^meta mark & (\S+) == 0 /, run: ({ mark }, _, [, bits]) => when((mark & Number(bits)) === 0) },
  {
    pattern: /^meta mark set meta mark ([|^]) (\S+)$/,
    run: (walk, _, [, operator, bits]) => {
      walk.mark = operator === "|" ? walk.mark | Number(bits) : walk.mark ^ Number(bits);
      return "next";
    },
  },
  {
    pattern: /^update @(\S+) \{ ip6? saddr \}$/,
    run: ({ packet }, table, [, set = ""]) => {
      table.collections.get(set)?.set(packet.source, "");
      return "next";
    },
  },
  {
    pattern: /^numgen inc mod ([0-9]+) vmap \{ (.*) \}$/,
    run: (walk, table, [, count, slots = ""], rule) => {
      const slot = rule.count++ % Number(count);
      const verdict = slots.split(", ").find((each) => each.startsWith(`${slot} : `));
      return follow(walk, table, verdict?.slice(`${slot} : `.length) ?? "");
    },
  },
  {
    pattern: /^dnat ip6? to (.+) \. numgen (inc|random) mod ([0-9]+)(?: offset ([0-9]+))? map @(\S+)$/,
    run: (walk, table, [, key = "", , count, offset = "0", map = ""], rule) => {
      const slot = (rule.count++ % Number(count)) + Number(offset);
      const prefix = key.includes("daddr") ? `${walk.destination} . ${walk.port}` : String(walk.port);
      const found = table.collections.get(map)?.get(`${prefix} . ${slot}`);
      if (found === undefined) throw new Error(`Cannot walk ${rule.text}: no slot ${prefix} . ${slot}`);
      return translate(walk, found.replace(" . ", " "));
    },
  },
  {
    pattern: /^dnat to \[?([0-9a-f.:]+?)\]?:([0-9]+)$/,
    run: (walk, _, [, address, port]) => translate(walk, `${address} ${port}`),
  },
  { pattern: /^(?:jump|goto) \S+$/, run: (walk, table, [verdict = ""]) => follow(walk, table, verdict) },
  { pattern: /^(?:drop|return)$/, run: (_walk, _table, [verdict]) => verdict as Outcome },
  { pattern: /^reject(?: with .*)?$/, run: () => "reject" },
  { pattern: /^notrack$/, run: () => "next" },
  {
    pattern: /^masquerade fully-random$/,
    run: (walk) => {
      walk.isMasqueraded = true;
      return "accept";
    },
  },
];

function walkRule(walk: Walk, table: FakeTable, rule: FakeRule): Outcome {
  let rest = rule.text;
  while (rest !== "") {
    const step = steps.find(({ pattern }) => pattern.test(rest));
    const words = step?.pattern.exec(rest);
    if (step === undefined || words === null || words === undefined) throw new Error(`Cannot walk rule ${rule.text}`);
    const outcome = step.run(walk, table, words, rule);
    if (outcome === "mismatch") return "next";
    if (outcome !== undefined) return outcome;
    rest = rest.slice(words[0].length);
  }
  return "next";
}

function translate(walk: Walk, target: string): Outcome {
  const [address = "", port = ""] = target.split(" ");
  walk.destination = address;
  walk.port = Number(port);
  walk.to = `${address}:${port}`;
  return "translated";
}

function isAmong(address: string, wanted: string, table: FakeTable): boolean {
  if (wanted.startsWith("@")) return table.collections.get(wanted.slice(1))?.has(address) === true;
  const texts = wanted.startsWith("{") ? wanted.slice(2, -2).split(", ") : [wanted];
  return texts.some((text) => {
    const range = parseRange(text);
    return range === undefined ? normalizeAddress(text) === address : contains(range, address);
  });
}
