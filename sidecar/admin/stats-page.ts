/**
 * /stats in Envoy's three forms: text, JSON and Prometheus. Pure.
 *
 * Source: Envoy, operations/admin, "GET /stats"; the Prometheus text format 0.0.4.
 */
import type { HistogramStat, Stat, StatKind } from "./stats.ts";
import { quantileOf } from "./quantile.ts";

export interface StatsQuery {
  readonly format: "text" | "json" | "prometheus";
  readonly filter: RegExp | undefined;
  readonly kinds: readonly (StatKind | "histogram")[];
  /** Only what was ever counted. */
  readonly usedOnly: boolean;
}

/** By Envoy's names in the parameter `type`. There are no text readouts. */
const kindsByType: Readonly<Record<string, StatsQuery["kinds"]>> = {
  All: ["counter", "gauge", "histogram"],
  Counters: ["counter"],
  Gauges: ["gauge"],
  Histograms: ["histogram"],
  TextReadouts: [],
};

/** The query of a request's URL, or a sentence that says what is wrong with it. */
export function parseStatsQuery(query: URLSearchParams): StatsQuery | string {
  const format = query.get("format") ?? "text";
  if (format !== "text" && format !== "json" && format !== "prometheus" && format !== "text-readouts")
    return `Cannot serve /stats: format ${format}, wanted text, json or prometheus`;
  const filter = query.get("filter");
  let regex: RegExp | undefined;
  try {
    regex = filter === null ? undefined : new RegExp(filter);
  } catch {
    return "Cannot serve /stats: filter is no regular expression";
  }
  const type = query.get("type") ?? "All";
  const kinds = Object.hasOwn(kindsByType, type) ? kindsByType[type]! : undefined;
  if (kinds === undefined) return `Cannot serve /stats: type, wanted ${Object.keys(kindsByType).join(", ")}`;
  const usedOnly = query.has("usedonly");
  return { format: format === "text-readouts" ? "text" : format, filter: regex, kinds, usedOnly };
}

/** What is told of an endpoint, by Envoy's names; those that are "active" are gauges, the others counters. */
export const hostCountNames = [
  "cx_active",
  "cx_connect_fail",
  "cx_total",
  "rq_active",
  "rq_error",
  "rq_success",
  "rq_timeout",
  "rq_total",
] as const;

/** What one process has open to an endpoint, and what it has counted of it. */
export type HostCounts = Readonly<Record<(typeof hostCountNames)[number], number>>;

export const noHostCounts: HostCounts = {
  cx_active: 0,
  cx_connect_fail: 0,
  cx_total: 0,
  rq_active: 0,
  rq_error: 0,
  rq_success: 0,
  rq_timeout: 0,
  rq_total: 0,
};

export interface AllStats {
  /** By `hostKey`. */
  readonly hosts?: Readonly<Record<string, HostCounts>>;
  readonly stats: readonly Stat[];
  readonly histograms: readonly HistogramStat[];
}

export function renderStats(all: AllStats, query: StatsQuery): string {
  const isWanted = (name: string): boolean => query.filter === undefined || query.filter.test(name);
  const stats = all.stats
    .filter(({ name, kind, value }) => query.kinds.includes(kind) && isWanted(name) && (!query.usedOnly || value > 0))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const histograms = all.histograms
    .filter(({ name }) => query.kinds.includes("histogram") && isWanted(name))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  switch (query.format) {
    case "text":
      return [...stats.map(({ name, value }) => `${name}: ${value}\n`), ...histograms.map(histogramText)].join("");
    case "json":
      return `${JSON.stringify({ stats: stats.map(({ name, value }) => ({ name, value })) })}\n`;
    case "prometheus":
      return renderPrometheus(stats, histograms);
  }
}

const quantiles = [0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 1];

function histogramText({ name, histogram }: HistogramStat): string {
  if (histogram.sum === 0 && histogram.counts.every((count) => count === 0)) return `${name}: No recorded values\n`;
  const values = quantiles.map((q) => `P${q * 100}(nan,${quantileOf(histogram, q)})`);
  return `${name}: ${values.join(" ")}\n`;
}

/** A name with its variable part as a label, as Envoy's tag extraction has it. */
interface Tagged {
  readonly family: string;
  readonly labels: string;
}

const tagged: readonly (readonly [RegExp, string, string])[] = [
  [/^cluster\.(.+)\.(upstream_rq_\d{3})$/, "cluster", "envoy_cluster_name"],
  [
    /^cluster\.(.+)\.((?:circuit_breakers\.(?:default|high)|health_check|outlier_detection)\.[^.]+)$/,
    "cluster",
    "envoy_cluster_name",
  ],
  [/^cluster\.(.+)\.([^.]+)$/, "cluster", "envoy_cluster_name"],
  [/^http\.(.+?)\.(compressor\..+)$/, "http", "envoy_http_conn_manager_prefix"],
  [/^http\.(.+)\.([^.]+)$/, "http", "envoy_http_conn_manager_prefix"],
  [/^tcp\.(.+)\.([^.]+)$/, "tcp", "envoy_tcp_prefix"],
  [/^listener\.(.+)\.([^.]+)$/, "listener", "envoy_listener_address"],
];

function tag(name: string): Tagged {
  for (const [pattern, kind, label] of tagged) {
    const found = pattern.exec(name);
    if (found === null) continue;
    const labels = [`${label}="${escapeLabel(found[1]!)}"`];
    let stat = found[2]!.replaceAll(/[^A-Za-z0-9_]/g, "_");
    // Codes and classes are labels, too: upstream_rq_200 and upstream_rq_2xx.
    const code = /^(.+_rq)_(\d)(\d\d|xx)$/.exec(stat);
    if (code !== null) {
      const isClass = code[3] === "xx";
      labels.unshift(`envoy_response_code${isClass ? "_class" : ""}="${code[2]!}${isClass ? "" : code[3]!}"`);
      stat = isClass ? `${code[1]!}_xx` : code[1]!;
    }
    return { family: `envoy_${kind}_${stat}`, labels: labels.join(",") };
  }
  return { family: `envoy_${name.replaceAll(/[^A-Za-z0-9_]/g, "_")}`, labels: "" };
}

function escapeLabel(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}

function renderPrometheus(stats: readonly Stat[], histograms: readonly HistogramStat[]): string {
  const families = new Map<string, { kind: string; lines: string[] }>();
  for (const { name, kind, value } of stats) {
    const { family, labels } = tag(name);
    let entry = families.get(family);
    if (entry === undefined) families.set(family, (entry = { kind, lines: [] }));
    entry.lines.push(`${family}{${labels}} ${value}\n`);
  }
  for (const { name, histogram } of histograms) {
    const { family, labels } = tag(name);
    let entry = families.get(family);
    if (entry === undefined) families.set(family, (entry = { kind: "histogram", lines: [] }));
    entry.lines.push(...histogramLines(family, labels, histogram));
  }
  return [...families].map(([family, { kind, lines }]) => `# TYPE ${family} ${kind}\n${lines.join("")}\n`).join("");
}

function histogramLines(family: string, labels: string, histogram: HistogramStat["histogram"]): string[] {
  const lines: string[] = [];
  let total = 0;
  for (const [at, count] of histogram.counts.entries()) {
    total += count;
    lines.push(`${family}_bucket{${labels},le="${histogram.boundAt(at)}"} ${total}\n`);
  }
  lines.push(`${family}_sum{${labels}} ${histogram.sum}\n`, `${family}_count{${labels}} ${total}\n`);
  return lines;
}
