/**
 * A backendRef of an HTTPRoute → the cluster to send to, or why there is none. Pure.
 *
 * Follows Gateway API v1: a reference that does not resolve answers 500 for its share and sets ResolvedRefs to False.
 */
import type { HTTPBackendRef, HTTPRoute } from "#api/gateway/httproute.ts";
import { hostOfService, tcpPortsOf } from "./cluster.ts";
import { outboundClusterName } from "./names.ts";
import type { Objects } from "./objects.ts";

export type Backend =
  | { readonly kind: "resolved"; readonly cluster: string }
  | {
      readonly kind: "unresolved";
      readonly reason: "BackendNotFound" | "InvalidKind" | "RefNotPermitted";
      readonly message: string;
    };

/**
 * What `ref` of `route` stands for. Through a Gateway (`via`), a Service of another namespace needs a ReferenceGrant, which
 * Wherry does not have, so it is never permitted; inside the mesh every pod may connect to every Service anyway.
 */
export function resolveBackend(
  ref: HTTPBackendRef,
  route: HTTPRoute,
  via: "Gateway" | "Service",
  objects: Pick<Objects, "services">,
): Backend {
  const { group = "", kind = "Service", namespace = route.metadata.namespace ?? "", name, port } = ref;
  if (group !== "" || kind !== "Service")
    return unresolved("InvalidKind", `Cannot send to ${kind} ${name}: wanted a Service`);
  if (via === "Gateway" && namespace !== route.metadata.namespace)
    return unresolved(
      "RefNotPermitted",
      `Cannot send to Service ${namespace}/${name}: it is in another namespace, wanted a ReferenceGrant (not supported)`,
    );
  const service = objects.services.get(`${namespace}/${name}`);
  if (service === undefined)
    return unresolved("BackendNotFound", `Cannot send to Service ${namespace}/${name}: no such Service`);
  if (service.spec.type === "ExternalName")
    return unresolved("InvalidKind", `Cannot send to Service ${namespace}/${name}: it is an ExternalName Service`);
  if (!tcpPortsOf(service).some((candidate) => candidate.port === port))
    return unresolved("BackendNotFound", `Cannot send to Service ${namespace}/${name}: it has no TCP port ${port}`);
  return { kind: "resolved", cluster: outboundClusterName(hostOfService(service), port ?? 0) };
}

/**
 * Whether nobody has said yet which endpoints a backend has: its Service selects pods and has no EndpointSlice, for the
 * controller makes one for each, even when it is empty. Traffic waits for that moment instead of being refused in it.
 */
export function isPending(
  ref: HTTPBackendRef,
  route: HTTPRoute,
  objects: Pick<Objects, "services" | "slicesOf">,
): boolean {
  const key = `${ref.namespace ?? route.metadata.namespace ?? ""}/${ref.name}`;
  const service = objects.services.get(key);
  const selects = Object.keys(service?.spec.selector ?? {}).length > 0;
  return selects && service?.spec.type !== "ExternalName" && objects.slicesOf(key).length === 0;
}

function unresolved(
  reason: "BackendNotFound" | "InvalidKind" | "RefNotPermitted",
  message: string,
): Extract<Backend, { kind: "unresolved" }> {
  return { kind: "unresolved", reason, message };
}
