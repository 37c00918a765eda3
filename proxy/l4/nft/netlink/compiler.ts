/**
 * From nft's words to netlink, for transactions that only add and delete elements. Pure.
 *
 *   text that nft ran ─▶ learn() ─▶ the types of sets and maps;   text ─▶ compile() ─▶ bytes, or nothing: nft does it
 *
 * Elements are nearly all that changes, and each nft reads every chain and set back before it adds one. Invariant: what
 * it knows was declared by us and went through. Should somebody else have changed that, the kernel refuses keys of
 * another length, and the watch has the table replaced.
 */
import { Batch } from "./batch.ts";
import { type Layout, parseLayout } from "./layout.ts";

export class ElementCompiler {
  /** `ip wherry-proxy` → collection → its layout. */
  readonly #layouts = new Map<string, Map<string, Layout>>();

  /** Takes note of what a transaction declared and deleted that went through. */
  learn(text: string): void {
    for (const line of text.split("\n")) {
      const [, verb, kind, table = "", name = "", type = ""] = declaration.exec(line) ?? [];
      if (kind === "table" && verb === "delete") this.#layouts.delete(table);
      else if (verb === "delete") this.#layouts.get(table)?.delete(name);
      else if (kind === "map" || kind === "set") this.#declare(table, name, parseLayout(type));
    }
  }

  /** The transaction as the kernel reads it; undefined where it is more than elements that are known. */
  compile(text: string): Buffer | undefined {
    const batch = new Batch();
    for (const line of text.trimEnd().split("\n")) {
      const [, verb, family, table = "", collection = "", elements = ""] = elementStatement.exec(line) ?? [];
      const layout = this.#layouts.get(`${family} ${table}`)?.get(collection);
      if (layout === undefined || (family !== "ip" && family !== "ip6")) return undefined;
      const target = { family, table, collection, layout } as const;
      const all = elements.split(", ");
      if (!(verb === "add" ? batch.add(target, all) : batch.delete(target, all))) return undefined;
    }
    return batch.finish();
  }

  #declare(table: string, name: string, layout: Layout | undefined): void {
    const known = this.#layouts.get(table) ?? new Map<string, Layout>();
    this.#layouts.set(table, known);
    // Those of other types are not kept, however many there are.
    if (layout === undefined) known.delete(name);
    else known.set(name, layout);
  }
}

const declaration = /^(add|delete) (table|map|set) (ip6? \S+)(?: (\S+)(?: \{ (.*) \})?)?$/;
const elementStatement = /^(add|delete) element (ip6?) (\S+) (\S+) \{ (.*) \}$/;
