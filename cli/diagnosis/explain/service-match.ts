/**
 * The Service port that a pod's connection is for, and where the node's rules take it: by the node proxy's own
 * functions, so that what is told here and what happens there cannot differ. Pure.
 *
 *   Service, EndpointSlices, Node ─▶ NodeView ─▶ proxy/l4/model.ts ─▶ Match, Expected
 */
import type { Node } from "#api/core/node.ts";
import type { Pod } from "#api/core/pod.ts";
import type { Service } from "#api/core/service.ts";
import type { EndpointSlice } from "#api/discovery/endpointslice.ts";
import type { ServiceResource } from "#api/wire/service.ts";
import { serviceResourceOf } from "#api/wire/service-join.ts";
import { defaultFacts } from "../../../proxy/config.ts";
import type { NodeFacts } from "../../../proxy/l4/facts.ts";
import { type Expected, type Match, expectPacket, matchPacket } from "../../../proxy/l4/model.ts";
import { isolationOf } from "../../../proxy/policy/isolation.ts";
import { isPerRequest } from "../../../proxy/requests/choice.ts";
import { addresses } from "../../ipc.ts";
import type { ClusterObjects } from "../observation.ts";
import type { Destination } from "./sidecar-path.ts";

const zoneLabel = "topology.kubernetes.io/zone";

export type ServiceObjects = Pick<
  ClusterObjects,
  "services" | "endpointSlices" | "nodes" | "pods" | "networkPolicies" | "namespaces"
>;

/** A Service port, and what the rules of `nodeName` do with a connection to it. */
export interface ServiceWay {
  readonly match: Match;
  readonly expected: Expected;
  /** The node whose rules decide: the one whose address it is, else the caller's. */
  readonly nodeName: string;
  /** That node's address; empty when it has none. */
  readonly nodeIP: string;
  /** Whether requests are balanced by the node's HTTP engine, instead of the connection. */
  readonly isEachRequest: boolean;
}

/** The way of a pod's TCP connection to an address of a Service or a node port; undefined for anything else. */
export function serviceWay(from: Pod, { address, port }: Destination, objects: ServiceObjects): ServiceWay | undefined {
  const facts = factsOf(from, address, objects.nodes);
  const packet = { protocol: "tcp", source: from.status?.podIP ?? "", destination: address, port } as const;
  const resources = objects.services.map((service) => serviceResourceOf(service, slicesOf(service, objects)));
  const match = matchPacket(packet, resources, facts);
  if (match === undefined) return undefined;
  const expected = expectPacket(packet, resources, facts, []);
  const { nodeName, nodeIPs } = facts;
  const [nodeIP = ""] = nodeIPs;
  return {
    match,
    expected,
    nodeName,
    nodeIP,
    isEachRequest: isEachRequest(match, { expected, packet, nodeName, objects }),
  };
}

/** The node that has an address of its own. */
export function nodeAt(address: string, nodes: readonly Node[]): Node | undefined {
  return nodes.find((node) => internalIPOf(node) === address);
}

/** The EndpointSlices of a Service. */
function slicesOf({ metadata }: Service, { endpointSlices }: ServiceObjects): readonly EndpointSlice[] {
  return endpointSlices.filter(
    (slice) =>
      slice.metadata.namespace === metadata.namespace &&
      slice.metadata.labels?.["kubernetes.io/service-name"] === metadata.name,
  );
}

function factsOf(from: Pod, address: string, nodes: readonly Node[]): NodeFacts {
  const node = nodeAt(address, nodes) ?? nodes.find(({ metadata }) => metadata.name === from.spec.nodeName);
  const nodeIP = node === undefined ? undefined : internalIPOf(node);
  return {
    ...defaultFacts,
    nodeName: node?.metadata.name ?? from.spec.nodeName ?? "",
    zone: node?.metadata.labels?.[zoneLabel] ?? "",
    nodeIPs: nodeIP === undefined ? [] : [nodeIP],
    requestPort: addresses.requestPort,
  };
}

function internalIPOf({ status }: Node): string | undefined {
  return status?.addresses?.find(({ type }) => type === "InternalIP")?.address;
}

interface Deciding {
  readonly expected: Expected;
  readonly packet: { readonly source: string };
  readonly nodeName: string;
  readonly objects: ServiceObjects;
}

/** As proxy/l4/port-plan.ts has it: not where policies judge the caller or an endpoint, nor where the source is kept. */
function isEachRequest(
  { service, port, how }: Match,
  { expected, packet, nodeName, objects: { networkPolicies, pods } }: Deciding,
): boolean {
  const isKept = how !== "cluster" && service.externalTrafficPolicy === "Local";
  if (expected.kind !== "dnat" || isKept || !isPerRequest(service, port)) return false;
  const view = { policies: networkPolicies, pods: pods.flatMap(toPolicyPod), namespaces: new Map() };
  const { ingress, egress } = isolationOf(view, nodeName);
  const targets = [...expected.to].map((target) => target.slice(0, target.lastIndexOf(":")));
  return !egress.has(packet.source) && !targets.some((address) => ingress.has(address));
}

function toPolicyPod({ metadata, spec, status }: Pod): Parameters<typeof isolationOf>[0]["pods"] {
  const { podIP = "", phase } = status ?? {};
  if (podIP === "" || phase === "Succeeded" || phase === "Failed") return [];
  const { namespace = "", labels = {} } = metadata;
  return [{ namespace, labels, addresses: [podIP], nodeName: spec.nodeName ?? "", ports: [] }];
}

/** All endpoints of a Service's port, those that take no new connection, too. */
export function endpointsOf(
  { endpoints }: ServiceResource,
  portName: string,
): { address: string; port: number; isReady: boolean }[] {
  return endpoints.flatMap(({ address, ports, ready }) => {
    const port = ports[portName];
    return port === undefined ? [] : [{ address, port, isReady: ready }];
  });
}
