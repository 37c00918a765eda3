/** Services for the proxy's tests. Only tests import this. */
import * as fc from "fast-check";
import {
  plainPolicies,
  type ServiceResource,
  type ServiceResourceEndpoint,
  type ServiceResourcePort,
} from "#api/wire/service.ts";
import type { NodeFacts } from "./facts.ts";
import type { Packet } from "./nft/walk.ts";

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

/** A node with an address of its own, for what comes from outside. */
export const edgeFacts: NodeFacts = {
  nodeName: "n1",
  zone: "a",
  nodeIPs: ["192.168.0.2"],
  nodePortAddresses: ["primary"],
  serviceCIDRs: ["10.96.0.0/16"],
  unallocated: "drop",
  clusterCIDRs: ["10.244.0.0/16"],
  unmasqueradedCIDRs: [],
  masqueradeAll: false,
  masqueradeMark: 0x4000,
  dnsVIP: "",
  resolverIPs: [],
  requestPort: 0,
  exactMax: 1000,
};

export const localAddresses: readonly string[] = ["192.168.0.2"];

const anyEndpoint = fc
  .record({
    last: fc.integer({ min: 2, max: 6 }),
    state: fc.constantFrom("ready", "ready", "unready", "leaving", "dead"),
    hintZones: fc.constantFrom([], ["a"], ["b"]),
  })
  .map(({ last, state, hintZones }) =>
    endpoint(`10.244.1.${last}:80`, {
      nodeName: last <= 4 ? "n1" : "n2",
      ready: state === "ready",
      serving: state === "ready" || state === "leaving",
      terminating: state === "leaving" || state === "dead",
      hintZones,
    }),
  );

const policy = fc.constantFrom<("Cluster" | "Local")[]>("Cluster", "Cluster", "Local");

/** A Service of any kind. Names decide addresses, so that two rarely have the same; that they do is tested apart. */
export const anyService: fc.Arbitrary<ServiceResource> = fc
  .record({
    index: fc.integer({ min: 1, max: 4 }),
    protocol: fc.constantFrom("TCP" as const, "UDP" as const, "SCTP" as const),
    type: fc.constantFrom("ClusterIP" as const, "NodePort" as const, "LoadBalancer" as const),
    endpoints: fc.uniqueArray(anyEndpoint, { maxLength: 4, selector: ({ address }) => address }),
    externalIPs: fc.boolean(),
    ranges: fc.constantFrom([], ["203.0.113.0/24"], ["192.168.0.0/16"], ["fd00::/8"], ["fd00::/8", "all"]),
    affinitySeconds: fc.constantFrom(0, 0, 60),
    internalTrafficPolicy: policy,
    externalTrafficPolicy: policy,
    proxyName: fc.constantFrom("", "", "", "another"),
  })
  .map(({ index, protocol, externalIPs, ranges, ...given }) =>
    service("abcd"[index - 1] ?? "", `10.96.1.${index}`, {
      ...given,
      ports: [{ ...port(80, protocol), nodePort: given.type === "ClusterIP" ? 0 : 30_000 + index }],
      externalIPs: externalIPs ? [`198.51.100.${index}`] : [],
      loadBalancerIPs: [`192.0.2.${index}`],
      loadBalancerSourceRanges: ranges,
    }),
  );

/** From everywhere to everything that `anyService` makes, and to what it does not. */
export const packets: readonly Packet[] = [
  "10.244.1.2",
  "10.244.1.9",
  "192.168.0.2",
  "203.0.113.2",
  "192.0.2.1",
].flatMap((source) =>
  (["tcp", "udp"] as const).flatMap((protocol) =>
    [1, 2, 5].flatMap((index) => [
      { protocol, source, destination: `10.96.1.${index}`, port: 80 },
      { protocol, source, destination: `198.51.100.${index}`, port: 80 },
      { protocol, source, destination: `192.0.2.${index}`, port: 80 },
      { protocol, source, destination: "192.168.0.2", port: 30_000 + index },
      { protocol, source, destination: `10.96.1.${index}`, port: 81 },
    ]),
  ),
);
