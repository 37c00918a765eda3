/**
 * What one owner (a Service, a pod, a connected sidecar, a Gateway) makes: resources, each placed in a scope. Pure.
 *
 *   index.ts (what was marked) ─▶ here ─▶ the translators ─▶ encoded resources ─▶ table.ts
 */
import type { Pod } from "#api/core/pod.ts";
import type { Service } from "#api/core/service.ts";
import { formatKey, keyOf } from "#api/meta.ts";
import { serviceTypeUrl } from "#api/wire/service.ts";
import { workloadTypeUrl } from "#api/wire/workload.ts";
import { typeUrls } from "#api/xds/envoy.ts";
import { loadAssignmentsOf, outboundClustersOf, passthroughClusterOf } from "./cluster.ts";
import { gatewayResourcesOf } from "./gateway.ts";
import { inboundOf } from "./inbound.ts";
import { meshRoutesOf } from "./mesh-routes.ts";
import { inboundPassthroughCluster, passthroughCluster } from "./names.ts";
import type { Objects } from "./objects.ts";
import { outboundListenersOf, virtualOutbound } from "./outbound.ts";
import { makeResource, type Placed } from "./resource.ts";
import { endpointsOf, serviceResourceOf } from "#api/wire/service-join.ts";
import { isOurGateway } from "./status.ts";
import { formatWorkload, workloadOf } from "./workload.ts";

/** A sidecar that is connected, and the scope that its own resources are placed in. */
export interface SidecarPlace {
  readonly scope: string;
  readonly podKey: string;
  readonly podIP: string;
}

/** What every sidecar gets and no object makes. */
export function staticResources(): readonly Placed[] {
  return [
    mesh(typeUrls.listener, virtualOutbound.name, virtualOutbound),
    mesh(typeUrls.cluster, passthroughCluster, passthroughClusterOf(passthroughCluster)),
    mesh(typeUrls.cluster, inboundPassthroughCluster, passthroughClusterOf(inboundPassthroughCluster)),
  ];
}

/** Clusters and outbound listeners of a Service. */
export function configOf(service: Service): readonly Placed[] {
  return [
    ...outboundClustersOf(service).map((cluster) => mesh(typeUrls.cluster, cluster.name, cluster)),
    ...outboundListenersOf(service).map((listener) => mesh(typeUrls.listener, listener.name, listener)),
  ];
}

/** `wherry.v1.Service` and the endpoints of each port. */
export function endpointResourcesOf(service: Service, objects: Objects): readonly Placed[] {
  const namespace = service.metadata.namespace ?? "";
  const key = formatKey(keyOf(service));
  const slices = objects.slicesOf(key);
  const nameWorkload = (podName: string): string | undefined => {
    const pod = objects.pods.get(`${namespace}/${podName}`);
    const workload = pod === undefined ? undefined : workloadOf(pod, objects);
    return workload === undefined ? undefined : formatWorkload(workload);
  };
  const assignments = loadAssignmentsOf(service, endpointsOf(slices), nameWorkload);
  return [
    { scope: "node", resource: makeResource(serviceTypeUrl, key, serviceResourceOf(service, slices)) },
    ...assignments.map((assignment) => mesh(typeUrls.endpoint, assignment.cluster_name, assignment)),
  ];
}

/** Route configurations of a Service's ports, for everybody and for the namespaces of consumer routes. */
export function routeResourcesOf(service: Service, objects: Objects): readonly Placed[] {
  return meshRoutesOf(service, objects).map(({ namespace, config }) => ({
    scope: namespace === undefined ? "mesh" : `namespace:${namespace}`,
    resource: makeResource(typeUrls.route, config.name, config),
  }));
}

/** `wherry.v1.Workload` of a pod that has an address. */
export function workloadResourcesOf(pod: Pod, objects: Objects): readonly Placed[] {
  const workload = workloadOf(pod, objects);
  return workload === undefined
    ? []
    : [{ scope: "node", resource: makeResource(workloadTypeUrl, workload.address, workload) }];
}

/** The inbound side of a connected sidecar. */
export function sidecarResourcesOf({ scope, podKey, podIP }: SidecarPlace, objects: Objects): readonly Placed[] {
  const namespace = podKey.slice(0, podKey.indexOf("/"));
  const { listener, clusters } = inboundOf(podIP, objects.pods.get(podKey), objects.servicesIn(namespace));
  return [
    { scope, resource: makeResource(typeUrls.listener, listener.name, listener) },
    ...clusters.map((cluster) => ({ scope, resource: makeResource(typeUrls.cluster, cluster.name, cluster) })),
  ];
}

/** The listeners and routes of a Gateway, and the names of the shared clusters that it may see; nothing when it is not ours. */
export function gatewayPlacedOf(
  key: string,
  objects: Objects,
): { readonly placed: readonly Placed[]; readonly clusters: ReadonlySet<string> } {
  const gateway = objects.gateways.get(key);
  if (gateway === undefined || !isOurGateway(gateway, objects)) return { placed: [], clusters: new Set() };
  const { listeners, routes, clusters } = gatewayResourcesOf(gateway, objects);
  const resources = [
    ...listeners.map((listener) => makeResource(typeUrls.listener, listener.name, listener)),
    ...routes.map((config) => makeResource(typeUrls.route, config.name, config)),
  ];
  return { placed: resources.map((resource) => ({ scope: `gateway:${key}`, resource })), clusters };
}

function mesh(typeUrl: string, name: string, value: object): Placed {
  return { scope: "mesh", resource: makeResource(typeUrl, name, value) };
}
