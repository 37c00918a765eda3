/**
 * EndpointSlice: which addresses stand behind a Service, kept in slices of at most 100 endpoints. Pure.
 *
 *   Service × pods × slices ─▶ planSlices() ─▶ { create, update, remove } ─▶ endpointslice-controller.ts
 *
 * A pod that stops being ready or starts to end is in the slice at once: every ms here is a request lost somewhere.
 * Slices keep the endpoints they have; only those that change are written (KEP-752). With `trafficDistribution` each ready
 * endpoint says for whom it is: who is in its zone, or on its node (KEP-4444, KEP-3015).
 */
import type { ContainerPort, Pod } from "#api/core/pod.ts";
import { isPodFinished, isPodReady } from "#api/core/pod.ts";
import type { Service, ServicePort, TrafficDistribution } from "#api/core/service.ts";
import {
  type Endpoint,
  type EndpointPort,
  type EndpointSlice,
  serviceNameLabel,
} from "#api/discovery/endpointslice.ts";
import { isEqual } from "#api/schema/read.ts";

const endpointsMax = 100;
export const managedByLabel = "endpointslice.kubernetes.io/managed-by";
const manager = "endpointslice-controller.k8s.io";

export interface SlicePlan {
  readonly create: readonly EndpointSlice[];
  readonly update: readonly EndpointSlice[];
  readonly remove: readonly EndpointSlice[];
}

/** Whether the Service's endpoints are ours to keep: those without selector are somebody else's. */
export function isManaged({ spec }: Service): boolean {
  return spec.type !== "ExternalName" && Object.keys(spec.selector ?? {}).length > 0;
}

export function selects({ metadata, spec }: Service, pod: Pod): boolean {
  const labels = pod.metadata.labels ?? {};
  return (
    metadata.namespace === pod.metadata.namespace &&
    Object.entries(spec.selector ?? {}).every(([key, value]) => labels[key] === value)
  );
}

export interface SliceFacts {
  /** Of the Service's namespace. */
  readonly pods: readonly Pod[];
  /** That the Service has, whoever made them. */
  readonly slices: readonly EndpointSlice[];
  /** The zone of a node by its name; undefined when it has none. Default: no zones. */
  readonly zoneOfNode?: (nodeName: string) => string | undefined;
}

/** What makes the slices hold the pods that the Service selects. */
export function planSlices(service: Service, { pods, slices, zoneOfNode = () => undefined }: SliceFacts): SlicePlan {
  const ours = slices.filter(({ metadata }) => metadata.labels?.[managedByLabel] === manager);
  const plans = groupByPorts(service, pods, zoneOfNode).map(({ ports, endpoints }) => {
    const same = ours.filter((slice) => isEqual(slice.ports ?? [], ports));
    return fill(service, { ports, endpoints }, same);
  });
  const used = new Set(plans.flatMap(({ kept }) => kept));
  return {
    create: plans.flatMap(({ create }) => create),
    update: plans.flatMap(({ update }) => update),
    remove: ours.filter((slice) => !used.has(slice.metadata.name)),
  };
}

type ZoneOfNode = NonNullable<SliceFacts["zoneOfNode"]>;

interface Group {
  readonly ports: readonly EndpointPort[];
  readonly endpoints: readonly Endpoint[];
}

/** Pods whose named target ports resolve alike share slices. */
function groupByPorts(service: Service, pods: readonly Pod[], zoneOfNode: ZoneOfNode): Group[] {
  const groups = new Map<string, { ports: readonly EndpointPort[]; endpoints: Endpoint[] }>();
  for (const pod of pods) {
    if (!selects(service, pod)) continue;
    const endpoint = endpointOf(service, pod, zoneOfNode);
    if (endpoint === undefined) continue;
    const ports = portsOf(service, pod);
    const key = JSON.stringify(ports);
    const group = groups.get(key) ?? { ports, endpoints: [] };
    group.endpoints.push(endpoint);
    groups.set(key, group);
  }
  if (groups.size > 0) return [...groups.values()];
  // A Service without pods keeps one empty slice, as Kubernetes does.
  return [{ ports: [], endpoints: [] }];
}

function fill(
  service: Service,
  { ports, endpoints }: Group,
  slices: readonly EndpointSlice[],
): { create: EndpointSlice[]; update: EndpointSlice[]; kept: string[] } {
  const wanted = new Map(endpoints.map((endpoint) => [endpoint.addresses[0] ?? "", endpoint]));
  const next = slices.map((slice) => {
    const stay = slice.endpoints.flatMap(({ addresses }) => {
      const endpoint = wanted.get(addresses[0] ?? "");
      wanted.delete(addresses[0] ?? "");
      return endpoint === undefined ? [] : [endpoint];
    });
    return { slice, endpoints: stay };
  });
  const rest = [...wanted.values()];
  for (const entry of next) entry.endpoints.push(...rest.splice(0, endpointsMax - entry.endpoints.length));
  const create: EndpointSlice[] = [];
  while (rest.length > 0) create.push(sliceOf(service, ports, rest.splice(0, endpointsMax)));
  // Empty slices go, but for the last one of a Service that has nothing else.
  const filled = next.filter((entry) => entry.endpoints.length > 0);
  const kept = filled.length === 0 && create.length === 0 ? next.slice(0, 1) : filled;
  if (kept.length === 0 && create.length === 0) create.push(sliceOf(service, ports, []));
  const update = kept
    .filter((entry) => !isEqual(entry.slice.endpoints, entry.endpoints))
    .map((entry) => ({ ...entry.slice, endpoints: entry.endpoints }));
  return { create, update, kept: kept.map(({ slice }) => slice.metadata.name) };
}

function sliceOf(service: Service, ports: readonly EndpointPort[], endpoints: readonly Endpoint[]): EndpointSlice {
  const { name, namespace = "default", uid = "", labels } = service.metadata;
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name: "",
      generateName: `${name}-`,
      namespace,
      labels: { ...labels, [serviceNameLabel]: name, [managedByLabel]: manager },
      ownerReferences: [{ apiVersion: "v1", kind: "Service", name, uid, controller: true, blockOwnerDeletion: true }],
    },
    addressType: "IPv4",
    ports,
    endpoints,
  };
}

/** The endpoint of a pod; undefined while it has no address, and once it has ended. */
function endpointOf({ metadata, spec }: Service, pod: Pod, zoneOfNode: ZoneOfNode): Endpoint | undefined {
  const address = pod.status?.podIP;
  if (address === undefined || isPodFinished(pod)) return undefined;
  const terminating = pod.metadata.deletionTimestamp !== undefined;
  const serving = isPodReady(pod);
  const ready = spec.publishNotReadyAddresses === true || (serving && !terminating);
  const { hostname, subdomain, nodeName } = pod.spec;
  const zone = nodeName === undefined ? undefined : zoneOfNode(nodeName);
  const hints = ready ? hintsOf(spec.trafficDistribution, { nodeName, zone }) : undefined;
  return {
    addresses: [address],
    conditions: { ready, serving, terminating },
    ...(hostname !== undefined && subdomain === metadata.name ? { hostname } : {}),
    ...(nodeName === undefined ? {} : { nodeName }),
    ...(zone === undefined ? {} : { zone }),
    ...(hints === undefined ? {} : { hints }),
    targetRef: {
      kind: "Pod",
      namespace: pod.metadata.namespace ?? "default",
      name: pod.metadata.name,
      uid: pod.metadata.uid ?? "",
    },
  };
}

interface Place {
  readonly nodeName: string | undefined;
  readonly zone: string | undefined;
}

/** Whom an endpoint is for. Without a zone of its own it is for everybody, and with it the whole Service is. */
function hintsOf(distribution: TrafficDistribution | undefined, { nodeName, zone }: Place): Endpoint["hints"] {
  if (distribution === undefined) return undefined;
  const isForNode = distribution === "PreferSameNode" && nodeName !== undefined;
  if (zone === undefined && !isForNode) return undefined;
  return {
    ...(zone === undefined ? {} : { forZones: [{ name: zone }] }),
    ...(isForNode ? { forNodes: [{ name: nodeName }] } : {}),
  };
}

/** The ports of a Service as a pod has them. */
export function portsOf(service: Service, pod: Pod): readonly EndpointPort[] {
  return (service.spec.ports ?? []).flatMap((port) => portOf(port, pod));
}

/** The endpoint port of a Service port; none when the pod has no port of the target's name. */
function portOf({ name, protocol = "TCP", port, targetPort, appProtocol }: ServicePort, pod: Pod): EndpointPort[] {
  const number =
    typeof targetPort === "string" ? namedPort(targetPort, protocol, pod)?.containerPort : (targetPort ?? port);
  if (number === undefined) return [];
  return [{ name: name ?? "", protocol, port: number, ...(appProtocol === undefined ? {} : { appProtocol }) }];
}

function namedPort(wanted: string, protocol: string, pod: Pod): ContainerPort | undefined {
  const ports = pod.spec.containers.flatMap((container) => container.ports ?? []);
  return ports.find(({ name, protocol: own = "TCP" }) => name === wanted && own === protocol);
}
