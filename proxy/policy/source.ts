/**
 * NetworkPolicies, and the pods and namespaces that they are about.
 *
 *   API: policies, namespaces ─▶ informers ─┐
 *   ADS: wherry.v1.Workload ────────────────┴▶ PolicyView ─▶ sink.setPolicies(), at most once in `quietMs`
 *
 * Nothing but policies is watched until there is the first one: a cluster without any pays nothing for them, and the
 * sink is told once that there is none. Pods come by push, for a node may not read the pods of others. Its own it hears
 * of from the kubelet, before anything runs in them (`admit`): a connection that was there before its policies would be
 * let through for good.
 */
import { Informer, type InformerOptions } from "#api/client/informer.ts";
import { namespaces, type Namespace } from "#api/core/namespace.ts";
import type { KindRef } from "#api/kind.ts";
import type { KubeObject } from "#api/meta.ts";
import type { Pod } from "#api/core/pod.ts";
import { networkPolicies, type NetworkPolicy } from "#api/networking/network-policy.ts";
import { matchesLabels, toRequirements } from "#api/selector.ts";
import { type WorkloadResource, workloadTypeUrl } from "#api/wire/workload.ts";
import type { AdsClient } from "#api/xds/client.ts";
import { ProxyError } from "../errors.ts";
import { normalizeAddress } from "../l4/ip.ts";
import { OwnPods } from "./own-pods.ts";
import type { NodeProxy } from "../state.ts";
import type { PolicyPod } from "./view.ts";

export interface PolicySourceOptions extends Omit<InformerOptions, "selector"> {
  readonly ads: Pick<AdsClient, "subscribe">;
  readonly sink: Pick<NodeProxy, "setPolicies" | "programmed">;
}

/** Changes that come within are one. */
const quietMs = 20;
/** Longest time until the policies of a pod are in the kernel, in ms. */
const admitMs = 10_000;

export class PolicySource {
  readonly #options: PolicySourceOptions;
  readonly #policies: Informer<NetworkPolicy>;
  readonly #namespaces: Informer<Namespace>;
  /** By the name of the resource; undefined for what has its node's address. */
  readonly #pods = new Map<string, PolicyPod | undefined>();
  readonly #own = new OwnPods();
  /** Who waits for the sink to be told what is known now. */
  readonly #waiting = new Set<() => void>();
  /** Resolves when the sink has been told. */
  readonly told: Promise<void>;
  #markTold: () => void = () => {};
  #isWatchingAll = false;
  #isComplete = false;
  #isQueued = false;

  constructor(options: PolicySourceOptions) {
    this.#options = options;
    this.#policies = this.#inform(networkPolicies);
    this.#namespaces = this.#inform(namespaces);
    this.told = new Promise((resolve) => (this.#markTold = resolve));
    void this.#policies.synced.then(() => (this.#isWatchingAll ? undefined : this.#tell()));
  }

  /** Watches until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    this.#policies.addHandler({ added: () => this.#watchAll(signal) });
    await this.#policies.run(signal);
  }

  /**
   * Resolves once the policies that select a pod of this node are in the kernel for its address, or at once without
   * such. Rejects with a ProxyError after 10 s. A policy that comes at the same moment as the pod may be later.
   */
  async admit(pod: Pod, podIP: string): Promise<void> {
    const expired = Promise.withResolvers<void>();
    const told = Promise.withResolvers<void>();
    const timer = this.#options.clock.after(admitMs, () =>
      expired.reject(
        new ProxyError("CommandFailed", "Cannot isolate pod: its NetworkPolicies are not in the kernel after 10 s"),
      ),
    );
    try {
      await Promise.race([this.#judge(this.#own.add(pod, podIP), told), expired.promise]);
    } finally {
      timer.cancel();
      this.#waiting.delete(told.resolve);
    }
  }

  /** The pod has its address no more. */
  release(podUid: string): void {
    this.#own.remove(podUid);
  }

  async #judge(pod: PolicyPod, told: PromiseWithResolvers<void>): Promise<void> {
    await this.#policies.synced;
    if (!this.#policies.list().some((policy) => selects(policy, pod))) return;
    this.#waiting.add(told.resolve);
    this.#touch();
    await told.promise;
    await this.#options.sink.programmed();
  }

  #inform<T extends KubeObject>(kind: KindRef<T>): Informer<T> {
    const informer = new Informer(kind, this.#options);
    const touch = (): void => this.#touch();
    informer.addHandler({ added: touch, updated: touch, deleted: touch });
    return informer;
  }

  #watchAll(signal: AbortSignal): void {
    if (this.#isWatchingAll) return;
    this.#isWatchingAll = true;
    const told = new Promise<void>((resolve) => {
      this.#options.ads.subscribe<WorkloadResource>(workloadTypeUrl, "*", {
        apply: (updated, removed) => {
          for (const { name, resource } of updated) {
            this.#pods.set(name, toPolicyPod(resource));
            this.#own.confirm(resource);
          }
          for (const name of removed) this.#pods.delete(name);
          resolve();
          this.#touch();
        },
      });
    });
    void this.#namespaces.run(signal);
    void Promise.all([told, this.#namespaces.synced, this.#policies.synced]).then(() => {
      this.#isComplete = true;
      this.#touch();
    });
  }

  #touch(): void {
    // Before the lists are complete nothing is told: half of the pods would be taken for all.
    if (this.#isQueued || !this.#isComplete) return;
    this.#isQueued = true;
    this.#options.clock.after(quietMs, () => this.#tell());
  }

  #tell(): void {
    this.#isQueued = false;
    this.#options.sink.setPolicies({
      policies: this.#policies.list(),
      pods: this.#own.merge(this.#pods),
      namespaces: new Map(this.#namespaces.list().map(({ metadata }) => [metadata.name, metadata.labels ?? {}])),
    });
    this.#markTold();
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }
}

function selects({ metadata, spec }: NetworkPolicy, { namespace, labels }: PolicyPod): boolean {
  return metadata.namespace === namespace && matchesLabels(toRequirements(spec?.podSelector ?? {}), labels);
}

/** Undefined for a pod that has the node's address, or none that can be read. */
function toPolicyPod(workload: WorkloadResource): PolicyPod | undefined {
  const { namespace, nodeName, labels = {}, namedPorts = [], hostNetwork = false } = workload;
  const address = normalizeAddress(workload.address);
  if (hostNetwork || address === undefined) return undefined;
  return { namespace, nodeName, labels, addresses: [address], ports: namedPorts };
}
