/**
 * Whether NetworkPolicies let a pod's connection through, by the words of the policies and not by the rules that the
 * node proxy makes of them. Pure.
 *
 *   Followed ─▶ withPolicies(): each endpoint gets who refuses it ─▶ Followed
 *
 * Source: kubernetes.io/docs/concepts/services-networking/network-policies.
 */
import { BlockList, isIPv4 } from "node:net";
import type { Pod } from "#api/core/pod.ts";
import type { NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort } from "#api/networking/network-policy.ts";
import { matchesLabels, toRequirements } from "#api/selector.ts";
import { typesOf } from "../../../proxy/policy/isolation.ts";
import { resolverPod } from "../../../proxy/policy/view.ts";
import { addresses } from "../../ipc.ts";
import type { ClusterObjects } from "../observation.ts";
import type { EndpointState, Outcome } from "./explanation.ts";
import type { ServiceWay } from "./service-match.ts";
import type { Destination, Followed } from "./sidecar-path.ts";

type PolicyObjects = Pick<ClusterObjects, "networkPolicies" | "namespaces" | "pods">;
type Direction = "Ingress" | "Egress";

interface Rule {
  readonly peers: readonly NetworkPolicyPeer[];
  readonly ports: readonly NetworkPolicyPort[];
}

/** One end of a connection: a pod, or an address that is none's. */
interface End {
  readonly address: string;
  readonly pod: Pod | undefined;
}

export interface PolicySurroundings {
  readonly objects: PolicyObjects;
  /** Where the pod wants to go. */
  readonly destination: Destination;
  /** A sidecar or gateway answers in the pod's place. */
  readonly isProxied: boolean;
  /** How the nodes' rules take the connection to a Service; undefined: straight to the endpoint. */
  readonly way?: Pick<ServiceWay, "expected" | "nodeName" | "nodeIP"> | undefined;
}

/** What becomes of a pod's request, less what policies refuse. */
export function withPolicies(
  followed: Followed,
  from: Pod,
  { objects, destination, isProxied, way }: PolicySurroundings,
): Followed {
  const { outcome } = followed;
  if (outcome.kind === "leaves") {
    const by = refusalOf(from, destination, objects);
    return by === "" ? followed : { ...followed, outcome: dropped(by, false) };
  }
  const judge = (endpoint: EndpointState): EndpointState => ({
    ...endpoint,
    refusedBy:
      way === undefined
        ? refusalOf(from, endpoint, objects)
        : refusalAlong(way, { from, endpoint, destination, objects }),
  });
  const shares = followed.shares.map((share) =>
    share.endpoints === undefined ? share : { ...share, endpoints: share.endpoints.map(judge) },
  );
  const serving = shares.flatMap(({ endpoints = [] }) => endpoints.filter((endpoint) => endpoint.serving));
  const [first] = serving;
  const isDropped = outcome.kind === "forwarded" && serving.every(({ refusedBy }) => refusedBy !== "");
  if (!isDropped || first === undefined) return { ...followed, shares };
  return { ...followed, shares, outcome: dropped(first.refusedBy, isProxied) };
}

function dropped(by: string, isProxied: boolean): Outcome {
  const why = `the connection is dropped, ${by} does not allow it`;
  return isProxied ? { kind: "answered", status: 503, flag: "UF", why } : { kind: "fails", why };
}

/** The node's resolver, as policies know it. */
const resolver: Pod = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "kube-dns", namespace: resolverPod.namespace, labels: resolverPod.labels },
  spec: {
    containers: [
      {
        name: "dns",
        image: "",
        ports: resolverPod.ports.map(({ port, ...named }) => ({ ...named, containerPort: port })),
      },
    ],
  },
};

/** The policies that keep a pod from its node's resolver, so that no name resolves; empty: none does. */
export function policiesAgainstDNS(from: Pod, objects: PolicyObjects): readonly NetworkPolicy[] {
  const peer = { address: addresses.dns, pod: resolver };
  const question = { isolated: from, peer, called: resolver, protocol: "UDP", port: 53 } as const;
  return refusingPolicies("Egress", question, objects);
}

/** Which policies keep a pod from its node's resolver, in words; empty: none does. */
export function dnsRefusalOf(from: Pod, objects: PolicyObjects): string {
  return formatRefusal("Egress", from, policiesAgainstDNS(from, objects));
}

/** Which policies refuse a TCP connection of a pod, and which way; empty: none does. */
export function refusalOf(from: Pod, { address, port }: Destination, objects: PolicyObjects): string {
  const target = runningAt(address, objects);
  // Nothing keeps a pod from itself.
  if (target !== undefined && target.metadata.uid === from.metadata.uid) return "";
  const source: End = { address: from.status?.podIP ?? "", pod: from };
  const destination: End = { address, pod: target };
  const call = { port, protocol: "TCP", called: target } as const;
  return (
    refusal("Egress", { isolated: from, peer: destination, ...call }, objects) ||
    (target === undefined ? "" : refusal("Ingress", { isolated: target, peer: source, ...call }, objects))
  );
}

interface Along {
  readonly from: Pod;
  readonly endpoint: EndpointState;
  readonly destination: Destination;
  readonly objects: PolicyObjects;
}

/**
 * By what each node sees: the caller's node sees the address of another node where that one translates it, and the
 * endpoint's node sees the translating node where that one masquerades.
 */
function refusalAlong(
  { expected, nodeName, nodeIP }: NonNullable<PolicySurroundings["way"]>,
  { from, endpoint, destination, objects }: Along,
): string {
  const isMasqueraded = expected.kind === "dnat" && expected.isMasqueraded && endpoint.node !== nodeName;
  const isElsewhere = nodeName !== from.spec.nodeName;
  if (!isMasqueraded && !isElsewhere) return refusalOf(from, endpoint, objects);
  const target = runningAt(endpoint.address, objects);
  const isItself = target !== undefined && target.metadata.uid === from.metadata.uid;
  const seen = isElsewhere
    ? { peer: { address: destination.address, pod: undefined }, port: destination.port, called: undefined }
    : { peer: { address: endpoint.address, pod: target }, port: endpoint.port, called: target };
  const out = isItself && !isElsewhere ? "" : refusal("Egress", { isolated: from, protocol: "TCP", ...seen }, objects);
  // A node reaches its own pods whatever policies say, but what another node masquerades is not its own.
  const peer = isMasqueraded ? { address: nodeIP, pod: undefined } : { address: from.status?.podIP ?? "", pod: from };
  const to = { port: endpoint.port, protocol: "TCP", called: target } as const;
  return out || (target === undefined ? "" : refusal("Ingress", { isolated: target, peer, ...to }, objects));
}

function runningAt(address: string, { pods }: PolicyObjects): Pod | undefined {
  return pods.find(({ status }) => status?.podIP === address && status.phase === "Running");
}

interface Judged {
  /** Whose policies these are. */
  readonly isolated: Pod;
  readonly peer: End;
  readonly protocol: "TCP" | "UDP";
  readonly port: number;
  /** Whose ports the names are. */
  readonly called: Pod | undefined;
}

function refusal(direction: Direction, judged: Judged, objects: PolicyObjects): string {
  return formatRefusal(direction, judged.isolated, refusingPolicies(direction, judged, objects));
}

function formatRefusal(direction: Direction, { metadata }: Pod, policies: readonly NetworkPolicy[]): string {
  if (policies.length === 0) return "";
  const names = policies.map((policy) => `${policy.metadata.namespace}/${policy.metadata.name}`);
  return `NetworkPolicy ${names.join(" or ")} (${direction.toLowerCase()} of ${metadata.namespace}/${metadata.name})`;
}

/** All policies of the pod when none of them allows it, else none. */
function refusingPolicies(
  direction: Direction,
  { isolated, peer, called, ...to }: Judged,
  objects: PolicyObjects,
): readonly NetworkPolicy[] {
  const { namespace = "" } = isolated.metadata;
  const policies = objects.networkPolicies.filter(
    (policy) =>
      policy.metadata.namespace === namespace &&
      typesOf(policy).includes(direction) &&
      matchesLabels(toRequirements(policy.spec?.podSelector ?? {}), isolated.metadata.labels),
  );
  const isAllowed = policies.some((policy) =>
    rulesOf(policy, direction).some(
      ({ peers, ports }) =>
        (peers.length === 0 || peers.some((each) => isPeer(each, peer, { namespace, objects }))) &&
        (ports.length === 0 || ports.some((each) => isPort(each, to, called))),
    ),
  );
  return isAllowed ? [] : policies;
}

function rulesOf({ spec }: NetworkPolicy, direction: Direction): readonly Rule[] {
  if (direction === "Ingress")
    return (spec?.ingress ?? []).map(({ from = [], ports = [] }) => ({ peers: from, ports }));
  return (spec?.egress ?? []).map(({ to = [], ports = [] }) => ({ peers: to, ports }));
}

function isPeer(
  { ipBlock, podSelector = {}, namespaceSelector }: NetworkPolicyPeer,
  { address, pod }: End,
  { namespace, objects }: { readonly namespace: string; readonly objects: PolicyObjects },
): boolean {
  if (ipBlock !== undefined)
    return isWithin(address, ipBlock.cidr) && !(ipBlock.except ?? []).some((hole) => isWithin(address, hole));
  if (pod === undefined || !matchesLabels(toRequirements(podSelector), pod.metadata.labels)) return false;
  if (namespaceSelector === undefined) return pod.metadata.namespace === namespace;
  const its = objects.namespaces.find(({ metadata }) => metadata.name === pod.metadata.namespace);
  return its !== undefined && matchesLabels(toRequirements(namespaceSelector), its.metadata.labels);
}

function isWithin(address: string, cidr: string): boolean {
  const [network = "", bits = ""] = cidr.split("/");
  const family = isIPv4(network) ? "ipv4" : "ipv6";
  if (isIPv4(address) !== (family === "ipv4")) return false;
  const block = new BlockList();
  block.addSubnet(network, Number(bits), family);
  return block.check(address, family);
}

/** A name is one of the called pod's ports. */
function isPort(
  { protocol = "TCP", port, endPort }: NetworkPolicyPort,
  to: Pick<Judged, "protocol" | "port">,
  called: Pod | undefined,
): boolean {
  if (protocol !== to.protocol) return false;
  if (port === undefined) return true;
  if (typeof port === "number") return to.port >= port && to.port <= (endPort ?? port);
  const named = (called?.spec.containers ?? []).flatMap(({ ports = [] }) => ports);
  return named.some(
    ({ name, containerPort, protocol: own = "TCP" }) => name === port && containerPort === to.port && own === protocol,
  );
}
