/**
 * Keeps the endpoints of STRICT_DNS and LOGICAL_DNS clusters: resolves their names again and again.
 *
 *   snapshot ─▶ follow(clusters) ─▶ lookup ─▶ Cluster.update() ─▶ onWarm()        gone from the snapshot ─▶ stopped
 *
 * A name that cannot be resolved keeps the addresses that it had; one that never could leaves its cluster empty, so
 * that nothing waits for it. Source: Envoy, "Service discovery": strict DNS, logical DNS.
 */
import type { Clock, Timer } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import type { Cluster, DNSSpec } from "#proxy/l7/cluster.ts";
import type { EndpointSpec } from "#proxy/l7/endpoint.ts";

/** Every address of a name, of either family. */
export type Lookup = (name: string) => Promise<readonly { readonly address: string; readonly family: number }[]>;

export interface DNSClustersOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly lookup: Lookup;
  /** A cluster has its first endpoints. */
  readonly onWarm: () => void;
}

interface Followed {
  timer: Timer | undefined;
  isStopped: boolean;
  /** Addresses by name, as last resolved. */
  readonly known: Map<string, readonly string[]>;
}

export class DNSClusters {
  readonly #options: DNSClustersOptions;
  readonly #followed = new Map<Cluster, Followed>();

  constructor(options: DNSClustersOptions) {
    this.#options = options;
  }

  /** From now on these clusters are resolved, and no others. */
  follow(clusters: Iterable<Cluster>): void {
    const wanted = new Set([...clusters].filter(({ spec }) => spec.dns !== undefined));
    for (const [cluster, followed] of this.#followed) if (!wanted.has(cluster)) this.#stop(cluster, followed);
    for (const cluster of wanted)
      if (!this.#followed.has(cluster)) {
        const followed: Followed = { timer: undefined, isStopped: false, known: new Map() };
        this.#followed.set(cluster, followed);
        void this.#resolve(cluster, followed);
      }
  }

  close(): void {
    for (const [cluster, followed] of this.#followed) this.#stop(cluster, followed);
  }

  #stop(cluster: Cluster, followed: Followed): void {
    followed.isStopped = true;
    followed.timer?.cancel();
    this.#followed.delete(cluster);
  }

  async #resolve(cluster: Cluster, followed: Followed): Promise<void> {
    const dns = cluster.spec.dns!;
    const names = [...new Set(cluster.spec.endpoints.map(({ address }) => address))];
    const results = await Promise.all(names.map((name) => this.#lookup(name, dns, followed)));
    if (followed.isStopped) return;
    const wasWarm = cluster.isWarm;
    cluster.update(endpointsOf(cluster.spec.endpoints, dns, followed.known));
    if (!wasWarm) this.#options.onWarm();
    const delayMs = results.every(Boolean) ? dns.refreshMs : dns.failureMs;
    followed.timer = this.#options.clock.after(delayMs, () => void this.#resolve(cluster, followed));
  }

  /** False when the name could not be resolved. */
  async #lookup(name: string, { family }: DNSSpec, { known }: Followed): Promise<boolean> {
    try {
      known.set(name, choose(await this.#options.lookup(name), family));
      return true;
    } catch (error) {
      this.#options.log.warn(`Cannot resolve ${name}: ${messageOf(error)}`);
      return false;
    }
  }
}

/** The addresses that the family asks for: AUTO is IPv6 where there is one, else IPv4. */
function choose(found: Awaited<ReturnType<Lookup>>, family: DNSSpec["family"]): readonly string[] {
  const of = (wanted: number): string[] => found.filter((one) => one.family === wanted).map(({ address }) => address);
  const [four, six] = [of(4), of(6)];
  switch (family) {
    case "V4_ONLY":
      return four;
    case "V6_ONLY":
      return six;
    case "ALL":
      return [...six, ...four];
    case "V4_PREFERRED":
      return four.length > 0 ? four : six;
    case "AUTO":
      return six.length > 0 ? six : four;
  }
}

function endpointsOf(
  specs: readonly EndpointSpec[],
  dns: DNSSpec,
  known: ReadonlyMap<string, readonly string[]>,
): readonly EndpointSpec[] {
  const seen = new Set<string>();
  const endpoints: EndpointSpec[] = [];
  for (const spec of specs) {
    const addresses = known.get(spec.address) ?? [];
    for (const address of dns.type === "LOGICAL_DNS" ? addresses.slice(0, 1) : addresses) {
      const key = `${address} ${spec.port}`;
      if (seen.has(key)) continue;
      seen.add(key);
      endpoints.push({ ...spec, address });
    }
  }
  return endpoints;
}
