/**
 * What is wrong with a running cluster. Pure.
 *
 *   Observation ─▶ diagnose() ─▶ Finding[], causes before consequences
 */
import { sidecarInjected, sidecarStatusAnnotation } from "#api/core/pod.ts";
import { gatewayNameLabel } from "#api/gateway/gateway.ts";
import { type Finding, count, find, forCluster } from "./finding.ts";
import { findingsOfObjects } from "./object-findings.ts";
import type { Certificate, ClusterObjects, NodeProbe, Observation } from "./observation.ts";
import { type ClientSync, clientsOf } from "./sync-page.ts";

const dayMs = 86_400_000;
/** A clock that is steered moves by less, in ms. */
const clockShiftMsMax = 5000;
/** A restart is told for this long, in ms. */
const restartToldMs = 10 * 60_000;

/** Everything that is wrong, the processes first, the objects last. */
export function diagnose(seen: Observation): Finding[] {
  const found = [
    ...processes(seen),
    ...api(seen),
    ...clock(seen),
    ...seen.certificates.flatMap((certificate) => certificateFinding(certificate, seen.nowMs) ?? []),
    ...nodeConditions(seen.objects),
    ...seen.nodes.flatMap(nodeFindings),
    ...(seen.sync === undefined ? [] : syncFindings(seen)),
    ...seen.sidecars.flatMap(({ namespace, pod, problem }) =>
      problem === undefined ? [] : [find("SidecarNotReady", { kind: "pod", name: pod, namespace }, problem)],
    ),
    // Without an API there are no objects, which is not to say that what was published is missing.
    ...(seen.api.kind === "ready" ? findingsOfObjects(seen.objects, seen.record.published, seen.nowMs) : []),
  ];
  return found.map((finding) => forCluster(finding, seen.cluster));
}

function processes({ processes: states, nowMs }: Observation): Finding[] {
  return states.flatMap(({ name, state, since, restarts, lastEnd = "unknown" }) => {
    const subject = { kind: "process", name };
    if (state === "waiting")
      return [find("ProcessDown", subject, `it ended with ${lastEnd}, ${count(restarts, "restart")}`)];
    if (restarts === 0 || nowMs - Date.parse(since) > restartToldMs) return [];
    return [
      find("ProcessRestarts", subject, `last with ${lastEnd}, ${count(restarts, "restart")}, ${state} since ${since}`),
    ];
  });
}

function api({ api: state, record, writeProblem }: Observation): Finding[] {
  const subject = { kind: "API", name: `https://${record.apiAddress}` };
  if (state.kind === "unreachable") return [find("APIUnreachable", subject, state.message)];
  if (state.kind === "unready") return [find("APINotReady", subject, state.message)];
  return writeProblem === undefined ? [] : [find("StoreRefusesWrites", subject, writeProblem)];
}

function clock({ clockShiftMs }: Observation): Finding[] {
  if (Math.abs(clockShiftMs) < clockShiftMsMax) return [];
  const seconds = Math.round(clockShiftMs / 1000);
  return [find("ClockSet", { kind: "clock", name: "" }, `by ${seconds > 0 ? "+" : ""}${seconds} s since the start`)];
}

function certificateFinding({ name, notBeforeMs, notAfterMs }: Certificate, nowMs: number): Finding | undefined {
  const subject = { kind: "certificate", name };
  if (nowMs < notBeforeMs)
    return find("CertificateNotYetValid", subject, `valid from ${new Date(notBeforeMs).toISOString()}`);
  const until = `until ${new Date(notAfterMs).toISOString()}`;
  if (nowMs > notAfterMs) return find("CertificateExpired", subject, `valid ${until}`);
  return notAfterMs - nowMs < 14 * dayMs ? find("CertificateExpiresSoon", subject, `valid ${until}`) : undefined;
}

function nodeConditions({ nodes }: ClusterObjects): Finding[] {
  return nodes.flatMap(({ metadata: { name }, status }) => {
    const ready = status?.conditions?.find(({ type }) => type === "Ready");
    if (ready?.status === "True") return [];
    return [find("NodeNotReady", { kind: "node", name }, ready?.message ?? ready?.reason ?? "it never reported")];
  });
}

function nodeFindings({ node, tables, service, dns, upstream }: NodeProbe): Finding[] {
  const subject = { kind: "node", name: node };
  return [
    ...(tables.problem === undefined ? [] : [find("RulesUnreadable", subject, tables.problem)]),
    ...(tables.missing ? [find("RulesMissing", subject, "no table ip wherry-proxy")] : []),
    ...(service === undefined ? [] : [find("ServiceNetworkBroken", subject, service)]),
    ...(dns === undefined ? [] : [find("DNSBroken", subject, dns)]),
    // Where nothing resolves, the upstream is not the cause.
    ...(upstream === undefined || dns !== undefined ? [] : [find("UpstreamBroken", subject, upstream)]),
  ];
}

function syncFindings({ sync, objects }: Observation): Finding[] {
  if (sync === undefined) return [];
  const clients = clientsOf(sync);
  const problems = Object.entries(sync.problems).map(([owner, problem]) => {
    const [kind = "", name = ""] = owner.split(":");
    return find("Untranslatable", { kind, name }, problem);
  });
  return [
    ...problems,
    ...clients.flatMap((client) => clientFinding(client) ?? []),
    ...missingClients(clients, objects).map((name) => find("ClientMissing", { kind: "proxy", name }, "")),
  ];
}

function clientFinding({ name, state, rejection, pending }: ClientSync): Finding | undefined {
  const subject = { kind: "proxy", name };
  if (state === "rejects") return find("PushRejected", subject, rejection);
  return state === "behind" ? find("PushBehind", subject, `${count(pending, "resource")} to be told`) : undefined;
}

/** The names of the clients that should be there and are not. */
function missingClients(clients: readonly ClientSync[], { nodes, pods }: ClusterObjects): string[] {
  const there = new Set(clients.map(({ name }) => name));
  const ofNodes = nodes.flatMap(({ metadata: { name } }) => [`${name}/proxy,dns`, `${name}/sidecars`]);
  const ofPods = pods
    .filter(({ metadata, status }) => status?.phase === "Running" && metadata.deletionTimestamp === undefined)
    .filter(hasSidecar)
    .map(({ metadata }) => `${metadata.namespace ?? "default"}/${metadata.name}`);
  return [...ofNodes, ...ofPods].filter((name) => !there.has(name));
}

/** Whether a pod has a sidecar, or is a gateway, which is one. */
export function hasSidecar({ metadata }: ClusterObjects["pods"][number]): boolean {
  const isInjected = metadata.annotations?.[sidecarStatusAnnotation] === sidecarInjected;
  return isInjected || metadata.labels?.[gatewayNameLabel] !== undefined;
}
