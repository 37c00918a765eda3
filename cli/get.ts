/** `wherry get`: shows objects as a table, JSON, YAML or names. */
import type { HttpKubeClient } from "#api/client/http.ts";
import { type KindRef, apiVersionOf } from "#api/kind.ts";
import type { KubeObject } from "#api/meta.ts";
import { stringify } from "yaml";
import { formatTable, rowsOf } from "./columns.ts";
import { connect } from "./connect.ts";
import { type Named, displayName, parseResources } from "./resources.ts";

export interface GetOptions {
  readonly name: string;
  readonly namespace: string;
  readonly allNamespaces?: boolean;
  readonly selector?: string;
  readonly output: "table" | "wide" | "json" | "yaml" | "name";
}

interface Found {
  readonly kind: KindRef;
  readonly objects: readonly KubeObject[];
}

export async function get(kind: string, names: readonly string[], options: GetOptions): Promise<void> {
  const wanted = parseResources(kind, names);
  const client = connect(options.name);
  try {
    const text = isTable(options)
      ? await showTables(client, wanted, options)
      : await showObjects(client, wanted, options);
    process.stdout.write(text);
    if (text !== "") return;
    const where = options.allNamespaces === true ? "" : ` in ${options.namespace} namespace`;
    process.stderr.write(`No resources found${where}\n`);
  } finally {
    await client.close();
  }
}

function isTable({ output }: GetOptions): boolean {
  return output === "table" || output === "wide";
}

/** One table a kind, as the server prints it. */
async function showTables(client: HttpKubeClient, wanted: readonly Named[], options: GetOptions): Promise<string> {
  const kinds = [...new Set(wanted.map(({ kind }) => kind))];
  const tables: string[] = [];
  for (const kind of kinds) {
    const isMany = options.allNamespaces === true && kind.namespaced;
    const prefix = kinds.length > 1 ? displayName(kind, "") : "";
    const rows = [];
    for (const { name } of wanted.filter((named) => named.kind === kind)) {
      const place = name === undefined ? selection(options) : { name };
      const table = await client.table(kind, { ...scopeOf(kind, options), ...place });
      rows.push(...rowsOf(table, { wide: options.output === "wide", namespaced: isMany, prefix }));
    }
    if (rows.length > 0) tables.push(formatTable(rows));
  }
  return tables.join("\n");
}

async function showObjects(client: HttpKubeClient, wanted: readonly Named[], options: GetOptions): Promise<string> {
  const found: Found[] = [];
  for (const named of wanted) found.push({ kind: named.kind, objects: await read(client, named, options) });
  const all = found.flatMap(({ objects }) => objects);
  const isSingle = wanted.length === 1 && wanted[0]?.name !== undefined;
  const document = isSingle
    ? all[0]
    : { apiVersion: "v1", kind: "List", metadata: { resourceVersion: "" }, items: all };
  if (options.output === "json") return `${JSON.stringify(document, null, 2)}\n`;
  if (options.output === "yaml") return stringify(document);
  return found
    .flatMap(({ kind, objects }) => objects.map(({ metadata }) => `${displayName(kind, metadata.name)}\n`))
    .join("");
}

async function read(
  client: HttpKubeClient,
  { kind, name }: Named,
  options: GetOptions,
): Promise<readonly KubeObject[]> {
  if (name !== undefined) return [await client.get(kind, { ...scopeOf(kind, options), name })];
  const { items } = await client.list(kind, { ...scopeOf(kind, options), ...selection(options) });
  const typed = items.map((item) => ({ ...item, apiVersion: apiVersionOf(kind), kind: kind.kind }));
  const place = ({ metadata }: KubeObject): string => `${metadata.namespace ?? ""}/${metadata.name}`;
  return typed.sort((a, b) => (place(a) < place(b) ? -1 : 1));
}

function scopeOf(kind: KindRef, options: GetOptions): { readonly namespace?: string } {
  return kind.namespaced && options.allNamespaces !== true ? { namespace: options.namespace } : {};
}

function selection({ selector }: GetOptions): { readonly labelSelector?: string } {
  return selector === undefined ? {} : { labelSelector: selector };
}
