/** Grafana's classic dashboards, as far as tests look at them: what they ask Prometheus, and for which metrics. */
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

export interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly datasource?: unknown;
  readonly gridPos: { readonly h: number; readonly w: number; readonly x: number; readonly y: number };
  readonly fieldConfig?: { readonly defaults: { readonly unit?: string } };
  readonly targets?: readonly { readonly refId: string; readonly expr: string; readonly datasource: unknown }[];
}

export interface Dashboard {
  readonly uid: string;
  readonly title: string;
  readonly schemaVersion: number;
  readonly editable: boolean;
  readonly graphTooltip: number;
  readonly panels: readonly Panel[];
  readonly templating: {
    readonly list: readonly {
      readonly name: string;
      readonly type: string;
      readonly query: unknown;
      readonly refresh?: number;
      readonly datasource?: unknown;
    }[];
  };
}

const folder = join(import.meta.dirname, "..", "..", "charts", "grafana", "dashboards");

export function readDashboards(): readonly Dashboard[] {
  return readdirSync(folder).map((file) => JSON.parse(readFileSync(join(folder, file), "utf8")) as Dashboard);
}

export function expressionsOf({ panels }: Dashboard): readonly string[] {
  return panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
}

/** With Grafana's variables put in: everything chosen, and a rate over `interval`. */
export function fill(expression: string, interval: string): string {
  return expression.replaceAll("$__rate_interval", interval).replaceAll(/\$(namespace|workload)\b/g, ".*");
}

/** Names of metrics in an expression: what stands before braces, a range, or the end of an argument. */
export function metricsOf(expression: string): readonly string[] {
  const bare = expression
    .replaceAll(/"(?:[^"\\]|\\.)*"/g, '""')
    .replaceAll(/\{[^}]*\}/g, "")
    .replaceAll(/\b(?:by|on|without) *\([^)]*\)/g, "");
  const words = [...bare.matchAll(/[a-zA-Z_:][\w:]*(?!\s*\()\b(?!\s*\()/g)].map(([word]) => word);
  return words.filter((word) => word.includes("_") && !word.startsWith("__") && word !== "histogram_quantile");
}
