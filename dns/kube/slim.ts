/**
 * What answers need of Services, EndpointSlices and Pods. Pure.
 *
 *   object of the API ─▶ slimService, slimSlice, podAddresses ─▶ watched.ts
 */
import type { Service } from "#api/core/service.ts";
import type { EndpointSlice } from "#api/discovery/endpointslice.ts";
import type { KubeObject } from "#api/meta.ts";
import { plainPolicies, type ServiceResource, type ServiceResourceEndpoint } from "#api/wire/service.ts";
import { canonical, toBytes } from "../address.ts";

const serviceNameLabel = "kubernetes.io/service-name";

/** What answers need of a slice. `service` is `namespace/name`. */
export interface SlimSlice {
  readonly service: string;
  readonly endpoints: readonly ServiceResourceEndpoint[];
}

export type SlimService = Omit<ServiceResource, "endpoints">;

/** A Service without its endpoints. */
export function slimService({ metadata, spec, status }: Service): SlimService {
  const isExternal = spec.type === "ExternalName";
  const addresses = spec.clusterIPs ?? (spec.clusterIP === undefined ? [] : [spec.clusterIP]);
  return {
    ...plainPolicies,
    namespace: metadata.namespace ?? "",
    name: metadata.name,
    clusterIPs: isExternal ? [] : addresses.filter((address) => address !== "" && address !== "None"),
    headless: !isExternal && addresses.includes("None"),
    externalIPs: spec.externalIPs ?? plainPolicies.externalIPs,
    loadBalancerIPs: status?.loadBalancer?.ingress?.flatMap(({ ip }) => ip ?? []) ?? plainPolicies.loadBalancerIPs,
    externalName: isExternal ? (spec.externalName ?? "") : "",
    ports: (spec.ports ?? []).map(({ name = "", protocol = "TCP", port }) => ({
      name,
      protocol,
      port,
      nodePort: 0,
      appProtocol: "",
    })),
    publishNotReadyAddresses: spec.publishNotReadyAddresses ?? false,
  };
}

/** The endpoints of a slice; none of one that has names instead of addresses. */
export function slimSlice(slice: EndpointSlice): SlimSlice {
  const service = `${slice.metadata.namespace ?? ""}/${slice.metadata.labels?.[serviceNameLabel] ?? ""}`;
  if (slice.addressType === "FQDN") return { service, endpoints: [] };
  const ports = Object.fromEntries(
    (slice.ports ?? []).flatMap(({ name = "", port }) => (port === undefined ? [] : [[name, port]])),
  );
  const endpoints = (slice.endpoints ?? []).flatMap(({ addresses, conditions, hostname = "", targetRef }) => {
    const ready = conditions?.ready ?? true;
    const podName = targetRef?.kind === "Pod" ? targetRef.name : "";
    return addresses.map((address): ServiceResourceEndpoint => ({
      ...bare,
      address,
      ports,
      ready,
      serving: ready,
      hostname,
      podName,
    }));
  });
  return { service, endpoints };
}

const bare: ServiceResourceEndpoint = {
  address: "",
  ports: {},
  ready: true,
  serving: true,
  terminating: false,
  hostname: "",
  nodeName: "",
  zone: "",
  podName: "",
  hintZones: [],
  hintNodes: [],
};

interface PodStatus extends KubeObject {
  readonly spec?: { readonly hostNetwork?: boolean };
  readonly status?: {
    readonly phase?: string;
    readonly podIP?: string;
    readonly podIPs?: readonly { readonly ip: string }[];
  };
}

/** Addresses that are the pod's alone; none once it has ended. */
export function podAddresses(object: KubeObject): readonly string[] {
  const { spec, status } = object as PodStatus;
  const hasEnded = status?.phase === "Succeeded" || status?.phase === "Failed";
  if (spec?.hostNetwork === true || hasEnded) return [];
  const texts = status?.podIPs?.map(({ ip }) => ip) ?? (status?.podIP === undefined ? [] : [status.podIP]);
  return texts.flatMap((text) => {
    const bytes = toBytes(text);
    return bytes === undefined ? [] : [canonical(bytes)];
  });
}
