/** Services for the proxy's tests. Only tests import this. */
import {
  plainPolicies,
  type ServiceResource,
  type ServiceResourceEndpoint,
  type ServiceResourcePort,
} from "#api/wire/service.ts";

export function port(number: number, protocol: "TCP" | "UDP" | "SCTP" = "TCP", name = "http"): ServiceResourcePort {
  return { name, protocol, port: number, nodePort: 0, appProtocol: "" };
}

/** `address:port` of a ready endpoint; the port is that of the Service port `http`. */
export function endpoint(target: string, given: Partial<ServiceResourceEndpoint> = {}): ServiceResourceEndpoint {
  const [address = "", number] = target.split(":");
  const ready = given.ready ?? true;
  return {
    address,
    ports: { http: Number(number) },
    ready,
    serving: ready,
    terminating: false,
    hostname: "",
    nodeName: "",
    zone: "",
    podName: "",
    hintZones: [],
    hintNodes: [],
    ...given,
  };
}

export function service(name: string, clusterIP: string, given: Partial<ServiceResource> = {}): ServiceResource {
  return {
    namespace: "default",
    name,
    clusterIPs: [clusterIP],
    headless: false,
    externalName: "",
    ports: [port(80)],
    endpoints: [],
    publishNotReadyAddresses: false,
    ...plainPolicies,
    ...given,
  };
}

export function named(...services: readonly ServiceResource[]): readonly { name: string; resource: ServiceResource }[] {
  return services.map((resource) => ({ name: `${resource.namespace}/${resource.name}`, resource }));
}
