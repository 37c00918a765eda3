/** Services for tests, by hand: the fixture of the DNS cases. Only tests import this. */
import {
  plainPolicies,
  type ServiceResource,
  type ServiceResourceEndpoint,
  type ServiceResourcePort,
} from "#api/wire/service.ts";

export function port(name: string, number: number, protocol: "TCP" | "UDP" = "TCP"): ServiceResourcePort {
  return { name, protocol, port: number, nodePort: 0, appProtocol: "" };
}

export function endpoint(address: string, given: Partial<ServiceResourceEndpoint> = {}): ServiceResourceEndpoint {
  const ready = given.ready ?? true;
  return {
    address,
    ports: { http: 80 },
    ready,
    serving: ready,
    terminating: false,
    hostname: "",
    nodeName: "node1",
    zone: "",
    podName: "",
    hintZones: [],
    hintNodes: [],
    ...given,
  };
}

export function service(name: string, given: Partial<ServiceResource> = {}): ServiceResource {
  return {
    namespace: "testns",
    name,
    clusterIPs: [],
    headless: false,
    externalName: "",
    ports: [port("http", 80)],
    endpoints: [],
    publishNotReadyAddresses: false,
    ...plainPolicies,
    ...given,
  };
}

export function named(services: readonly ServiceResource[]): readonly { name: string; resource: ServiceResource }[] {
  return services.map((resource) => ({ name: `${resource.namespace}/${resource.name}`, resource }));
}

const duplicate = { hostname: "dup-name" };

/** The Services of the case table. */
export const fixture: readonly ServiceResource[] = [
  service("svc1", { clusterIPs: ["10.0.0.1"], endpoints: [endpoint("172.0.0.1", { hostname: "ep1a" })] }),
  service("svcnp", { clusterIPs: ["10.0.0.7"], ports: [port("", 81)] }),
  service("svcempty", { clusterIPs: ["10.0.0.8"] }),
  service("svc6", { clusterIPs: ["1234:abcd::1"] }),
  service("svcds", { clusterIPs: ["10.0.0.3", "10::3"] }),
  service("multi", {
    clusterIPs: ["10.0.0.9"],
    ports: [port("http", 80), port("dns", 53, "UDP"), port("dns-tcp", 53)],
  }),
  service("hdls", {
    headless: true,
    endpoints: [
      endpoint("172.0.0.2"),
      endpoint("172.0.0.3"),
      endpoint("172.0.0.4", duplicate),
      endpoint("172.0.0.5", duplicate),
      endpoint("172.0.0.9", { ready: false }),
      endpoint("5678:abcd::1"),
      endpoint("5678:abcd::2"),
    ],
  }),
  service("hdnone", { headless: true, endpoints: [endpoint("172.0.0.8", { ready: false })] }),
  service("hdnr", {
    headless: true,
    publishNotReadyAddresses: true,
    endpoints: [endpoint("172.0.0.30", { ready: false })],
  }),
  service("hdnoport", { headless: true, ports: [], endpoints: [endpoint("172.0.0.20", { ports: {} })] }),
  service("ext", { externalName: "ext.interwebs.test", ports: [] }),
  service("ext2svc", { externalName: "svc1.testns.svc.cluster.local", ports: [] }),
  service("loop1", { externalName: "loop2.testns.svc.cluster.local", ports: [] }),
  service("loop2", { externalName: "loop1.testns.svc.cluster.local", ports: [] }),
  service("big", {
    headless: true,
    endpoints: Array.from({ length: 60 }, (_, index) => endpoint(`172.1.0.${index + 1}`)),
  }),
];
