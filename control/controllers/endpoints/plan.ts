/**
 * Endpoints: all addresses behind a Service in one object, for clients that do not know EndpointSlices. Pure.
 *
 *   Service × pods ─▶ endpointsOf() ─▶ Endpoints ─▶ controller.ts
 *
 * Capped at 1000 addresses, ready ones first, as Kubernetes does; the slices hold them all.
 * Follows: k8s.io/kubernetes pkg/controller/endpoint and pkg/api/v1/endpoints (RepackSubsets).
 */
import type { EndpointAddress, EndpointSubset, Endpoints } from "#api/core/endpoints.ts";
import { type Pod, isPodFinished, isPodReady } from "#api/core/pod.ts";
import type { Service } from "#api/core/service.ts";
import { apiVersionOf } from "#api/kind.ts";
import { endpoints } from "#api/core/endpoints.ts";
import { portsOf, selects } from "../endpointslice.ts";

type Port = NonNullable<EndpointSubset["ports"]>[number];

const capacityAnnotation = "endpoints.kubernetes.io/over-capacity";
export const managedByLabel = "endpoints.kubernetes.io/managed-by";
export const manager = "endpoint-controller";
const headlessLabel = "service.kubernetes.io/headless";
const addressesMax = 1000;

interface Entry {
  readonly address: EndpointAddress;
  readonly isReady: boolean;
  readonly ports: readonly Port[];
}

/** The Endpoints of a Service that selects pods. */
export function endpointsOf(service: Service, pods: readonly Pod[]): Endpoints {
  const { name, namespace = "default", labels } = service.metadata;
  const entries = pods.filter((pod) => selects(service, pod)).flatMap((pod) => entryOf(service, pod));
  entries.sort((a, b) => Number(b.isReady) - Number(a.isReady) || (a.address.ip < b.address.ip ? -1 : 1));
  const isTruncated = entries.length > addressesMax;
  const headless = service.spec.clusterIP === "None" ? { [headlessLabel]: "" } : {};
  const subsets = repack(entries.slice(0, addressesMax));
  return {
    apiVersion: apiVersionOf(endpoints),
    kind: endpoints.kind,
    metadata: {
      name,
      namespace,
      labels: { ...labels, [managedByLabel]: manager, ...headless },
      ...(isTruncated ? { annotations: { [capacityAnnotation]: "truncated" } } : {}),
    },
    ...(subsets.length === 0 ? {} : { subsets }),
  };
}

function entryOf(service: Service, pod: Pod): Entry[] {
  const ip = pod.status?.podIP;
  const isPublished = service.spec.publishNotReadyAddresses === true;
  const isLeaving = pod.metadata.deletionTimestamp !== undefined;
  if (ip === undefined || isPodFinished(pod) || (isLeaving && !isPublished)) return [];
  const { hostname, subdomain, nodeName } = pod.spec;
  const { name, namespace = "default", uid = "" } = pod.metadata;
  const address: EndpointAddress = {
    ip,
    ...(hostname !== undefined && subdomain === service.metadata.name ? { hostname } : {}),
    ...(nodeName === undefined ? {} : { nodeName }),
    targetRef: { kind: "Pod", namespace, name, uid },
  };
  const ports = portsOf(service, pod).map(({ name: portName = "", port = 0, protocol = "TCP", appProtocol }): Port => ({
    ...(portName === "" ? {} : { name: portName }),
    port,
    protocol,
    ...(appProtocol === undefined ? {} : { appProtocol }),
  }));
  // A Service with ports of which the pod has none does not reach it.
  if (ports.length === 0 && (service.spec.ports ?? []).length > 0) return [];
  return [{ address, isReady: isPublished || isPodReady(pod), ports }];
}

/** Addresses with the same ports share a subset. */
function repack(entries: readonly Entry[]): EndpointSubset[] {
  const groups = new Map<string, Entry[]>();
  for (const entry of entries) {
    const key = JSON.stringify(entry.ports);
    groups.set(key, [...(groups.get(key) ?? []), entry]);
  }
  return [...groups.keys()].sort().map((key) => {
    const group = groups.get(key) ?? [];
    const of = (isReady: boolean): EndpointAddress[] =>
      group.filter((entry) => entry.isReady === isReady).map(({ address }) => address);
    const [ready, notReady] = [of(true), of(false)];
    const ports = group[0]?.ports ?? [];
    return {
      ...(ready.length === 0 ? {} : { addresses: ready }),
      ...(notReady.length === 0 ? {} : { notReadyAddresses: notReady }),
      ...(ports.length === 0 ? {} : { ports }),
    };
  });
}
