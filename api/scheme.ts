/**
 * The registry of the kinds that Wherry serves.
 *
 *   core/*.ts, apps/*.ts, … ─▶ scheme ─▶ control/apiserver (paths, discovery), control/watch (caches), cli (names)
 */
import { controllerRevisions } from "./apps/controller-revision.ts";
import { daemonSets } from "./apps/daemonset.ts";
import { deployments } from "./apps/deployment.ts";
import { replicaSets } from "./apps/replicaset.ts";
import { jobs } from "./batch/job.ts";
import { leases } from "./coordination/lease.ts";
import { configMaps } from "./core/configmap.ts";
import { endpoints } from "./core/endpoints.ts";
import { events } from "./core/event.ts";
import { namespaces } from "./core/namespace.ts";
import { nodes } from "./core/node.ts";
import { pods } from "./core/pod.ts";
import { replicationControllers } from "./core/replication-controller.ts";
import { secrets } from "./core/secret.ts";
import { serviceAccounts } from "./core/service-account.ts";
import { services } from "./core/service.ts";
import { endpointSlices } from "./discovery/endpointslice.ts";
import { gatewayClasses, gateways } from "./gateway/gateway.ts";
import { httpRoutes } from "./gateway/httproute.ts";
import { apiVersionOf, type KindRef } from "./kind.ts";
import { ingresses } from "./networking/ingress.ts";
import { ingressClasses } from "./networking/ingress-class.ts";
import { networkPolicies } from "./networking/network-policy.ts";
import { podDisruptionBudgets } from "./policy/poddisruptionbudget.ts";
import type { Kind } from "./schema/kind.ts";

/** All kinds, in the order in which discovery lists them. */
export const kinds: readonly Kind[] = [
  namespaces,
  nodes,
  pods,
  services,
  configMaps,
  secrets,
  serviceAccounts,
  events,
  endpoints,
  replicationControllers,
  deployments,
  replicaSets,
  daemonSets,
  controllerRevisions,
  jobs,
  leases,
  ingresses,
  ingressClasses,
  networkPolicies,
  podDisruptionBudgets,
  endpointSlices,
  gatewayClasses,
  gateways,
  httpRoutes,
];

const byResource = new Map(kinds.map((kind) => [resourceKey(kind.group, kind.version, kind.plural), kind]));
const byName = new Map(kinds.map((kind) => [`${apiVersionOf(kind)} ${kind.kind}`, kind]));

/** The kind at `/apis/<group>/<version>/<plural>`; the core group is empty. */
export function kindByResource(group: string, version: string, plural: string): Kind | undefined {
  return byResource.get(resourceKey(group, version, plural));
}

/** The kind of objects with this `apiVersion` and `kind`. */
export function kindByName(apiVersion: string, kind: string): Kind | undefined {
  return byName.get(`${apiVersion} ${kind}`);
}

/** The full description behind a reference. */
export function kindOf(ref: KindRef): Kind | undefined {
  return kindByResource(ref.group, ref.version, ref.plural);
}

function resourceKey(group: string, version: string, plural: string): string {
  return `${group}/${version}/${plural}`;
}
