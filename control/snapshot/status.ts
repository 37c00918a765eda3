/**
 * What users read about their Gateways and HTTPRoutes: the status that the objects should have. Pure.
 *
 *   snapshot.objects ─▶ gatewayStatusOf(), httpRouteStatusOf(), … ─▶ a controller writes what differs
 *
 * Invariant: equal objects give equal statuses; times change only with a condition's status.
 * Source: Gateway API v1, condition types and reasons.
 */
import { gatewayController, type Gateway, type GatewayClass, type GatewayListener } from "#api/gateway/gateway.ts";
import type { HTTPRoute, ParentReference } from "#api/gateway/httproute.ts";
import { formatKey, keyOf } from "#api/meta.ts";
import { resolveBackend } from "./backend.ts";
import { tcpPortsOf } from "./cluster.ts";
import { toConditions, type ConditionDraft } from "./condition.ts";
import { attachmentsOf, problemOfListener, type Attachment } from "./gateway.ts";
import { problemOf } from "./http-route.ts";
import { attachesTo } from "./mesh-routes.ts";
import { parentKeyOf, type Objects } from "./objects.ts";

type GatewayStatus = NonNullable<Gateway["status"]>;
type HTTPRouteStatus = NonNullable<HTTPRoute["status"]>;

const routeKind = { group: "gateway.networking.k8s.io", kind: "HTTPRoute" };

/** Whether the Gateway's class is ours. */
export function isOurGateway(gateway: Gateway, { gatewayclasses }: Pick<Objects, "gatewayclasses">): boolean {
  return gatewayclasses.get(gateway.spec.gatewayClassName)?.spec.controllerName === gatewayController;
}

/** The status of a GatewayClass of ours. */
export function gatewayClassStatusOf(gatewayClass: GatewayClass, nowMs: number): NonNullable<GatewayClass["status"]> {
  const accepted = { type: "Accepted", status: true, reason: "Accepted" };
  const { generation } = gatewayClass.metadata;
  return { conditions: toConditions([accepted], gatewayClass.status?.conditions, { generation, nowMs }) };
}

/** The status of a Gateway of ours. `addresses`: where it is reached, empty while nothing serves it. */
export function gatewayStatusOf(
  gateway: Gateway,
  addresses: readonly string[],
  objects: Pick<Objects, "namespaces" | "routesOfParent">,
  nowMs: number,
): GatewayStatus {
  const attachments = attachmentsOf(gateway, objects);
  const at = { generation: gateway.metadata.generation, nowMs };
  const problems = gateway.spec.listeners.map((listener) => problemOfListener(listener, gateway));
  const served = problems.filter((problem) => problem === undefined).length;
  const isProgrammed = addresses.length > 0 && served > 0;
  const drafts: readonly ConditionDraft[] = [
    {
      type: "Accepted",
      status: served > 0,
      reason: served === problems.length ? "Accepted" : "ListenersNotValid",
      message: problems.flatMap((problem) => problem?.message ?? []).join("; "),
    },
    {
      type: "Programmed",
      status: isProgrammed,
      reason: isProgrammed ? "Programmed" : served === 0 ? "Invalid" : "AddressNotAssigned",
      message: isProgrammed ? "" : "Cannot serve yet: no address or no valid listener",
    },
  ];
  return {
    addresses: addresses.map((value) => ({ type: "IPAddress", value })),
    conditions: toConditions(drafts, gateway.status?.conditions, at),
    listeners: gateway.spec.listeners.map((listener) => listenerStatus(listener, gateway, attachments, at)),
  };
}

/**
 * The status of a route: one entry for each parentRef that is ours, and those of other controllers as they are.
 * Undefined when the route has no parent of ours and never had.
 */
export function httpRouteStatusOf(route: HTTPRoute, objects: Objects, nowMs: number): HTTPRouteStatus | undefined {
  const foreign = (route.status?.parents ?? []).filter((parent) => parent.controllerName !== gatewayController);
  const ours = (route.spec.parentRefs ?? []).flatMap((parentRef) => {
    const drafts = parentConditions(route, parentRef, objects);
    if (drafts === undefined) return [];
    const old = route.status?.parents.find(
      (parent) =>
        parent.controllerName === gatewayController && JSON.stringify(parent.parentRef) === JSON.stringify(parentRef),
    );
    const at = { generation: route.metadata.generation, nowMs };
    return [{ parentRef, controllerName: gatewayController, conditions: toConditions(drafts, old?.conditions, at) }];
  });
  return ours.length === 0 && route.status === undefined ? undefined : { parents: [...foreign, ...ours] };
}

function listenerStatus(
  listener: GatewayListener,
  gateway: Gateway,
  attachments: readonly Attachment[],
  at: { readonly generation: number | undefined; readonly nowMs: number },
): NonNullable<GatewayStatus["listeners"]>[number] {
  const problem = problemOfListener(listener, gateway);
  const isKindsBad = problem?.reason === "InvalidRouteKinds";
  const isConflict = problem?.reason === "HostnameConflict";
  const message = problem?.message ?? "";
  const attached = new Set(
    attachments.flatMap((one) => (one.kind === "attached" && one.hostnames.has(listener.name) ? [one.route] : [])),
  );
  const drafts: readonly ConditionDraft[] = [
    {
      type: "Accepted",
      status: problem === undefined || isKindsBad,
      reason: problem === undefined || isKindsBad ? "Accepted" : problem.reason,
      message: isKindsBad ? "" : message,
    },
    { type: "Conflicted", status: isConflict, reason: isConflict ? "HostnameConflict" : "NoConflicts" },
    {
      type: "ResolvedRefs",
      status: !isKindsBad,
      reason: isKindsBad ? "InvalidRouteKinds" : "ResolvedRefs",
      message: isKindsBad ? message : "",
    },
    {
      type: "Programmed",
      status: problem === undefined,
      reason: problem === undefined ? "Programmed" : "Invalid",
      message,
    },
  ];
  const old = gateway.status?.listeners?.find(({ name }) => name === listener.name)?.conditions;
  return {
    name: listener.name,
    attachedRoutes: attached.size,
    supportedKinds: listener.protocol === "HTTP" && !isKindsBad ? [routeKind] : [],
    conditions: toConditions(drafts, old, at),
  };
}

/** Undefined when the parent is somebody else's: another kind, or a Gateway of another class. */
function parentConditions(
  route: HTTPRoute,
  parent: ParentReference,
  objects: Objects,
): readonly ConditionDraft[] | undefined {
  const key = parentKeyOf(route, parent);
  if (key === undefined) return undefined;
  if (key.startsWith("Service:"))
    return [
      serviceAccepted(route, parent, key.slice("Service:".length), objects),
      resolvedRefs(route, "Service", objects),
    ];
  const gateway = objects.gateways.get(key.slice("Gateway:".length));
  if (gateway === undefined || !isOurGateway(gateway, objects)) return undefined;
  const attachment = attachmentsOf(gateway, objects).find((one) => one.route === route && one.parent === parent);
  return [gatewayAccepted(attachment), resolvedRefs(route, "Gateway", objects)];
}

function gatewayAccepted(attachment: Attachment | undefined): ConditionDraft {
  if (attachment === undefined || attachment.kind === "attached")
    return { type: "Accepted", status: true, reason: "Accepted" };
  return { type: "Accepted", status: false, reason: attachment.reason, message: attachment.message };
}

function serviceAccepted(route: HTTPRoute, parent: ParentReference, key: string, objects: Objects): ConditionDraft {
  const refuse = (reason: string, message: string): ConditionDraft => ({
    type: "Accepted",
    status: false,
    reason,
    message,
  });
  const service = objects.services.get(key);
  if (service === undefined) return refuse("NoMatchingParent", `Cannot attach to Service ${key}: no such Service`);
  if (!tcpPortsOf(service).some((port) => attachesTo(parent, port)))
    return refuse("NoMatchingParent", `Cannot attach to Service ${formatKey(keyOf(service))}: it has no such TCP port`);
  const problem = problemOf(route);
  if (problem !== undefined) return refuse("UnsupportedValue", problem);
  return { type: "Accepted", status: true, reason: "Accepted" };
}

function resolvedRefs(route: HTTPRoute, via: "Gateway" | "Service", objects: Objects): ConditionDraft {
  const backends = (route.spec.rules ?? [])
    .flatMap((rule) => rule.backendRefs ?? [])
    .map((ref) => resolveBackend(ref, route, via, objects));
  const missing = backends.find((backend) => backend.kind === "unresolved");
  return missing === undefined
    ? { type: "ResolvedRefs", status: true, reason: "ResolvedRefs" }
    : { type: "ResolvedRefs", status: false, reason: missing.reason, message: missing.message };
}
