/**
 * Text in columns, as kubectl has it. Pure.
 *
 *   the API server's Table, or rows of our own ─▶ formatTable() ─▶ standard output
 */
import type { Table } from "#api/client/http.ts";

export type Row = Readonly<Record<string, string>>;

export interface TableOptions {
  /** Columns that are shown on wish only. */
  readonly wide: boolean;
  readonly namespaced: boolean;
  /** Goes before each name, as `pod/`, where objects of several kinds are shown. */
  readonly prefix: string;
}

/** The rows of a server's table. */
export function rowsOf({ columnDefinitions, rows }: Table, { wide, namespaced, prefix }: TableOptions): readonly Row[] {
  return rows.map(({ cells, object }) => {
    const shown = columnDefinitions.flatMap(({ name, priority }, at): [string, string][] => {
      if (priority > 0 && !wide) return [];
      const text = String(cells[at] ?? "<none>");
      return [[name.toUpperCase(), at === 0 ? `${prefix}${text}` : text]];
    });
    return {
      ...(namespaced ? { NAMESPACE: object.metadata.namespace ?? "" } : {}),
      ...Object.fromEntries(shown),
    };
  });
}

/** As kubectl: two units where the first is small. */
export function formatAge(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 10) return seconds % 60 === 0 ? `${minutes}m` : `${minutes}m${seconds % 60}s`;
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 8) return minutes % 60 === 0 ? `${hours}h` : `${hours}h${minutes % 60}m`;
  if (hours < 48) return `${hours}h`;
  return `${Math.floor(hours / 24)}d`;
}

/** Rows under their heads, in columns three blanks apart. */
export function formatTable(rows: readonly Row[]): string {
  const [first] = rows;
  if (first === undefined) return "";
  const heads = Object.keys(first);
  const table = [heads, ...rows.map((row) => heads.map((head) => row[head] ?? ""))];
  const widths = heads.map((_, at) => Math.max(...table.map((cells) => cells[at]?.length ?? 0)));
  return table
    .map(
      (cells) =>
        `${cells
          .map((cell, at) => cell.padEnd((widths[at] ?? 0) + 3))
          .join("")
          .trimEnd()}\n`,
    )
    .join("");
}
