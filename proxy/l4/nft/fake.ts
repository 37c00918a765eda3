/**
 * nft with semantics, for tests: applies our transactions to tables in memory; walk.ts sends packets through them.
 *
 *   text ─▶ FakeNft.exec ─▶ tables ─▶ walk(packet) ─▶ verdict
 *
 * A transaction is atomic, and refused for what the kernel would refuse: unknown chains, maps or keys, a chain or set
 * deleted while something names it, more than a socket takes. Understands the dialect that render.ts writes, and
 * throws for any other. Only tests import this.
 */
import { messageOf } from "#lib/errors.ts";
import type { Exec, ExecResult } from "../exec.ts";
import { type Packet, type Verdict, walkPacket } from "./walk.ts";

export interface FakeRule {
  readonly text: string;
  /** The state of `numgen inc`, lost with the rule. */
  count: number;
}

export interface FakeChain {
  /** `type nat hook prerouting priority -100`; empty for a chain that is only gone to. */
  readonly hook: string;
  rules: FakeRule[];
}

export interface FakeTable {
  readonly chains: Map<string, FakeChain>;
  readonly collections: Map<string, Map<string, string>>;
}

type Tables = Map<string, FakeTable>;

/** Bytes of text; netlink messages are about as long. */
const transactionBytesMax = 212_992;

export class FakeNft {
  #tables: Tables = new Map();
  /** The text of each transaction taken. */
  readonly transactions: string[] = [];
  /** Answers the next transaction with a failure. */
  failNext = false;
  /** What `fib … type local` holds for. */
  localAddresses: readonly string[] = [];

  readonly exec: Exec = async (command, input = ""): Promise<ExecResult> => {
    await Promise.resolve();
    if (command[0] !== "nft") return { exitCode: 0, stdout: "", stderr: "" };
    if (command[1] === "list")
      return { exitCode: 0, stdout: [...this.#tables.keys()].map((name) => `table ${name}\n`).join(""), stderr: "" };
    try {
      if (this.failNext) throw new Error("told to fail");
      if (input.length > transactionBytesMax) throw new Error("Message too long");
      this.#tables = applyTransaction(this.#tables, input);
      this.transactions.push(input);
      return { exitCode: 0, stdout: "", stderr: "" };
    } catch (error) {
      return { exitCode: 1, stdout: "", stderr: messageOf(error) };
    } finally {
      this.failNext = false;
    }
  };

  /** As `nft flush ruleset` by somebody else. */
  flush(): void {
    this.#tables = new Map();
  }

  /** Forgets what sets have learned, as after their timeout. */
  expire(): void {
    for (const { collections } of this.#tables.values())
      for (const [name, elements] of collections) if (name.startsWith("affinity/")) elements.clear();
  }

  get tables(): readonly FakeTable[] {
    return [...this.#tables.values()];
  }

  get tableNames(): readonly string[] {
    return [...this.#tables.keys()];
  }

  get chainNames(): readonly string[] {
    return this.tables.flatMap(({ chains }) => [...chains.keys()]);
  }

  /** Elements of the collection in all tables. */
  elementsOf(collection: string): ReadonlyMap<string, string> {
    return new Map(this.tables.flatMap(({ collections }) => [...(collections.get(collection) ?? [])]));
  }

  /** Rules and elements of all tables, sorted; the order of slots is left out, empty chains are, too. */
  dump(): readonly string[] {
    return this.tables
      .flatMap(({ chains, collections }) => [
        ...[...chains].flatMap(([name, { rules }]) => rules.map(({ text }) => `${name}: ${withoutSlots(text)}`)),
        ...[...collections].flatMap(([name, elements]) =>
          [...elements].map(([key, value]) =>
            name.includes("slots-") ? `${name}: ${key.replace(/[0-9]+$/, "")} ${value}` : `${name}: ${key} : ${value}`,
          ),
        ),
      ])
      .sort();
  }

  /** What becomes of the first packet of a connection. */
  walk(packet: Packet): Verdict {
    return walkPacket(packet, this.tables, this.localAddresses);
  }
}

function withoutSlots(rule: string): string {
  const [, head = "", slots = ""] = /^(numgen inc mod [0-9]+ vmap )\{ (.*) \}$/.exec(rule) ?? [];
  if (head === "") return rule;
  return `${head}${slots
    .split(", ")
    .map((slot) => slot.replace(/^[0-9]+ : /, ""))
    .sort()
    .join(", ")}`;
}

function applyTransaction(before: Tables, text: string): Tables {
  const tables: Tables = new Map([...before].map(([name, table]) => [name, copy(table)]));
  const errors: string[] = [];
  for (const line of text.split("\n").filter((each) => each !== "")) {
    try {
      applyLine(tables, line);
    } catch (error) {
      errors.push(String(error));
    }
  }
  // As the kernel does: what is wrong is told of every statement.
  if (errors.length > 0) throw new Error(errors.join("\n"));
  for (const table of tables.values()) checkReferences(table);
  return tables;
}

function applyLine(tables: Tables, line: string): void {
  const [, verb = "", kind = "", table = "", rest = ""] = /^(\w+) (\w+) (ip6? \S+) ?(.*)$/.exec(line) ?? [];
  const known = tables.get(table);
  if (kind === "table" && verb === "add") {
    if (known === undefined) tables.set(table, { chains: new Map(), collections: new Map() });
  } else if (known === undefined) throw new Error(`No such file or directory: ${line}`);
  else if (kind === "table" && verb === "flush") for (const chain of known.chains.values()) chain.rules = [];
  else if (kind === "table") tables.delete(table);
  else applyStatement(known, `${verb} ${kind}`, rest, line);
}

function applyStatement(table: FakeTable, verb: string, rest: string, line: string): void {
  const [name = "", ...words] = rest.split(" ");
  const body = words.join(" ").replace(/^\{ ?/, "").replace(/ ?\}$/, "");
  const chain = table.chains.get(name);
  const elements = table.collections.get(name);
  switch (verb) {
    case "add chain":
      if (chain === undefined) table.chains.set(name, { hook: body, rules: [] });
      return;
    case "flush chain":
      if (chain === undefined) throw new Error(`No such chain: ${line}`);
      chain.rules = [];
      return;
    case "delete chain":
      if (chain === undefined) throw new Error(`No such chain: ${line}`);
      if (chain.rules.length > 0 || isReferred(table, name)) throw new Error(`${line}: Device or resource busy`);
      table.chains.delete(name);
      return;
    case "add rule":
      if (chain === undefined) throw new Error(`No such chain: ${line}`);
      chain.rules.push({ text: words.join(" "), count: 0 });
      return;
    case "add map":
    case "add set":
      if (elements === undefined) table.collections.set(name, new Map());
      return;
    case "delete set":
      if (!table.collections.delete(name)) throw new Error(`No such set: ${line}`);
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

/** By a rule or an element. */
function isReferred({ chains, collections }: FakeTable, name: string): boolean {
  const inRules = [...chains.values()].some(({ rules }) => rules.some(({ text }) => text.split(" ").includes(name)));
  return inRules || [...collections.values()].some((elements) => [...elements.values()].includes(`goto ${name}`));
}

function addAll(elements: Map<string, string> | undefined, body: string, line: string): void {
  for (const element of body.split(", ")) {
    const [key = "", value = ""] = element.split(" : ");
    const known = elements?.get(key);
    if (elements === undefined || (known !== undefined && known !== value)) throw new Error(`File exists: ${line}`);
    elements.set(key, value);
  }
}

/** Every chain and set that something names is there. */
function checkReferences({ chains, collections }: FakeTable): void {
  const need = (chain: string, by: string): void => {
    if (!chains.has(chain)) throw new Error(`${by} names no chain: ${chain}`);
  };
  for (const [name, { rules }] of chains)
    for (const { text } of rules) {
      for (const [, target = ""] of text.matchAll(/(?:goto|jump) ([^\s,]+)/g)) need(target, name);
      for (const [, set = ""] of text.matchAll(/@(\S+)/g))
        if (!collections.has(set)) throw new Error(`${name} names no set: ${set}`);
    }
  for (const [name, elements] of collections)
    for (const value of elements.values()) if (value.startsWith("goto ")) need(value.slice(5), name);
}

function copy({ chains, collections }: FakeTable): FakeTable {
  return {
    chains: new Map([...chains].map(([name, { hook, rules }]) => [name, { hook, rules: [...rules] }])),
    collections: new Map([...collections].map(([name, elements]) => [name, new Map(elements)])),
  };
}
