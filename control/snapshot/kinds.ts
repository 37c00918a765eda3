/**
 * The kinds that the snapshot reads.
 *
 *   informers of these ─▶ index.ts onEvent()
 */
import { replicaSets } from "#api/apps/replicaset.ts";
import { namespaces } from "#api/core/namespace.ts";
import { services } from "#api/core/service.ts";
import { gatewayClasses, gateways } from "#api/gateway/gateway.ts";
import { ingresses } from "#api/networking/ingress.ts";
import { ingressClasses } from "#api/networking/ingress-class.ts";
import { pods } from "#api/core/pod.ts";
import { endpointSlices } from "#api/discovery/endpointslice.ts";
import { httpRoutes } from "#api/gateway/httproute.ts";
import type { KindRef } from "#api/kind.ts";
import type { KindName } from "./objects.ts";

/** The kinds that the snapshot reads; each must be reported synced before anything is pushed. */
export const snapshotKinds: readonly KindRef[] = [
  services,
  endpointSlices,
  pods,
  replicaSets,
  namespaces,
  httpRoutes,
  gateways,
  gatewayClasses,
  ingressClasses,
  ingresses,
];

/** The name under which objects.ts keeps the kind. Ingresses are kept as the routes that they become. */
export function kindNameOf({ group, plural }: KindRef): KindName | undefined {
  if (group === ingresses.group) return undefined;
  return snapshotKinds.some((kind) => kind.group === group && kind.plural === plural)
    ? (plural as KindName)
    : undefined;
}
