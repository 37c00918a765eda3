/**
 * Counters, gauges and histograms as plain numbers, and Prometheus' text format.
 *
 *   component ─▶ Counter.add, Gauge.set, Histogram.observe ─▶ renderPage() ─▶ GET /metrics
 *
 * Bounded: a family holds at most `seriesMax` label sets; what comes beyond goes to one whose labels all say "other".
 * Label values come from closed sets in the first place: never names of objects, never paths.
 * Source: Prometheus text exposition format 0.0.4.
 */

/** Content type of the text format. */
export const expositionType = "text/plain; version=0.0.4; charset=utf-8";
/** Most label sets of one family. */
export const seriesMax = 1000;

/** Writes its lines, each without its end. */
export interface Family {
  render(): readonly string[];
}

export interface FamilyOptions<Label extends string> {
  readonly name: string;
  /** One sentence. */
  readonly help: string;
  readonly labels?: readonly Label[];
}

export interface HistogramOptions<Label extends string> extends FamilyOptions<Label> {
  /** Upper bounds, ascending; one more bucket is for what is above. */
  readonly bounds: readonly number[];
}

export type LabelValues<Label extends string> = Readonly<Record<Label, string>>;

/** The page of all families, in order. */
export function renderPage(families: readonly Family[]): string {
  return `${families.flatMap((family) => family.render()).join("\n")}\n`;
}

/** Upper bounds `start`, `start * factor`, … */
export function exponentialBounds(start: number, factor: number, count: number): readonly number[] {
  return Array.from({ length: count }, (_, k) => start * factor ** k);
}

/** A number for each label set that only grows. */
export class Counter<Label extends string = never> implements Family {
  readonly #options: FamilyOptions<Label>;
  readonly #series: SeriesTable<Label, { value: number }>;

  constructor(options: FamilyOptions<Label>) {
    this.#options = options;
    this.#series = new SeriesTable(options.labels ?? [], () => ({ value: 0 }));
  }

  add(labels: LabelValues<Label>, amount = 1): void {
    this.#series.get(labels).value += amount;
  }

  render(): readonly string[] {
    return renderNumbers("counter", this.#options.name, this.#options.help, this.#series.entries());
  }
}

/** A number for each label set that is whatever it was set to. */
export class Gauge<Label extends string = never> implements Family {
  readonly #options: FamilyOptions<Label>;
  readonly #series: SeriesTable<Label, { value: number }>;

  constructor(options: FamilyOptions<Label>) {
    this.#options = options;
    this.#series = new SeriesTable(options.labels ?? [], () => ({ value: 0 }));
  }

  set(labels: LabelValues<Label>, value: number): void {
    this.#series.get(labels).value = value;
  }

  /** Forgets every label set: what is counted anew at each reading. */
  clear(): void {
    this.#series.clear();
  }

  render(): readonly string[] {
    return renderNumbers("gauge", this.#options.name, this.#options.help, this.#series.entries());
  }
}

interface Buckets {
  /** Observations in each bucket, not added up. */
  readonly counts: number[];
  sum: number;
}

/** Observations for each label set, counted in buckets. */
export class Histogram<Label extends string = never> implements Family {
  readonly #options: HistogramOptions<Label>;
  readonly #series: SeriesTable<Label, Buckets>;

  constructor(options: HistogramOptions<Label>) {
    this.#options = options;
    const buckets = options.bounds.length + 1;
    this.#series = new SeriesTable(options.labels ?? [], () => ({
      counts: Array.from({ length: buckets }, () => 0),
      sum: 0,
    }));
  }

  observe(labels: LabelValues<Label>, value: number): void {
    const { bounds } = this.#options;
    const series = this.#series.get(labels);
    let at = 0;
    while (at < bounds.length && value > bounds[at]!) at++;
    series.counts[at]!++;
    series.sum += value;
  }

  render(): readonly string[] {
    const { name, help, bounds } = this.#options;
    const lines = header("histogram", name, help);
    for (const [labels, { counts, sum }] of this.#series.entries()) {
      let total = 0;
      const prefix = labels === "" ? "" : `${labels},`;
      const braces = labels === "" ? "" : `{${labels}}`;
      for (let at = 0; at < counts.length; at++) {
        total += counts[at]!;
        lines.push(`${name}_bucket{${prefix}le="${bounds[at] ?? "+Inf"}"} ${total}`);
      }
      lines.push(`${name}_sum${braces} ${sum}`, `${name}_count${braces} ${total}`);
    }
    return lines;
  }
}

/** Series by the text of their labels. */
class SeriesTable<Label extends string, Series> {
  readonly #labels: readonly Label[];
  readonly #make: () => Series;
  readonly #series = new Map<string, Series>();

  constructor(labels: readonly Label[], make: () => Series) {
    this.#labels = labels;
    this.#make = make;
    // What has no labels is there from the start, at zero.
    if (labels.length === 0) this.#series.set("", make());
  }

  get(values: LabelValues<Label>): Series {
    let text = this.#format((label) => values[label]);
    if (!this.#series.has(text) && this.#series.size >= seriesMax) text = this.#format(() => "other");
    let series = this.#series.get(text);
    if (series === undefined) this.#series.set(text, (series = this.#make()));
    return series;
  }

  entries(): IterableIterator<[string, Series]> {
    return this.#series.entries();
  }

  clear(): void {
    this.#series.clear();
  }

  #format(valueOf: (label: Label) => string): string {
    return this.#labels.map((label) => `${label}="${escapeLabel(valueOf(label))}"`).join(",");
  }
}

function header(type: "counter" | "gauge" | "histogram", name: string, help: string): string[] {
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`];
}

function renderNumbers(
  type: "counter" | "gauge",
  name: string,
  help: string,
  series: Iterable<[string, { readonly value: number }]>,
): readonly string[] {
  const lines = header(type, name, help);
  for (const [labels, { value }] of series) lines.push(`${name}${labels === "" ? "" : `{${labels}}`} ${value}`);
  return lines;
}

/** A label's value between its quotes. */
function escapeLabel(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
