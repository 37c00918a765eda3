/**
 * Access logs: which requests are written, in which form, and to where. Pure; sink.ts writes.
 *
 *   access_log (config.ts) ─▶ AccessLogSpec ─▶ formatLine(record) ─▶ sink.ts
 *
 * Source: envoy.config.accesslog.v3.AccessLog.
 */
import type { FormatRecord, Template } from "./types.ts";

export type LogTarget =
  /** `field`: where the path stands in the configuration, for messages. */
  | { readonly kind: "file"; readonly path: string; readonly field: string }
  | { readonly kind: "stdout" }
  | { readonly kind: "stderr" };

/** What a line is made of: a text with its own line break, or an object that is one line of JSON. */
export type LogFormat =
  | { readonly kind: "text"; readonly template: Template }
  | { readonly kind: "json"; readonly tree: JSONTree; readonly omitsEmpty: boolean };

/** Objects and lists of templates. */
export type JSONTree =
  | { readonly kind: "value"; readonly template: Template }
  | { readonly kind: "literal"; readonly value: number | boolean | null }
  | { readonly kind: "object"; readonly fields: readonly (readonly [name: string, value: JSONTree])[] }
  | { readonly kind: "list"; readonly items: readonly JSONTree[] };

export type LogFilter = (record: FormatRecord, random: () => number) => boolean;

export interface AccessLogSpec {
  readonly filter: LogFilter | undefined;
  readonly format: LogFormat;
  readonly target: LogTarget;
}

/** Whether %REQ(X-REQUEST-ID)% is in it. */
export function asksRequestId(format: LogFormat): boolean {
  return format.kind === "text" ? format.template.asksRequestId : treeAsksRequestId(format.tree);
}

function treeAsksRequestId(tree: JSONTree): boolean {
  switch (tree.kind) {
    case "literal":
      return false;
    case "value":
      return tree.template.asksRequestId;
    case "object":
      return tree.fields.some(([, value]) => treeAsksRequestId(value));
    case "list":
      return tree.items.some(treeAsksRequestId);
  }
}

/** The line for a record, with its line break where the format has one. */
export function formatLine(format: LogFormat, record: FormatRecord): string {
  if (format.kind === "text") return format.template.render(record, "-");
  return `${JSON.stringify(toJSON(format.tree, record, format.omitsEmpty) ?? {})}\n`;
}

/** A lone operator keeps its type, and is null when it has no value; a text with operators is a text. */
function toJSON(tree: JSONTree, record: FormatRecord, omitsEmpty: boolean): unknown {
  switch (tree.kind) {
    case "literal":
      return tree.value;
    case "value": {
      const { parts } = tree.template;
      const [only] = parts;
      if (parts.length === 1 && typeof only === "function") return only(record) ?? (omitsEmpty ? undefined : null);
      return tree.template.render(record, omitsEmpty ? "" : "-");
    }
    case "object": {
      const made: Record<string, unknown> = {};
      for (const [name, value] of tree.fields) made[name] = toJSON(value, record, omitsEmpty);
      return made;
    }
    case "list":
      return tree.items.map((item) => toJSON(item, record, omitsEmpty));
  }
}
