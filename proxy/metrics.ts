/**
 * What the node proxy counts, under kube-proxy's names; `collect()` writes Prometheus' text format.
 *
 *   state.ts, nft/apply.ts, conntrack.ts ─▶ ProxyMetrics ─▶ collect() ─▶ GET /metrics on 10249
 */
import {
  Counter,
  exponentialBounds,
  type Family as Metric,
  Gauge,
  Histogram,
  renderPage,
} from "#api/metrics/exposition.ts";
import type { ApplyObserver } from "./l4/nft/apply.ts";
import type { Family } from "./l4/ip.ts";

type ByFamily = "ip_family";
const labels: readonly ByFamily[] = ["ip_family"];
/** In s, as kube-proxy has them. */
const programmingBounds = [
  0.25,
  0.5,
  ...Array.from({ length: 59 }, (_, k) => 1 + k),
  ...Array.from({ length: 12 }, (_, k) => 60 + 5 * k),
  ...Array.from({ length: 7 }, (_, k) => 120 + 30 * k),
];
/** 1 ms × 2^k, as kube-proxy has them. */
const bounds = exponentialBounds(0.001, 2, 15);
const sync = "kubeproxy_sync_proxy_rules";

export class ProxyMetrics {
  readonly #sync = new Histogram({
    name: `${sync}_duration_seconds`,
    help: "Seconds that a change took.",
    labels,
    bounds,
  });
  readonly #full = new Histogram({
    name: "kubeproxy_sync_full_proxy_rules_duration_seconds",
    help: "Seconds of a full replacement.",
    labels,
    bounds,
  });
  readonly #partial = new Histogram({
    name: "kubeproxy_sync_partial_proxy_rules_duration_seconds",
    help: "Seconds of a partial change.",
    labels,
    bounds,
  });
  readonly #programming = new Histogram({
    name: "kubeproxy_network_programming_duration_seconds",
    help: "Seconds from a change of endpoints to its being programmed.",
    labels,
    bounds: programmingBounds,
  });
  readonly #conntrack = new Histogram({
    name: "kubeproxy_conntrack_reconciler_sync_duration_seconds",
    help: "Seconds that it took to find stale flows.",
    labels,
    bounds,
  });
  readonly #conntrackDeleted = new Counter({
    name: "kubeproxy_conntrack_reconciler_deleted_entries_total",
    help: "Groups of stale flows deleted.",
    labels,
  });
  readonly #failures = new Counter({
    name: `${sync}_nftables_sync_failures_total`,
    help: "Changes that failed.",
    labels,
  });
  readonly #cleanupFailures = new Counter({
    name: `${sync}_nftables_cleanup_failures_total`,
    help: "Deletions of unused chains and sets that failed.",
    labels,
  });
  readonly #noLocal = new Gauge({
    name: `${sync}_no_local_endpoints_total`,
    help: "Service ports with a policy Local and no endpoint on this node.",
    labels: ["ip_family", "traffic_policy"],
  });
  /** Services updated or removed so far, and those not programmed yet. */
  changesTotal = 0;
  changesPending = 0;
  endpointChangesTotal = 0;
  endpointChangesPending = 0;
  syncFailures = 0;
  /** Wall-clock time in ms; 0 before the first. */
  lastQueuedMs = 0;
  lastSyncedMs = 0;
  conntrackDeleted = 0;
  /** Things in Services that cannot be programmed. */
  problems = 0;
  readonly #families = new Set<Family>();

  /** What an applier of one family tells. */
  observer(family: Family, touching: (isTouching: boolean) => void): ApplyObserver {
    const at = { ip_family: family };
    this.#families.add(family);
    this.#failures.add(at, 0);
    this.#cleanupFailures.add(at, 0);
    return {
      applied: ({ isFull, ms }) => {
        this.#sync.observe(at, ms / 1000);
        (isFull ? this.#full : this.#partial).observe(at, ms / 1000);
      },
      failed: () => {
        this.syncFailures++;
        this.#failures.add(at);
      },
      cleanupFailed: () => this.#cleanupFailures.add(at),
      touching,
    };
  }

  /** A change of endpoints is in the kernel, `ms` after it happened. */
  programmed(family: Family, ms: number): void {
    this.#programming.observe({ ip_family: family }, ms / 1000);
  }

  reconciled(family: Family, { ms, deleted }: { readonly ms: number; readonly deleted: number }): void {
    this.#conntrack.observe({ ip_family: family }, ms / 1000);
    this.#conntrackDeleted.add({ ip_family: family }, deleted);
    this.conntrackDeleted += deleted;
  }

  setNoLocal(family: Family, { internal, external }: { readonly internal: number; readonly external: number }): void {
    this.#noLocal.set({ ip_family: family, traffic_policy: "internal" }, internal);
    this.#noLocal.set({ ip_family: family, traffic_policy: "external" }, external);
  }

  /** Prometheus text exposition of all of the above. */
  collect(): string {
    const numbers: readonly [string, string, number][] = [
      [`${sync}_service_changes_pending`, "Service changes not programmed yet.", this.changesPending],
      [`${sync}_endpoint_changes_pending`, "Endpoint changes not programmed yet.", this.endpointChangesPending],
      [`${sync}_last_queued_timestamp_seconds`, "Last change queued.", this.lastQueuedMs / 1000],
      [`${sync}_last_timestamp_seconds`, "Last change programmed.", this.lastSyncedMs / 1000],
    ];
    const totals: readonly [string, string, number][] = [
      [`${sync}_service_changes_total`, "Services changed.", this.changesTotal],
      [`${sync}_endpoint_changes_total`, "Services whose endpoints changed.", this.endpointChangesTotal],
    ];
    const unsupported = new Gauge({
      name: "wherry_proxy_unsupported",
      help: "Things in Services that cannot be programmed.",
      labels: [],
    });
    unsupported.set({}, this.problems);
    return renderPage([
      this.#sync,
      this.#full,
      this.#partial,
      this.#programming,
      ...numbers.map(([name, help, value]) => this.#single(new Gauge({ name, help, labels }), value)),
      ...totals.map(([name, help, value]) => this.#single(new Counter({ name, help, labels }), value)),
      this.#failures,
      this.#cleanupFailures,
      this.#noLocal,
      this.#conntrack,
      this.#conntrackDeleted,
      unsupported,
    ]);
  }

  #single(metric: Gauge<ByFamily> | Counter<ByFamily>, value: number): Metric {
    for (const family of this.#families) {
      if (metric instanceof Gauge) metric.set({ ip_family: family }, value);
      else metric.add({ ip_family: family }, value);
    }
    return metric;
  }
}
