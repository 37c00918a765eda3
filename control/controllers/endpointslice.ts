/**
 * EndpointSlice: which addresses stand behind a Service, kept in slices of at most 100 endpoints.
 *
 *   planSlices (pure): Service × pods × slices ─▶ { create, update, remove }
 *
 * A pod that stops being ready or starts to end is in the slice at once: every ms here is a request lost somewhere.
 * Slices keep the endpoints they have; only those that change are written (KEP-752).
 */
import type { ContainerPort, Pod } from "#api/core/pod.ts";
import { isPodFinished, isPodReady } from "#api/core/pod.ts";
import type { Service, ServicePort } from "#api/core/service.ts";
import {
  type Endpoint,
  type EndpointPort,
  type EndpointSlice,
  endpointSlices,
  serviceNameLabel,
} from "#api/discovery/endpointslice.ts";
import { keyOf, parseKey } from "#api/meta.ts";
import { isEqual } from "#api/schema/read.ts";
import { isNotFound } from "#api/status.ts";
import { type Context, type Controller, createQueue } from "./context.ts";

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

export function planSlices(service: Service, pods: readonly Pod[], slices: readonly EndpointSlice[]): SlicePlan {
  const ours = slices.filter(({ metadata }) => metadata.labels?.[managedByLabel] === manager);
  const plans = groupByPorts(service, pods).map(({ ports, endpoints }) => {
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

interface Group {
  readonly ports: readonly EndpointPort[];
  readonly endpoints: readonly Endpoint[];
}

/** Pods whose named target ports resolve alike share slices. */
function groupByPorts(service: Service, pods: readonly Pod[]): Group[] {
  const groups = new Map<string, { ports: readonly EndpointPort[]; endpoints: Endpoint[] }>();
  for (const pod of pods) {
    if (!selects(service, pod)) continue;
    const endpoint = endpointOf(service, pod);
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
function endpointOf({ metadata, spec }: Service, pod: Pod): Endpoint | undefined {
  const address = pod.status?.podIP;
  if (address === undefined || isPodFinished(pod)) return undefined;
  const terminating = pod.metadata.deletionTimestamp !== undefined;
  const serving = isPodReady(pod);
  const { hostname, subdomain, nodeName } = pod.spec;
  return {
    addresses: [address],
    conditions: { ready: spec.publishNotReadyAddresses === true || (serving && !terminating), serving, terminating },
    ...(hostname !== undefined && subdomain === metadata.name ? { hostname } : {}),
    ...(nodeName === undefined ? {} : { nodeName }),
    targetRef: {
      kind: "Pod",
      namespace: pod.metadata.namespace ?? "default",
      name: pod.metadata.name,
      uid: pod.metadata.uid ?? "",
    },
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

/** The Service of a slice as a queue key. */
function serviceKeyOf({ metadata }: EndpointSlice): string | undefined {
  const name = metadata.labels?.[serviceNameLabel];
  return name === undefined ? undefined : `${metadata.namespace}/${name}`;
}

export function createEndpointSliceController(context: Context): Controller {
  const { client, informers } = context;
  const servicesByNamespace = new Map<string, Map<string, Service>>();
  const slicesByService = new Map<string, Map<string, EndpointSlice>>();
  const podsByNamespace = new Map<string, Map<string, Pod>>();
  const written = new Map<string, number>();

  const queue = createQueue("endpointslice", context, async (key) => {
    const service = informers.services.get(parseKey(key));
    if (service === undefined || !isManaged(service)) return;
    if (informers.endpointSlices.revision < (written.get(key) ?? 0)) return queue.addAfter(key, 2);
    written.delete(key);
    const namespace = service.metadata.namespace ?? "default";
    const pods = [...(podsByNamespace.get(namespace)?.values() ?? [])];
    const plan = planSlices(service, pods, [...(slicesByService.get(key)?.values() ?? [])]);
    const wrote = ({ metadata }: EndpointSlice): void =>
      void written.set(key, Math.max(written.get(key) ?? 0, Number(metadata.resourceVersion ?? 0)));
    for (const slice of plan.update) wrote(await client.update(endpointSlices, slice));
    for (const slice of plan.create) wrote(await client.create(endpointSlices, slice));
    for (const slice of plan.remove) {
      await client.delete(endpointSlices, keyOf(slice)).then(wrote, (error: unknown) => {
        if (!isNotFound(error)) throw error;
      });
    }
  });

  informers.services.addHandler(
    indexed(
      servicesByNamespace,
      (service) => service.metadata.namespace ?? "",
      (service) => queue.add(`${service.metadata.namespace}/${service.metadata.name}`),
    ),
  );
  informers.endpointSlices.addHandler(
    indexed(
      slicesByService,
      (slice) => serviceKeyOf(slice) ?? "",
      (slice) => {
        const key = serviceKeyOf(slice);
        if (key !== undefined) queue.add(key);
      },
    ),
  );
  const touch = (pod: Pod): void => {
    for (const service of servicesByNamespace.get(pod.metadata.namespace ?? "")?.values() ?? []) {
      if (isManaged(service) && selects(service, pod))
        queue.add(`${service.metadata.namespace}/${service.metadata.name}`);
    }
  };
  const podIndex = indexed(podsByNamespace, (pod: Pod) => pod.metadata.namespace ?? "", touch);
  informers.pods.addHandler({
    ...podIndex,
    updated: (pod, before) => {
      podIndex.updated(pod);
      // Labels may have moved it from one Service to another.
      if (!isEqual(pod.metadata.labels, before.metadata.labels)) touch(before);
    },
  });
  return { name: "endpointslice", start: (signal) => queue.start(signal) };
}

/** A handler that keeps objects by a key of theirs, and tells of each change afterwards. */
function indexed<T extends { readonly metadata: { readonly name: string; readonly namespace?: string } }>(
  index: Map<string, Map<string, T>>,
  keyOfObject: (object: T) => string,
  changed: (object: T) => void,
): { added(object: T): void; updated(object: T): void; deleted(object: T): void } {
  const put = (object: T): void => {
    const key = keyOfObject(object);
    const objects = index.get(key) ?? new Map<string, T>();
    objects.set(object.metadata.name, object);
    index.set(key, objects);
    changed(object);
  };
  return {
    added: put,
    updated: put,
    deleted(object) {
      const objects = index.get(keyOfObject(object));
      objects?.delete(object.metadata.name);
      if (objects?.size === 0) index.delete(keyOfObject(object));
      changed(object);
    },
  };
}
