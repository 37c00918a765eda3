/**
 * What the node proxy counts, under kube-proxy's names, as plain numbers; `collect()` writes Prometheus' text format.
 *
 *   state.ts, nft/apply.ts ─▶ ProxyMetrics ─▶ collect() ─▶ GET /metrics on 10249
 */
import type { ApplyObserver } from "./l4/nft/apply.ts";

/** Upper bounds in seconds, 1 ms × 2^k, as kube-proxy has them. */
const bounds: readonly number[] = Array.from({ length: 15 }, (_, k) => 0.001 * 2 ** k);

class Histogram {
  readonly #buckets: number[] = bounds.map(() => 0);
  #count = 0;
  #sum = 0;

  observe(seconds: number): void {
    this.#count++;
    this.#sum += seconds;
    const bucket = bounds.findIndex((bound) => seconds <= bound);
    if (bucket >= 0) this.#buckets[bucket] = (this.#buckets[bucket] ?? 0) + 1;
  }

  render(name: string, help: string): string[] {
    let cumulative = 0;
    const buckets = bounds.map((bound, index) => {
      cumulative += this.#buckets[index] ?? 0;
      return `${name}_bucket{ip_family="IPv4",le="${bound}"} ${cumulative}`;
    });
    return [
      `# HELP ${name} ${help}`,
      `# TYPE ${name} histogram`,
      ...buckets,
      `${name}_bucket{ip_family="IPv4",le="+Inf"} ${this.#count}`,
      `${name}_sum{ip_family="IPv4"} ${this.#sum}`,
      `${name}_count{ip_family="IPv4"} ${this.#count}`,
    ];
  }
}

export class ProxyMetrics implements ApplyObserver {
  readonly #sync = new Histogram();
  readonly #full = new Histogram();
  readonly #partial = new Histogram();
  /** Services updated or removed so far, and those not programmed yet. */
  changesTotal = 0;
  changesPending = 0;
  syncFailures = 0;
  /** Wall-clock time in ms; 0 before the first. */
  lastQueuedMs = 0;
  lastSyncedMs = 0;
  conntrackDeleted = 0;
  /** Services with something that cannot be programmed. */
  problems = 0;

  applied({ isFull, ms }: { readonly isFull: boolean; readonly ms: number }): void {
    this.#sync.observe(ms / 1000);
    (isFull ? this.#full : this.#partial).observe(ms / 1000);
  }

  failed(): void {
    this.syncFailures++;
  }

  /** Prometheus text exposition of all of the above. */
  collect(): string {
    const sync = "kubeproxy_sync_proxy_rules";
    return [
      ...this.#sync.render(`${sync}_duration_seconds`, "Seconds that a transaction took."),
      ...this.#full.render("kubeproxy_sync_full_proxy_rules_duration_seconds", "Seconds of a full replacement."),
      ...this.#partial.render("kubeproxy_sync_partial_proxy_rules_duration_seconds", "Seconds of a change."),
      ...single(`${sync}_service_changes_total`, "counter", this.changesTotal, "Services changed."),
      ...single(`${sync}_service_changes_pending`, "gauge", this.changesPending, "Service changes not programmed yet."),
      ...single(`${sync}_nftables_sync_failures_total`, "counter", this.syncFailures, "Transactions that failed."),
      ...single(`${sync}_last_queued_timestamp_seconds`, "gauge", this.lastQueuedMs / 1000, "Last change queued."),
      ...single(`${sync}_last_timestamp_seconds`, "gauge", this.lastSyncedMs / 1000, "Last change programmed."),
      ...single(
        "kubeproxy_conntrack_reconciler_deleted_entries_total",
        "counter",
        this.conntrackDeleted,
        "Groups of stale flows deleted.",
      ),
      ...single("wherry_proxy_unsupported", "gauge", this.problems, "Things in Services that cannot be programmed."),
      "",
    ].join("\n");
  }
}

function single(name: string, type: string, value: number, help: string): readonly string[] {
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`, `${name}{ip_family="IPv4"} ${value}`];
}
