/**
 * Services as any Kubernetes API has them, for a node proxy that stands alone.
 *
 *   informers of Services and EndpointSlices ─▶ join ─▶ ServiceResource ─▶ sink.apply(), as a push would bring it
 *
 * Changes that come in one turn are one call. When the API is gone, nothing is told: the informers list again when
 * it is back, and only differences come from that. Services of other proxies and headless slices are not even watched.
 */
import type { KubeClient } from "#api/client/client.ts";
import { Informer, type InformerOptions } from "#api/client/informer.ts";
import { services, type Service } from "#api/core/service.ts";
import { endpointSlices, type EndpointSlice } from "#api/discovery/endpointslice.ts";
import { formatKey, keyOf } from "#api/meta.ts";
import { serviceResourceOf } from "#api/wire/service-join.ts";
import type { NamedService, NodeProxy } from "../state.ts";

/** As kube-proxy has it. */
const labelSelector = "!service.kubernetes.io/service-proxy-name,!service.kubernetes.io/headless";
const serviceNameLabel = "kubernetes.io/service-name";

export interface ServiceSourceOptions extends Omit<InformerOptions, "selector" | "client"> {
  readonly client: Pick<KubeClient, "list" | "watch">;
}

export class ServiceSource {
  readonly #services: Informer<Service>;
  readonly #slices: Informer<EndpointSlice>;
  /** `namespace/name` of a Service → its slices by name. */
  readonly #slicesOf = new Map<string, Map<string, EndpointSlice>>();
  readonly #changed = new Set<string>();
  #sink: Pick<NodeProxy, "apply"> | undefined;
  /** Resolves when both lists are complete. */
  readonly synced: Promise<unknown>;

  constructor(options: ServiceSourceOptions) {
    const selector = { labelSelector };
    this.#services = new Informer(services, { ...options, selector });
    this.#slices = new Informer(endpointSlices, { ...options, selector });
    this.synced = Promise.all([this.#services.synced, this.#slices.synced]);
    const changed = (service: Service): void => this.#touch(formatKey(keyOf(service)));
    this.#services.addHandler({ added: changed, updated: changed, deleted: changed });
    this.#slices.addHandler({
      added: (slice) => this.#putSlice(slice),
      updated: (slice, before) => {
        // A slice may be given to another Service.
        if (serviceKeyOf(before) !== serviceKeyOf(slice)) this.#dropSlice(before);
        this.#putSlice(slice);
      },
      deleted: (slice) => this.#dropSlice(slice),
    });
  }

  /** Watches until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#services.run(signal), this.#slices.run(signal)]);
  }

  /** Tells `sink` everything, and from now on every change. One sink at a time: the one before hears no more. */
  feed(sink: Pick<NodeProxy, "apply">): void {
    this.#sink = sink;
    this.#changed.clear();
    sink.apply(
      this.#services.list().map((service) => this.#named(formatKey(keyOf(service)), service)),
      [],
    );
  }

  #putSlice(slice: EndpointSlice): void {
    const key = serviceKeyOf(slice);
    if (key === undefined) return;
    let slices = this.#slicesOf.get(key);
    if (slices === undefined) this.#slicesOf.set(key, (slices = new Map()));
    slices.set(slice.metadata.name, slice);
    this.#touch(key);
  }

  #dropSlice(slice: EndpointSlice): void {
    const key = serviceKeyOf(slice);
    const slices = key === undefined ? undefined : this.#slicesOf.get(key);
    if (key === undefined || slices === undefined) return;
    slices.delete(slice.metadata.name);
    if (slices.size === 0) this.#slicesOf.delete(key);
    this.#touch(key);
  }

  #touch(key: string): void {
    if (this.#sink === undefined) return;
    if (this.#changed.size === 0) queueMicrotask(() => this.#flush());
    this.#changed.add(key);
  }

  #flush(): void {
    const keys = [...this.#changed];
    this.#changed.clear();
    const updated: NamedService[] = [];
    const removed: string[] = [];
    for (const key of keys) {
      const [namespace = "", name = ""] = key.split("/");
      const service = this.#services.get({ namespace, name });
      if (service === undefined) removed.push(key);
      else updated.push(this.#named(key, service));
    }
    if (updated.length + removed.length > 0) this.#sink?.apply(updated, removed);
  }

  #named(name: string, service: Service): NamedService {
    return { name, resource: serviceResourceOf(service, [...(this.#slicesOf.get(name)?.values() ?? [])]) };
  }
}

function serviceKeyOf({ metadata }: EndpointSlice): string | undefined {
  const name = metadata.labels?.[serviceNameLabel];
  return name === undefined ? undefined : `${metadata.namespace ?? ""}/${name}`;
}
