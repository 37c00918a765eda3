/**
 * What is wrong with Services, workloads, Gateways and routes. Pure.
 *
 *   ClusterObjects, published ports ─▶ findingsOfObjects() ─▶ Finding[]
 */
import type { Event } from "#api/core/event.ts";
import { type Pod, isPodFinished } from "#api/core/pod.ts";
import type { Service } from "#api/core/service.ts";
import type { Gateway } from "#api/gateway/gateway.ts";
import type { HTTPRoute } from "#api/gateway/httproute.ts";
import type { Condition, IntOrString, KubeObject } from "#api/meta.ts";
import type { Ingress, IngressBackend } from "#api/networking/ingress.ts";
import { matchesSelector } from "#api/selector.ts";
import { isOurIngress } from "../../control/snapshot/ingress.ts";
import type { PublishedPort } from "../ipc.ts";
import { type Finding, type Subject, count, find } from "./finding.ts";
import type { ClusterObjects } from "./observation.ts";
import { findingsOfPod } from "./pod-findings.ts";
import { findingsOfPolicies } from "./policy-findings.ts";

/** Time for a controller to look at a new object before its silence is a finding, in ms. */
const settleMs = 3000;

/** Everything that is wrong with objects, pods first. */
export function findingsOfObjects(
  objects: ClusterObjects,
  published: readonly PublishedPort[],
  nowMs: number,
): Finding[] {
  const warnings = eventsByObject(objects.events, ({ type }) => type === "Warning");
  const hostPorts = eventsByObject(objects.events, ({ reason = "" }) => reason.startsWith("HostPort"));
  return [
    ...objects.pods.flatMap((pod) => findingsOfPod(pod, warnings.get(pod.metadata.uid ?? "") ?? [], nowMs)),
    ...workloads(objects),
    ...objects.services.flatMap((service) => [
      ...backing(service, objects, nowMs),
      ...hostPort(service, hostPorts.get(service.metadata.uid ?? "") ?? []),
    ]),
    ...objects.gateways.flatMap(gatewayFindings),
    ...objects.httpRoutes.flatMap((route) => routeFindings(route, nowMs)),
    ...objects.ingresses.flatMap((ingress) => ingressFindings(ingress, objects, nowMs)),
    ...findingsOfPolicies(objects),
    ...published.flatMap((port) => targetFinding(port, objects) ?? []),
  ];
}

/** Events by the uid of what they are about, oldest first. */
function eventsByObject(
  events: readonly Event[],
  isWanted: (event: Event) => boolean,
): ReadonlyMap<string, readonly Event[]> {
  const sorted = events.filter(isWanted).sort((a, b) => ((a.lastTimestamp ?? "") < (b.lastTimestamp ?? "") ? -1 : 1));
  return Map.groupBy(sorted, ({ involvedObject }) => involvedObject.uid ?? "");
}

function subjectOf(kind: string, { metadata }: KubeObject): Subject {
  return { kind, name: metadata.name, namespace: metadata.namespace ?? "default" };
}

function workloads({ deployments, daemonSets, jobs }: ClusterObjects): Finding[] {
  const short = (kind: string, object: KubeObject, has: number, wants: number): Finding[] =>
    has >= wants ? [] : [find("ReplicasMissing", subjectOf(kind, object), `${has} of ${wants} available`)];
  return [
    ...deployments.flatMap((object) => {
      const { spec, status } = object;
      return short("deployment", object, status?.availableReplicas ?? 0, spec.replicas ?? 1);
    }),
    ...daemonSets.flatMap((object) => {
      const { numberAvailable = 0, desiredNumberScheduled = 0 } = object.status ?? {};
      return short("daemonset", object, numberAvailable, desiredNumberScheduled);
    }),
    ...jobs.flatMap((job) => {
      const failed = job.status?.conditions?.find(({ type, status }) => type === "Failed" && status === "True");
      return failed === undefined ? [] : [find("JobFailed", subjectOf("job", job), failed.message ?? "")];
    }),
  ];
}

/** Whether somebody is behind a Service. */
function backing(service: Service, { pods, endpointSlices }: ClusterObjects, nowMs: number): Finding[] {
  const { spec, metadata } = service;
  if (spec.type === "ExternalName" || isNew(service, nowMs)) return [];
  const slices = endpointSlices.filter(
    (slice) =>
      slice.metadata.namespace === metadata.namespace &&
      slice.metadata.labels?.["kubernetes.io/service-name"] === metadata.name,
  );
  const subject = subjectOf("service", service);
  const { selector: matchLabels } = spec;
  const selected = matchLabels === undefined ? [] : podsOf(service, matchLabels, pods);
  const unknown = (spec.ports ?? []).filter(({ targetPort }) => selected.length > 0 && !hasPort(selected, targetPort));
  if (unknown.length > 0) {
    const names = unknown.map(({ targetPort }) => String(targetPort)).join(", ");
    return [find("TargetPortMissing", subject, `none of ${count(selected.length, "pod")} has a port ${names}`)];
  }
  const ready = slices.flatMap(({ endpoints }) => endpoints).filter(({ conditions }) => conditions?.ready !== false);
  if (ready.length > 0) return [];
  if (matchLabels === undefined) return [find("NoReadyEndpoint", subject, "no EndpointSlice has an address for it")];
  const text = Object.entries(matchLabels).map(([key, value]) => `${key}=${value}`);
  if (selected.length === 0) return [find("SelectorMatchesNothing", subject, `selector ${text.join(",")}`)];
  return [find("NoReadyEndpoint", subject, `${count(selected.length, "pod")}, none ready`)];
}

function podsOf({ metadata }: Service, matchLabels: Readonly<Record<string, string>>, pods: readonly Pod[]): Pod[] {
  return pods.filter(
    (pod) =>
      pod.metadata.namespace === metadata.namespace &&
      !isPodFinished(pod) &&
      matchesSelector({ matchLabels }, pod.metadata.labels ?? {}),
  );
}

/** Numbers need no declaration. */
function hasPort(pods: readonly Pod[], targetPort: IntOrString | undefined): boolean {
  if (typeof targetPort !== "string") return true;
  const containers = pods.flatMap(({ spec }) => spec.containers);
  return containers.some(({ ports = [] }) => ports.some(({ name }) => name === targetPort));
}

function isNew({ metadata }: KubeObject, nowMs: number): boolean {
  return nowMs - Date.parse(metadata.creationTimestamp ?? "") < settleMs;
}

/** What was said last counts. */
function hostPort(service: Service, said: readonly Event[]): Finding[] {
  const wants = service.spec.type === "NodePort" || service.spec.type === "LoadBalancer";
  const last = wants ? said.at(-1) : undefined;
  if (last?.reason !== "HostPortNotPublished") return [];
  return [find("HostPortTaken", subjectOf("service", service), last.message ?? "")];
}

function failed(conditions: readonly Condition[] | undefined, ...types: readonly string[]): Condition | undefined {
  return conditions?.find(({ type, status }) => types.includes(type) && status === "False");
}

const wordsOf = ({ reason = "", message = "" }: Condition): string => (message === "" ? reason : message);

function gatewayFindings(gateway: Gateway): Finding[] {
  const subject = subjectOf("gateway", gateway);
  const listeners = (gateway.status?.listeners ?? []).flatMap(({ name, conditions }) => {
    const bad = failed(conditions, "Accepted", "ResolvedRefs", "Programmed");
    return bad === undefined ? [] : [find("ListenerRefused", subject, `listener ${name}: ${wordsOf(bad)}`)];
  });
  const bad = failed(gateway.status?.conditions, "Accepted", "Programmed");
  // What a listener says is the cause.
  if (bad === undefined || listeners.length > 0) return listeners;
  return [find("GatewayRefused", subject, wordsOf(bad))];
}

function routeFindings(route: HTTPRoute, nowMs: number): Finding[] {
  const subject = subjectOf("httproute", route);
  const parents = route.status?.parents ?? [];
  if (parents.length === 0) {
    if (isNew(route, nowMs)) return [];
    const names = (route.spec.parentRefs ?? []).map(({ kind = "Gateway", name }) => `${kind} ${name}`);
    return [find("RouteRefused", subject, `no parent takes it, wanted ${names.join(", ") || "spec.parentRefs"}`)];
  }
  return parents.flatMap(({ conditions }) => {
    const refused = failed(conditions, "Accepted");
    if (refused !== undefined) return [find("RouteRefused", subject, wordsOf(refused))];
    const missing = failed(conditions, "ResolvedRefs");
    return missing === undefined ? [] : [find("BackendMissing", subject, wordsOf(missing))];
  });
}

function ingressFindings(ingress: Ingress, objects: ClusterObjects, nowMs: number): Finding[] {
  if (isNew(ingress, nowMs)) return [];
  const subject = subjectOf("ingress", ingress);
  const classes = new Map(objects.ingressClasses.map((each) => [each.metadata.name, each]));
  if (!isOurIngress(ingress, classes)) {
    const { ingressClassName: name } = ingress.spec;
    if (name === undefined) return [find("IngressUnserved", subject, "it names no class, and none is the default")];
    // A class that exists is another controller's to serve.
    return classes.has(name) ? [] : [find("IngressUnserved", subject, `there is no class ${name}`)];
  }
  const { defaultBackend, rules = [] } = ingress.spec;
  const paths = rules.flatMap(({ http }) => http?.paths ?? []);
  const backends = [...(defaultBackend === undefined ? [] : [defaultBackend]), ...paths.map(({ backend }) => backend)];
  return backends.flatMap(({ service }) => {
    const problem = service === undefined ? undefined : backendProblem(service, ingress, objects.services);
    const hint = "create the Service, or correct spec.rules: wherry get ingress NAME -n NS -o yaml";
    return problem === undefined ? [] : [find("BackendMissing", subject, problem, hint)];
  });
}

function backendProblem(
  { name, port }: NonNullable<IngressBackend["service"]>,
  { metadata }: Ingress,
  services: readonly Service[],
): string | undefined {
  const service = services.find(
    (each) => each.metadata.namespace === metadata.namespace && each.metadata.name === name,
  );
  if (service === undefined) return `there is no Service ${name}`;
  const isThere = (service.spec.ports ?? []).some(
    (each) => each.port === port?.number || (port?.name !== undefined && each.name === port.name),
  );
  return isThere ? undefined : `Service ${name} has no port ${port?.number ?? port?.name ?? ""}`;
}

function targetFinding(port: PublishedPort, { services, gateways }: ClusterObjects): Finding | undefined {
  const { kind, namespace, name, hostAddress, hostPort: at } = port;
  const isNamed = ({ metadata }: KubeObject): boolean => metadata.namespace === namespace && metadata.name === name;
  const ports = kind === "svc" ? services.find(isNamed)?.spec.ports : gateways.find(isNamed)?.spec.listeners;
  const numbers = ports?.map((each) => each.port);
  if (numbers?.includes(port.port) === true) return undefined;
  const subject = { kind: "published port", name: `${hostAddress}:${at}` };
  const missing =
    numbers === undefined ? `no ${kind} ${namespace}/${name}` : `${kind} ${namespace}/${name} has no port ${port.port}`;
  return find("PublishedTargetMissing", subject, missing);
}
