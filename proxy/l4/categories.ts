/**
 * Which endpoints of a Service port new connections may go to. Pure.
 *
 *   ServiceResource + port + NodeFacts ─▶ categorize ─▶ { cluster, local, hasAny }
 *
 * Follows kubernetes pkg/proxy/topology.go: ready endpoints first; where there is none, those that serve while
 * terminating, decided for both policies apart (KEP-1669). Hints narrow the cluster's endpoints only when every ready
 * endpoint has one and one of them is for this node or its zone (KEP-2433, KEP-4444).
 */
import type { ServiceResource, ServiceResourceEndpoint, ServiceResourcePort } from "#api/wire/service.ts";
import type { NodeFacts } from "./facts.ts";
import { type Family, familyOf, normalizeAddress } from "./ip.ts";

/** An endpoint of one port. */
export interface Target {
  readonly address: string;
  readonly port: number;
  /** Whether it is known to be on another node. */
  readonly isElsewhere?: boolean;
}

export interface Categories {
  /** For policy Cluster. */
  readonly cluster: readonly Target[];
  /** For policy Local. */
  readonly local: readonly Target[];
  /** Whether there is an endpoint that may be used anywhere: without one, Local rejects instead of dropping. */
  readonly hasAny: boolean;
  /** May keep the flows that they have: all that still serve. None for TCP, whose flows nobody ends. */
  readonly serving: readonly Target[];
}

const nobody: readonly Target[] = [];

/** An endpoint with where it is reached, read once. */
interface Candidate {
  readonly endpoint: ServiceResourceEndpoint;
  readonly target: Target;
}

/** The endpoints of one family that serve `port`, each once. */
export function categorize(
  service: ServiceResource,
  port: ServiceResourcePort,
  family: Family,
  facts: NodeFacts,
): Categories {
  const all = candidatesOf(service, port, family, facts);
  const isReady = ({ endpoint }: Candidate): boolean => endpoint.ready || service.publishNotReadyAddresses;
  const isLocal = ({ endpoint }: Candidate): boolean =>
    endpoint.nodeName !== "" && endpoint.nodeName === facts.nodeName;
  const isLeaving = ({ endpoint }: Candidate): boolean => endpoint.serving && endpoint.terminating;
  const ready = all.filter(isReady);
  const cluster = ready.length > 0 ? preferNear(ready, facts) : all.filter(isLeaving);
  const readyHere = ready.filter(isLocal);
  const local = readyHere.length > 0 ? readyHere : all.filter((each) => isLeaving(each) && isLocal(each));
  return {
    cluster: cluster.map(toTarget),
    local: local.length === 0 ? nobody : local.map(toTarget),
    hasAny: cluster.length > 0,
    // Flows of TCP end by themselves.
    serving:
      port.protocol === "TCP" ? nobody : all.filter((each) => isReady(each) || each.endpoint.serving).map(toTarget),
  };
}

/** Endpoints of this node that are ready, whatever their ports: what a health check node port reports. */
export function localReadyCount({ endpoints }: ServiceResource, { nodeName }: NodeFacts): number {
  return endpoints.filter((endpoint) => endpoint.ready && nodeName !== "" && endpoint.nodeName === nodeName).length;
}

function preferNear(ready: readonly Candidate[], { nodeName, zone }: NodeFacts): readonly Candidate[] {
  const here = ready.filter(({ endpoint }) => endpoint.hintNodes.includes(nodeName));
  if (here.length > 0 && ready.every(({ endpoint }) => endpoint.hintNodes.length > 0)) return here;
  const near = zone === "" ? [] : ready.filter(({ endpoint }) => endpoint.hintZones.includes(zone));
  if (near.length > 0 && ready.every(({ endpoint }) => endpoint.hintZones.length > 0)) return near;
  return ready;
}

/** Each address and port once: the last one that names it. */
function candidatesOf(
  service: ServiceResource,
  port: ServiceResourcePort,
  family: Family,
  { nodeName }: NodeFacts,
): readonly Candidate[] {
  const found: Candidate[] = [];
  let isAscending = true;
  for (const endpoint of service.endpoints) {
    const number = endpoint.ports[port.name];
    const address = normalizeAddress(endpoint.address);
    if (number === undefined || !isPort(number) || address === undefined || familyOf(address) !== family) continue;
    const isElsewhere = nodeName !== "" && endpoint.nodeName !== "" && endpoint.nodeName !== nodeName;
    isAscending &&= found.length === 0 || found.at(-1)!.target.address < address;
    found.push({ endpoint, target: { address, port: number, isElsewhere } });
  }
  // As a push has them: sorted, each once. That is seen without a key for each.
  if (isAscending) return found;
  return [...new Map(found.map((each) => [`${each.target.address} ${each.target.port}`, each])).values()];
}

function toTarget({ target }: Candidate): Target {
  return target;
}

/** Whether the number can be a port. */
export function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 1 && port <= 65_535;
}
