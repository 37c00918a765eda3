/**
 * What the push server counts, under istiod's names, as plain numbers; `collect()` writes them in Prometheus' text format.
 * Labels `type`: cds, eds, lds, rds for Envoy's types, the message's name in lower case for ours.
 */
import { typeUrls } from "#api/xds/envoy.ts";

/** Upper bounds in seconds; istiod's start at 0.1, below which our budget lies. */
const bucketBounds: readonly number[] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 3, 5, 10, 20, 30];

const shortNames: ReadonlyMap<string, string> = new Map([
  [typeUrls.cluster, "cds"],
  [typeUrls.endpoint, "eds"],
  [typeUrls.listener, "lds"],
  [typeUrls.route, "rds"],
]);

export class PushMetrics {
  /** Connected clients. */
  connected = 0;
  /** Streams refused because there were too many. */
  refused = 0;
  /** Pushes and rejections by short type name. */
  readonly pushes: Map<string, number> = new Map();
  readonly rejects: Map<string, number> = new Map();
  readonly #buckets: number[] = bucketBounds.map(() => 0);
  #convergenceCount = 0;
  #convergenceSum = 0;

  countPush(typeUrl: string): void {
    increment(this.pushes, typeUrl);
  }

  countReject(typeUrl: string): void {
    increment(this.rejects, typeUrl);
  }

  /** Time from a change to its acknowledgement by one client. */
  observeConvergence(ms: number): void {
    const seconds = ms / 1000;
    this.#convergenceCount++;
    this.#convergenceSum += seconds;
    const bucket = bucketBounds.findIndex((bound) => seconds <= bound);
    if (bucket >= 0) this.#buckets[bucket] = (this.#buckets[bucket] ?? 0) + 1;
  }

  /** Prometheus text exposition of all of the above. */
  collect(): string {
    let cumulative = 0;
    const buckets = bucketBounds.map((bound, index) => {
      cumulative += this.#buckets[index] ?? 0;
      return `pilot_proxy_convergence_time_bucket{le="${bound}"} ${cumulative}`;
    });
    return [
      ...header("pilot_xds", "gauge", "Clients connected over xDS."),
      `pilot_xds ${this.connected}`,
      ...header("pilot_xds_streams_refused", "counter", "Streams refused because there were too many."),
      `pilot_xds_streams_refused ${this.refused}`,
      ...header("pilot_xds_pushes", "counter", "Pushes over xDS by type."),
      ...[...this.pushes].map(([type, count]) => `pilot_xds_pushes{type="${type}"} ${count}`),
      ...header("pilot_total_xds_rejects", "counter", "Pushes that a client rejected, by type."),
      ...[...this.rejects].map(([type, count]) => `pilot_total_xds_rejects{type="${type}"} ${count}`),
      ...header(
        "pilot_proxy_convergence_time",
        "histogram",
        "Seconds from a change to its acknowledgement by a client.",
      ),
      ...buckets,
      `pilot_proxy_convergence_time_bucket{le="+Inf"} ${this.#convergenceCount}`,
      `pilot_proxy_convergence_time_sum ${this.#convergenceSum}`,
      `pilot_proxy_convergence_time_count ${this.#convergenceCount}`,
      "",
    ].join("\n");
  }
}

function header(name: string, type: string, help: string): readonly string[] {
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`];
}

function increment(counts: Map<string, number>, typeUrl: string): void {
  const type = shortNames.get(typeUrl) ?? typeUrl.slice(typeUrl.lastIndexOf(".") + 1).toLowerCase();
  // A client may name any type; those beyond a few share one label.
  const label = counts.has(type) || counts.size < 32 ? type : "other";
  counts.set(label, (counts.get(label) ?? 0) + 1);
}
