/**
 * EndpointSlices for Endpoints that a user keeps by hand: those of a Service without a selector. Pure.
 *
 *   Service × Endpoints × slices ─▶ planMirror() ─▶ { create, update, remove } ─▶ controller.ts
 *
 * One slice a subset, at most 1000 addresses each.
 * Follows: k8s.io/kubernetes pkg/controller/endpointslicemirroring.
 */
import {
  type EndpointAddress,
  type EndpointSubset,
  type Endpoints,
  endpoints as endpointsKind,
} from "#api/core/endpoints.ts";
import type { Service } from "#api/core/service.ts";
import { type Endpoint, type EndpointSlice, endpointSlices, serviceNameLabel } from "#api/discovery/endpointslice.ts";
import { apiVersionOf } from "#api/kind.ts";
import { isEqual } from "#api/schema/read.ts";
import { type SlicePlan, managedByLabel } from "../endpointslice.ts";
import { controllerReference } from "../workload/template.ts";
import { managedByLabel as endpointsManagedByLabel } from "./plan.ts";

export const mirrorManager = "endpointslicemirroring-controller.k8s.io";
const skipLabel = "endpointslice.kubernetes.io/skip-mirror";
const leaderAnnotation = "control-plane.alpha.kubernetes.io/leader";
const addressesMax = 1000;

/** Whether the Endpoints are somebody's own, and wanted as slices. */
export function isMirrored(service: Service | undefined, endpoints: Endpoints | undefined): boolean {
  if (service === undefined || endpoints === undefined) return false;
  const { labels = {}, annotations = {} } = endpoints.metadata;
  return (
    Object.keys(service.spec.selector ?? {}).length === 0 &&
    labels[skipLabel] !== "true" &&
    labels[endpointsManagedByLabel] === undefined &&
    annotations[leaderAnnotation] === undefined
  );
}

/** What makes the mirrored slices equal the Endpoints; `endpoints` is undefined when there is nothing to mirror. */
export function planMirror(endpoints: Endpoints | undefined, slices: readonly EndpointSlice[]): SlicePlan {
  const free = slices.filter(({ metadata }) => metadata.labels?.[managedByLabel] === mirrorManager);
  const wanted = (endpoints?.subsets ?? []).map((subset) => sliceOf(endpoints, subset));
  const plan = { create: [] as EndpointSlice[], update: [] as EndpointSlice[] };
  for (const slice of wanted) {
    const at = free.findIndex((one) => isEqual(one.ports ?? [], slice.ports ?? []));
    const [found] = at < 0 ? [] : free.splice(at, 1);
    if (found === undefined) plan.create.push(slice);
    else if (!isEqual(found.endpoints, slice.endpoints)) plan.update.push({ ...found, endpoints: slice.endpoints });
  }
  return { ...plan, remove: free };
}

function sliceOf(endpoints: Endpoints | undefined, subset: EndpointSubset): EndpointSlice {
  const { name = "", namespace = "default", labels } = endpoints?.metadata ?? {};
  const { addresses = [], notReadyAddresses = [], ports = [] } = subset;
  const all = [
    ...addresses.map((one) => toEndpoint(one, true)),
    ...notReadyAddresses.map((one) => toEndpoint(one, false)),
  ];
  return {
    apiVersion: apiVersionOf(endpointSlices),
    kind: endpointSlices.kind,
    metadata: {
      name: "",
      generateName: `${name}-`,
      namespace,
      labels: { ...labels, [serviceNameLabel]: name, [managedByLabel]: mirrorManager },
      ...(endpoints === undefined ? {} : { ownerReferences: [controllerReference(endpointsKind, endpoints)] }),
    },
    addressType: "IPv4",
    ports: ports.map(({ name: portName = "", protocol = "TCP", port, appProtocol }) => ({
      name: portName,
      protocol,
      port,
      ...(appProtocol === undefined ? {} : { appProtocol }),
    })),
    endpoints: all.slice(0, addressesMax),
  };
}

function toEndpoint({ ip, hostname, nodeName, targetRef }: EndpointAddress, ready: boolean): Endpoint {
  const { kind, name, namespace, uid } = targetRef ?? {};
  return {
    addresses: [ip],
    conditions: { ready },
    ...(hostname === undefined ? {} : { hostname }),
    ...(nodeName === undefined ? {} : { nodeName }),
    ...(kind === undefined || name === undefined
      ? {}
      : {
          targetRef: {
            kind,
            name,
            ...(namespace === undefined ? {} : { namespace }),
            ...(uid === undefined ? {} : { uid }),
          },
        }),
  };
}
