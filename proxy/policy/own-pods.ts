/**
 * Pods of this node that its kubelet has told of, until the push tells of them, too.
 *
 *   kubelet ─ add(), remove() ─▶ merge(pods of the push) ─▶ source.ts
 *
 * An address may have been another pod's a moment ago, and the push may still say so: what the kubelet says holds until
 * the push names the same pod. From then on the push holds, for it brings changed labels.
 */
import type { Pod } from "#api/core/pod.ts";
import type { WorkloadPort, WorkloadResource } from "#api/wire/workload.ts";
import { normalizeAddress } from "../l4/ip.ts";
import type { PolicyPod } from "./view.ts";

interface OwnPod {
  readonly address: string;
  readonly podName: string;
  readonly pod: PolicyPod;
}

export class OwnPods {
  /** By uid. */
  readonly #pods = new Map<string, OwnPod>();

  /** A pod of this node gets that address. */
  add({ metadata, spec }: Pod, address: string): PolicyPod {
    const pod: PolicyPod = {
      namespace: metadata.namespace ?? "",
      labels: metadata.labels ?? {},
      addresses: [normalizeAddress(address) ?? address],
      nodeName: spec.nodeName ?? "",
      ports: spec.containers.flatMap(({ ports = [] }) => ports.flatMap((port) => toNamedPort(port) ?? [])),
    };
    this.#pods.set(metadata.uid ?? "", { address, podName: metadata.name, pod });
    return pod;
  }

  remove(uid: string): void {
    this.#pods.delete(uid);
  }

  /** The push tells who has an address. */
  confirm({ address, namespace, podName }: WorkloadResource): void {
    for (const [uid, own] of this.#pods)
      if (own.address === address && own.podName === podName && own.pod.namespace === namespace) this.#pods.delete(uid);
  }

  /** All pods, of those that the push has by their addresses; undefined for what is none. */
  merge(pushed: ReadonlyMap<string, PolicyPod | undefined>): readonly PolicyPod[] {
    const own = new Map([...this.#pods.values()].map(({ address, pod }) => [address, pod]));
    return [...new Map([...pushed, ...own]).values()].flatMap((pod) => pod ?? []);
  }
}

type ContainerPort = NonNullable<Pod["spec"]["containers"][number]["ports"]>[number];

function toNamedPort({ name, protocol = "TCP", containerPort }: ContainerPort): WorkloadPort | undefined {
  if (name === undefined || (protocol !== "TCP" && protocol !== "UDP" && protocol !== "SCTP")) return undefined;
  return { name, protocol, port: containerPort };
}
