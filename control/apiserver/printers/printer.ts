/**
 * What a printer is: the columns of a kind, and the cells of one object. kubectl shows them as they are.
 *
 *   pods.ts, workloads.ts, … (Printer) ─▶ index-by-kind in printers.ts ─▶ table.ts
 *
 * Pure. Columns and cells follow k8s.io/kubernetes pkg/printers/internalversion/printers.go.
 */
import type { Container } from "#api/core/pod.ts";
import type { KubeObject, LabelSelector } from "#api/meta.ts";

export type Cell = string | number | boolean;

export interface Column {
  readonly name: string;
  readonly type: "string" | "integer" | "boolean" | "date";
  /** `name` marks the object's name. */
  readonly format: "" | "name";
  readonly description: string;
  /** 0: always shown; 1: with `-o wide`. */
  readonly priority: 0 | 1;
}

export interface Printer {
  readonly columns: readonly Column[];
  /** As many cells as columns. `nowMs` is for ages. */
  cells(object: KubeObject, nowMs: number): readonly Cell[];
}

/** A column that is always shown. */
export function column(name: string, type: Column["type"] = "string"): Column {
  return { name, type, format: name === "Name" ? "name" : "", description: "", priority: 0 };
}

/** A column of `-o wide`. */
export function wide(name: string, type: Column["type"] = "string"): Column {
  return { ...column(name, type), priority: 1 };
}

/** `text`, or `<none>` for an absent or empty one. */
export function orNone(text: string | undefined): string {
  return text === undefined || text === "" ? "<none>" : text;
}

/** The age of an object: `5m`, `2d3h`; `<unknown>` without a creation time. */
export function ageOf(object: KubeObject, nowMs: number): string {
  return formatSince(object.metadata.creationTimestamp, nowMs);
}

/** The time since a moment; `<unknown>` when there is none. */
export function formatSince(time: string | null | undefined, nowMs: number): string {
  const sinceMs = Date.parse(time ?? "");
  return Number.isNaN(sinceMs) ? "<unknown>" : formatDuration(nowMs - sinceMs);
}

/** A duration as k8s.io/apimachinery util/duration HumanDuration has it: two units while they say something. */
export function formatDuration(ms: number): string {
  const seconds = Math.trunc(ms / 1000);
  if (seconds < -1) return "<invalid>";
  if (seconds < 120) return `${Math.max(0, seconds)}s`;
  const minutes = Math.trunc(seconds / 60);
  if (minutes < 10) return twoUnits(minutes, "m", seconds % 60, "s");
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.trunc(minutes / 60);
  if (hours < 8) return twoUnits(hours, "h", minutes % 60, "m");
  if (hours < 48) return `${hours}h`;
  const days = Math.trunc(hours / 24);
  if (days < 8) return twoUnits(days, "d", hours % 24, "h");
  if (days < 365 * 2) return `${days}d`;
  const years = Math.trunc(days / 365);
  return years < 8 ? twoUnits(years, "y", days % 365, "d") : `${years}y`;
}

function twoUnits(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large}${largeUnit}` : `${large}${largeUnit}${small}${smallUnit}`;
}

/** A label selector as text: `app=a,tier in (x,y)`; `<none>` when it says nothing. */
export function formatSelector(selector: LabelSelector | undefined): string {
  const pairs = Object.entries(selector?.matchLabels ?? {}).map(([key, value]) => [key, `${key}=${value}`] as const);
  const expressions = (selector?.matchExpressions ?? []).map(({ key, operator, values = [] }) => {
    const list = `(${[...values].sort().join(",")})`;
    const texts = { In: `${key} in ${list}`, NotIn: `${key} notin ${list}`, Exists: key, DoesNotExist: `!${key}` };
    return [key, texts[operator]] as const;
  });
  const all = [...pairs, ...expressions].sort(([left], [right]) => (left < right ? -1 : 1));
  return orNone(all.map(([, text]) => text).join(","));
}

/** The cells `Containers` and `Images` of a pod template. */
export function containerCells(containers: readonly Container[] | undefined): readonly [string, string] {
  const all = containers ?? [];
  return [all.map(({ name }) => name).join(","), all.map(({ image }) => image ?? "").join(",")];
}
