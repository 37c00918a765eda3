/**
 * Where a kubernetes plugin has its data from: the node agent's ADS stream, or watches of an API server.
 *
 *   cli/agent.ts (ADS) ─▶ PushedCluster ─┐
 *   kube/watched.ts (list and watch) ────┴▶ ClusterSource ─▶ plugins/kubernetes.ts ─▶ zone.ts
 */
import type { ServiceResource } from "#api/wire/service.ts";

/** One Service of a push; an ADS resource is one. `name` is `namespace/name`. */
export interface NamedService {
  readonly name: string;
  readonly resource: ServiceResource;
}

/** Takes deltas of Services: all of them first. */
export interface ServiceConsumer {
  apply(updated: readonly NamedService[], removed: readonly string[]): void;
}

export interface ClusterSource {
  /** Whether every Service there is has been told once. */
  readonly isSynced: boolean;
  /** Tells everything that is known, then every change, until the returned function is called. */
  watch(consumer: ServiceConsumer): () => void;
  /** Whether the namespace exists; undefined where only Services are known. */
  hasNamespace(namespace: string): boolean | undefined;
  /** The namespace of the pod with this address; undefined when it is none, or unknown. Needs `pods verified`. */
  namespaceOfPod(address: string): string | undefined;
  /** Starts watching; resolves when synced, or given up waiting for it. */
  start(): Promise<void>;
  stop(): void;
}

/** What a pusher knows besides Services. Each undefined for what is not known. */
export interface ClusterFacts {
  readonly namespaceOfPod?: (address: string) => string | undefined;
  readonly hasNamespace?: (namespace: string) => boolean | undefined;
}

/** A source that others feed. */
export class PushedCluster implements ClusterSource {
  readonly #services = new Map<string, ServiceResource>();
  readonly #consumers = new Set<ServiceConsumer>();
  readonly #facts: ClusterFacts;
  isSynced = false;

  constructor(facts: ClusterFacts = {}) {
    this.#facts = facts;
  }

  apply(updated: readonly NamedService[], removed: readonly string[]): void {
    for (const name of removed) this.#services.delete(name);
    for (const { name, resource } of updated) this.#services.set(name, resource);
    for (const consumer of this.#consumers) consumer.apply(updated, removed);
  }

  watch(consumer: ServiceConsumer): () => void {
    this.#consumers.add(consumer);
    consumer.apply(
      [...this.#services].map(([name, resource]) => ({ name, resource })),
      [],
    );
    return () => void this.#consumers.delete(consumer);
  }

  hasNamespace(namespace: string): boolean | undefined {
    return this.#facts.hasNamespace?.(namespace);
  }

  namespaceOfPod(address: string): string | undefined {
    return this.#facts.namespaceOfPod?.(address);
  }

  async start(): Promise<void> {}

  stop(): void {}
}
