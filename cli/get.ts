/** `wherry get`: shows objects as a table, JSON, YAML or names. */
import type { HttpKubeClient } from "#api/client/http.ts";
import { type KindRef, apiVersionOf } from "#api/kind.ts";
import type { KubeObject } from "#api/meta.ts";
import { realClock } from "#lib/clock.ts";
import { stringify } from "yaml";
import { formatTable, rowOf } from "./columns.ts";
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
    const found: Found[] = [];
    for (const named of wanted) found.push({ kind: named.kind, objects: await read(client, named, options) });
    const single = wanted.length === 1 && wanted[0]?.name !== undefined;
    process.stdout.write(format(found, options, single));
    if (found.every(({ objects }) => objects.length === 0)) {
      const where = options.allNamespaces === true ? "" : ` in ${options.namespace} namespace`;
      process.stderr.write(`No resources found${where}\n`);
    }
  } finally {
    await client.close();
  }
}

async function read(
  client: HttpKubeClient,
  { kind, name }: Named,
  options: GetOptions,
): Promise<readonly KubeObject[]> {
  const scope = kind.namespaced && options.allNamespaces !== true ? { namespace: options.namespace } : {};
  if (name !== undefined) return [await client.get(kind, { ...scope, name })];
  const selector = options.selector === undefined ? {} : { labelSelector: options.selector };
  const { items } = await client.list(kind, { ...scope, ...selector });
  const typed = items.map((item) => ({ ...item, apiVersion: apiVersionOf(kind), kind: kind.kind }));
  const place = ({ metadata }: KubeObject): string => `${metadata.namespace ?? ""}/${metadata.name}`;
  return typed.sort((a, b) => (place(a) < place(b) ? -1 : 1));
}

function format(found: readonly Found[], { output, allNamespaces }: GetOptions, single: boolean): string {
  const all = found.flatMap(({ objects }) => objects);
  const document = single ? all[0] : { apiVersion: "v1", kind: "List", metadata: { resourceVersion: "" }, items: all };
  if (output === "json") return `${JSON.stringify(document, null, 2)}\n`;
  if (output === "yaml") return stringify(document);
  if (output === "name") {
    return found
      .flatMap(({ kind, objects }) => objects.map(({ metadata }) => `${displayName(kind, metadata.name)}\n`))
      .join("");
  }
  const nowMs = realClock.nowMs();
  const tables = found.map(({ kind, objects }) => {
    const rows = objects.map((object) => {
      const created = object.metadata.creationTimestamp;
      const ageMs = created === undefined ? undefined : nowMs - Date.parse(created);
      return rowOf(object, ageMs, { wide: output === "wide", namespaced: allNamespaces === true && kind.namespaced });
    });
    return formatTable(rows);
  });
  return tables.filter((table) => table !== "").join("\n");
}
