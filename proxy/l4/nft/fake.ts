/**
 * nft with semantics, for tests: applies our transactions to a table in memory, and walks packets through it.
 *
 *   text ─▶ FakeNft.exec ─▶ table ─▶ walk(packet) ─▶ verdict
 *
 * A transaction is atomic, and refused for what the kernel would refuse: unknown chains, maps or keys, a chain deleted
 * while something names it. Understands the dialect that render.ts and plan.ts write, and throws for any other.
 */
import type { Exec, ExecResult } from "../exec.ts";

export interface Packet {
  readonly protocol: "tcp" | "udp";
  readonly source: string;
  readonly destination: string;
  readonly port: number;
}

export type Verdict =
  | { readonly kind: "accept" }
  | { readonly kind: "reject" }
  | { readonly kind: "dnat"; readonly to: string; readonly isMasqueraded: boolean };

interface Rule {
  readonly text: string;
  /** The state of `numgen inc`, lost with the rule. */
  count: number;
}

interface Table {
  readonly chains: Map<string, { readonly isBase: boolean; rules: Rule[] }>;
  readonly collections: Map<string, Map<string, string>>;
}

export class FakeNft {
  #table: Table | undefined;
  /** The text of each transaction taken. */
  readonly transactions: string[] = [];
  /** Answers the next transaction with a failure. */
  failNext = false;

  readonly exec: Exec = async (command, input = ""): Promise<ExecResult> => {
    await Promise.resolve();
    if (command[0] !== "nft") return { exitCode: 0, stdout: "", stderr: "" };
    try {
      if (this.failNext) throw new Error("told to fail");
      this.#table = applyTransaction(this.#table, input);
      this.transactions.push(input);
      return { exitCode: 0, stdout: "", stderr: "" };
    } catch (error) {
      return { exitCode: 1, stdout: "", stderr: String(error) };
    } finally {
      this.failNext = false;
    }
  };

  /** As `nft flush ruleset` by somebody else. */
  flush(): void {
    this.#table = undefined;
  }

  /** Chains and elements, sorted, one a line; empty chains that nothing names are left out. */
  dump(): readonly string[] {
    const { chains = new Map<string, never>(), collections = new Map<string, never>() } = this.#table ?? {};
    return [
      ...[...chains].flatMap(([name, { rules }]) => rules.map((rule: Rule) => `${name}: ${rule.text}`)),
      ...[...collections].flatMap(([name, elements]: [string, Map<string, string>]) =>
        [...elements].map(([key, value]) => `${name}: ${key} : ${value}`),
      ),
    ].sort();
  }

  get chainNames(): readonly string[] {
    return [...(this.#table?.chains.keys() ?? [])];
  }

  /** What becomes of the first packet of a connection from a pod. */
  walk(packet: Packet): Verdict {
    const table = this.#table;
    if (table === undefined) return { kind: "accept" };
    const key = `${packet.destination} . ${packet.protocol} . ${packet.port}`;
    const verdict = table.collections.get("services")?.get(key);
    const chain = verdict === undefined ? undefined : table.chains.get(verdict.replace("goto ", ""));
    const to = chain?.rules[0] === undefined ? undefined : translate(chain.rules[0]);
    if (to === undefined) return walkReject(table, packet);
    const address = to.slice(0, to.indexOf(":"));
    const isMasqueraded = table.collections.get("hairpin")?.has(`${packet.source} . ${address}`) ?? false;
    return { kind: "dnat", to, isMasqueraded };
  }
}

function translate(rule: Rule): string {
  const single = /^meta l4proto (?:tcp|udp) dnat to ([0-9.]+:[0-9]+)$/.exec(rule.text);
  if (single?.[1] !== undefined) return single[1];
  const rotation = /numgen inc mod ([0-9]+) map \{ (.+) \}$/.exec(rule.text);
  const slots = new Map((rotation?.[2] ?? "").split(", ").map((slot) => slot.split(" : ") as [string, string]));
  const found = slots.get(String(rule.count++ % Number(rotation?.[1])));
  if (found === undefined) throw new Error(`Cannot walk rule ${rule.text}`);
  return found.replace(" . ", ":");
}

function walkReject(table: Table, packet: Packet): Verdict {
  for (const { text } of table.chains.get("filter-forward")?.rules ?? []) {
    const [, destination = "", rest = ""] = /^ip daddr (\S+) (.*)$/.exec(text) ?? [];
    const [network = "", bits] = destination.split("/");
    // Whole octets are enough for the ranges that tests use.
    const octets = bits === undefined ? 4 : Number(bits) / 8;
    const prefix = (address: string): string => address.split(".").slice(0, octets).join(".");
    if (prefix(network) !== prefix(packet.destination)) continue;
    if (rest === "return") return { kind: "accept" };
    if (rest === "reject" || rest.startsWith(`meta l4proto ${packet.protocol} reject`)) return { kind: "reject" };
  }
  return { kind: "accept" };
}

function applyTransaction(before: Table | undefined, text: string): Table | undefined {
  let table = before === undefined ? undefined : copy(before);
  for (const line of text.split("\n").filter((each) => each !== "")) {
    if (line === "add table ip wherry-proxy") table ??= { chains: new Map(), collections: new Map() };
    else if (line === "delete table ip wherry-proxy") table = undefined;
    else if (table === undefined) throw new Error(`No such file or directory: ${line}`);
    else applyStatement(table, line);
  }
  for (const [name, elements] of table?.collections ?? []) {
    for (const [, value] of elements) {
      const chain = value.replace("goto ", "");
      if (value !== "" && table?.chains.has(chain) !== true)
        throw new Error(`Element of ${name} names no chain: ${value}`);
    }
  }
  return table;
}

function applyStatement(table: Table, line: string): void {
  const [, verb = "", kind = "", name = "", rest = ""] = /^(\w+) (\w+) ip wherry-proxy (\S+) ?(.*)$/.exec(line) ?? [];
  const chain = table.chains.get(name);
  const elements = table.collections.get(name);
  const body = rest.replace(/^\{ ?/, "").replace(/ ?\}$/, "");
  switch (`${verb} ${kind}`) {
    case "add chain":
      if (chain === undefined) table.chains.set(name, { isBase: rest !== "", rules: [] });
      return;
    case "flush chain":
      if (chain === undefined) throw new Error(`No such chain: ${line}`);
      chain.rules = [];
      return;
    case "delete chain":
      if (chain === undefined || chain.rules.length > 0) throw new Error(`Missing or busy chain: ${line}`);
      table.chains.delete(name);
      return;
    case "add rule":
      if (chain === undefined) throw new Error(`No such chain: ${line}`);
      for (const [, set = ""] of rest.matchAll(/@(\S+)/g)) {
        if (!table.collections.has(set)) throw new Error(`No such set: ${line}`);
      }
      chain.rules.push({ text: rest, count: 0 });
      return;
    case "add map":
    case "add set":
      if (elements === undefined) table.collections.set(name, new Map());
      return;
    case "add element":
      return addAll(elements, body, line);
    case "delete element":
      for (const key of body.split(", "))
        if (elements?.delete(key) !== true) throw new Error(`No such element: ${line}`);
      return;
    default:
      throw new Error(`Cannot read ${line}`);
  }
}

function addAll(elements: Map<string, string> | undefined, body: string, line: string): void {
  for (const element of body.split(", ")) {
    const [key = "", value = ""] = element.split(" : ");
    const known = elements?.get(key);
    if (elements === undefined || (known !== undefined && known !== value)) throw new Error(`File exists: ${line}`);
    elements.set(key, value);
  }
}

function copy(table: Table): Table {
  return {
    chains: new Map([...table.chains].map(([name, chain]) => [name, { ...chain, rules: [...chain.rules] }])),
    collections: new Map([...table.collections].map(([name, elements]) => [name, new Map(elements)])),
  };
}
