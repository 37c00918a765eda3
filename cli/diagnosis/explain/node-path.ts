/**
 * The way of a connection without a sidecar: by the node's rules, as the node proxy makes them of the same objects.
 * Pure.
 *
 *   Service, EndpointSlices ─▶ service-match.ts ─▶ followNode() ─▶ shares, outcome
 */
import type { Pod } from "#api/core/pod.ts";
import { type Service, isHeadless } from "#api/core/service.ts";
import type { EndpointSpec } from "#proxy/l7/endpoint.ts";
import type { EgressDecision } from "../../launcher/egress-policy.ts";
import type { ClusterObjects } from "../observation.ts";
import type { Outcome, Share } from "./explanation.ts";
import { type ServiceWay, endpointsOf, nodeAt, serviceWay } from "./service-match.ts";
import type { DescribeEndpoint, Destination, Followed } from "./sidecar-path.ts";

/** The Service behind an address: by its ClusterIP, or headless by its name. */
export function serviceAt(address: string, name: string, objects: ClusterObjects): Service | undefined {
  const byIP = objects.services.find(({ spec }) => (spec.clusterIPs ?? [spec.clusterIP]).includes(address));
  const isNamed = ({ metadata }: Service): boolean =>
    name === `${metadata.name}.${metadata.namespace}.svc.cluster.local`;
  return byIP ?? objects.services.find((service) => isHeadless(service) && isNamed(service));
}

export interface NodeSurroundings {
  readonly objects: ClusterObjects;
  /** The pod that calls. */
  readonly from: Pod;
  /** All addresses that the name has, for a headless Service. */
  readonly addresses: readonly string[];
  readonly describe: DescribeEndpoint;
  /** What the launcher would say to a connection that leaves the cluster. */
  readonly egress: (destination: Destination) => EgressDecision;
}

/** Where the node's rules would send it. `service` undefined: by its address alone. */
export function followNode(
  service: Service | undefined,
  destination: Destination,
  { objects, from, addresses, describe, egress }: NodeSurroundings,
): Followed {
  const way = serviceWay(from, destination, objects);
  if (way !== undefined) return followService(way, describe);
  const name = service === undefined ? "" : `${service.metadata.namespace}/${service.metadata.name}`;
  if (service !== undefined && !isHeadless(service)) {
    const ports = (service.spec.ports ?? []).map((each) => each.port).join(", ");
    return end({ kind: "fails", why: `Service ${name} has no port ${destination.port}, wanted one of ${ports}` });
  }
  const hasPod = (address: string): boolean => objects.pods.some(({ status }) => status?.podIP === address);
  if (service !== undefined || hasPod(destination.address)) {
    const found = service === undefined ? [destination.address] : addresses;
    const endpoints = found.map((address) => describe(toSpec(address, destination.port, true)));
    const cluster = service === undefined ? "the pod itself" : `service ${name}, headless: the pods themselves`;
    return end({ kind: "forwarded" }, [{ cluster, share: 1, endpoints }]);
  }
  const node = nodeAt(destination.address, objects.nodes);
  if (node !== undefined) return end({ kind: "node", node: node.metadata.name, port: destination.port });
  return end(outsideOutcome(destination, egress(destination)));
}

/** What helps where nothing listens at a headless Service's port; empty when its ports are its pods' own. */
export function headlessHint(service: Service | undefined, port: number, objects: ClusterObjects): string {
  if (service === undefined || !isHeadless(service)) return "";
  const own = objects.endpointSlices.filter(
    ({ metadata }) =>
      metadata.namespace === service.metadata.namespace &&
      metadata.labels?.["kubernetes.io/service-name"] === service.metadata.name,
  );
  const ports = new Set(own.flatMap((slice) => (slice.ports ?? []).flatMap((each) => each.port ?? [])));
  if (ports.has(port) || ports.size === 0) return "";
  return `a headless Service does not translate ports, wanted ${[...ports].join(", ")}`;
}

function end(outcome: Outcome, shares: readonly Share[] = []): Followed {
  return { listener: undefined, route: undefined, shares, outcome };
}

function followService(way: ServiceWay, describe: DescribeEndpoint): Followed {
  const { service, port } = way.match;
  const { expected, nodeName } = way;
  const name = `${service.namespace}/${service.name}`;
  const usable = expected.kind === "dnat" ? expected.to : new Set<string>();
  // Ready ones that are not usable from here are those of other nodes or zones: new connections do not go there.
  const endpoints = endpointsOf(service, port.name).flatMap(({ address, port: target, isReady }) => {
    const isUsable = usable.has(`${address}:${target}`);
    return isUsable || !isReady ? [describe(toSpec(address, target, isUsable))] : [];
  });
  const all = service.endpoints.filter(({ ready, ports }) => ready && ports[port.name] !== undefined).length;
  const fewer = usable.size > 0 && usable.size < all ? `, ${usable.size} of its ${all} from ${nodeName}` : "";
  const shares: readonly Share[] = [{ cluster: `service ${name}${howReached(way)}${fewer}`, share: 1, endpoints }];
  if (expected.kind === "dnat") return end({ kind: "forwarded" }, shares);
  if (expected.kind === "reject")
    return end({ kind: "fails", why: `Service ${name} has no ready endpoint: the connection is refused` }, shares);
  const { loadBalancerSourceRanges: ranges, internalTrafficPolicy } = service;
  const local = way.match.how === "cluster" && internalTrafficPolicy === "Local";
  const why = local
    ? `internalTrafficPolicy of Service ${name} is Local and ${nodeName} has no endpoint that is ready`
    : `loadBalancerSourceRanges of Service ${name} are ${ranges.join(", ")}`;
  return end({ kind: "fails", why: `the connection is dropped, ${why}` }, shares);
}

/** Said where it is not the usual: by the Service's own address; one connection, one endpoint. */
function howReached({ match: { how, port }, isEachRequest, nodeName }: ServiceWay): string {
  const by =
    how === "nodePort"
      ? `, by node port ${port.nodePort} of ${nodeName}`
      : how === "external"
        ? ", by an external address"
        : "";
  return `${by}${isEachRequest ? ", each request by the node's HTTP engine" : ""}`;
}

function outsideOutcome({ address, port }: Destination, decision: EgressDecision): Outcome {
  if (decision.kind === "refuse")
    return { kind: "fails", why: `the connection to ${address}:${port} is reset: ${decision.reason}` };
  return { kind: "leaves", destination: `${decision.address}:${decision.port}` };
}

function toSpec(address: string, port: number, isServing: boolean): EndpointSpec {
  return { address, port, workload: "", isServing, priority: 0 };
}
