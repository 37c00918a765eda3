/**
 * The way of a connection without a sidecar: by the node's rules, as the node proxy makes them of the same objects.
 * Pure.
 *
 *   Service, EndpointSlices ─▶ followNode() ─▶ shares, outcome
 */
import type { Service, ServicePort } from "#api/core/service.ts";
import type { EndpointSlice } from "#api/discovery/endpointslice.ts";
import { serviceResourceOf } from "#api/wire/service-join.ts";
import type { EndpointSpec } from "#proxy/l7/endpoint.ts";
import { isPerRequest } from "../../../proxy/requests/choice.ts";
import type { EgressDecision } from "../../launcher/egress-policy.ts";
import type { ClusterObjects } from "../observation.ts";
import type { Outcome, Share } from "./explanation.ts";
import type { DescribeEndpoint, Destination, Followed } from "./sidecar-path.ts";

/** The Service behind an address: by its ClusterIP, or headless by an endpoint of its own. */
export function serviceAt(address: string, name: string, objects: ClusterObjects): Service | undefined {
  const byIP = objects.services.find(({ spec }) => (spec.clusterIPs ?? [spec.clusterIP]).includes(address));
  return (
    byIP ?? objects.services.find(({ metadata }) => name === `${metadata.name}.${metadata.namespace}.svc.cluster.local`)
  );
}

export interface NodeSurroundings {
  readonly objects: ClusterObjects;
  readonly describe: DescribeEndpoint;
  /** What the launcher would say to a connection that leaves the cluster. */
  readonly egress: (destination: Destination) => EgressDecision;
}

/** Where the node's rules would send it. `service` undefined: it leaves the cluster, or is a pod's address. */
export function followNode(
  service: Service | undefined,
  destination: Destination,
  { objects, describe, egress }: NodeSurroundings,
): Followed {
  const end = (outcome: Outcome, shares: readonly Share[] = []): Followed => ({
    listener: undefined,
    route: undefined,
    shares,
    outcome,
  });
  if (service === undefined || service.spec.clusterIP === "None") {
    const pod = objects.pods.find(({ status }) => status?.podIP === destination.address);
    if (pod === undefined) return end(outsideOutcome(destination, egress(destination)));
    const spec = { ...destination, workload: "", isServing: true, priority: 0 };
    return end({ kind: "forwarded" }, [{ cluster: "the pod itself", share: 1, endpoints: [describe(spec)] }]);
  }
  const port = (service.spec.ports ?? []).find((each) => each.port === destination.port);
  const name = `${service.metadata.namespace}/${service.metadata.name}`;
  if (port === undefined) {
    const ports = (service.spec.ports ?? []).map((each) => each.port).join(", ");
    return end({ kind: "fails", why: `Service ${name} has no port ${destination.port}, wanted one of ${ports}` });
  }
  const endpoints = endpointsOf(service, port, objects.endpointSlices).map(describe);
  const shares: readonly Share[] = [{ cluster: `service ${name}${howBalanced(service, port)}`, share: 1, endpoints }];
  if (endpoints.some(({ serving }) => serving)) return end({ kind: "forwarded" }, shares);
  return end({ kind: "fails", why: `Service ${name} has no ready endpoint: the connection is refused` }, shares);
}

/** Said where it is not the usual: one connection, one endpoint. */
function howBalanced(service: Service, { port }: ServicePort): string {
  const resource = serviceResourceOf(service, []);
  const found = resource.ports.find((each) => each.port === port);
  const isEach = found !== undefined && isPerRequest(resource, found);
  return isEach ? ", each request by the node's HTTP engine" : "";
}

function outsideOutcome({ address, port }: Destination, decision: EgressDecision): Outcome {
  if (decision.kind === "refuse")
    return { kind: "fails", why: `the connection to ${address}:${port} is reset: ${decision.reason}` };
  return { kind: "leaves", destination: `${decision.address}:${decision.port}` };
}

function endpointsOf(service: Service, port: ServicePort, slices: readonly EndpointSlice[]): EndpointSpec[] {
  const own = slices.filter(
    ({ metadata }) =>
      metadata.namespace === service.metadata.namespace &&
      metadata.labels?.["kubernetes.io/service-name"] === service.metadata.name,
  );
  return own.flatMap(({ ports = [], endpoints }) => {
    const target = ports.find(({ name = "" }) => name === (port.name ?? ""))?.port;
    if (target === undefined) return [];
    return endpoints.flatMap(({ addresses, conditions }) =>
      addresses.map((address) => ({
        address,
        port: target,
        workload: "",
        isServing: conditions?.ready !== false,
        priority: 0,
      })),
    );
  });
}
