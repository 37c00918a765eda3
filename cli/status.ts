/**
 * `wherry status`: what runs, which component is in sync with what, and which pods are not ready, with their reasons.
 *
 *   diagnosis/observe.ts ─▶ ClusterStatus ─▶ text, JSON. Exit 1 when the cluster does not run.
 */
import { type Node } from "#api/core/node.ts";
import { type Pod, isPodFinished, isPodReady } from "#api/core/pod.ts";
import { type Row, formatAge, formatTable } from "./columns.ts";
import type { Observation } from "./diagnosis/observation.ts";
import { observe } from "./diagnosis/observe.ts";
import { findingsOfPod } from "./diagnosis/pod-findings.ts";
import { type ClientSync, clientsOf } from "./diagnosis/sync-page.ts";
import type { ProcessState } from "./launcher/process-states.ts";
import { checkClusterName, readRecord, stateDirOf } from "./launcher/state-dir.ts";

export interface ClusterStatus {
  readonly name: string;
  readonly running: boolean;
  readonly api?: string;
  /** Why the API server cannot be read; absent when it can. */
  readonly apiProblem?: string;
  readonly published?: readonly string[];
  readonly processes?: readonly ProcessState[];
  /** Revision of what is pushed now. */
  readonly revision?: number;
  readonly clients?: readonly ClientSync[];
  readonly nodes?: readonly { readonly name: string; readonly ready: boolean; readonly reason: string }[];
  readonly pods?: {
    readonly ready: number;
    readonly total: number;
    readonly notReady: readonly string[];
    /** Pod → why it is not ready, where that is known. */
    readonly reasons: Readonly<Record<string, string>>;
  };
  readonly deployments?: { readonly available: number; readonly total: number };
}

export async function status({ name, output }: { name: string; output: "text" | "json" }): Promise<void> {
  const found = await readStatus(checkClusterName(name));
  process.stdout.write(output === "json" ? `${JSON.stringify(found)}\n` : formatStatus(found));
  if (!found.running) process.exitCode = 1;
}

/** What can be seen of a cluster from outside. */
export async function readStatus(name: string): Promise<ClusterStatus> {
  const record = readRecord(stateDirOf(process.env, name));
  if (record === undefined) return { name, running: false };
  return toStatus(await observe(name, record, { isThorough: false }));
}

/** Pure. */
export function toStatus(seen: Observation): ClusterStatus {
  const { cluster, record, processes, objects, api, sync } = seen;
  const { deployments } = objects;
  const available = deployments.filter(({ spec, status }) => (status?.availableReplicas ?? 0) >= (spec.replicas ?? 1));
  return {
    name: cluster,
    running: true,
    api: `https://${record.apiAddress}`,
    ...(api.kind === "ready" ? {} : { apiProblem: api.message }),
    published: record.published.map(
      (port) => `${port.hostAddress}:${port.hostPort} → ${port.kind}/${port.namespace}/${port.name}:${port.port}`,
    ),
    processes,
    ...(sync === undefined ? {} : { revision: sync.revision, clients: clientsOf(sync) }),
    nodes: objects.nodes.map(toNodeStatus),
    pods: podStatus(seen),
    deployments: { available: available.length, total: deployments.length },
  };
}

function toNodeStatus({ metadata, status }: Node): { name: string; ready: boolean; reason: string } {
  const condition = status?.conditions?.find(({ type }) => type === "Ready");
  const ready = condition?.status === "True";
  return { name: metadata.name, ready, reason: ready ? "" : (condition?.message ?? "it never reported") };
}

function podStatus({ objects, nowMs }: Observation): NonNullable<ClusterStatus["pods"]> {
  const live = objects.pods.filter((pod) => !isPodFinished(pod) && pod.metadata.deletionTimestamp === undefined);
  const notReady = live.filter((pod) => !isPodReady(pod));
  const nameOf = ({ metadata }: Pod): string => `${metadata.namespace}/${metadata.name}`;
  const reasons = notReady.map((pod): [string, string] => {
    const warnings = objects.events.filter(
      ({ type, involvedObject }) => type === "Warning" && involvedObject.uid === pod.metadata.uid,
    );
    const [cause] = findingsOfPod(pod, warnings, nowMs);
    return [nameOf(pod), cause === undefined ? "it is being started" : cause.sentence.replace(`${cause.about}: `, "")];
  });
  return {
    ready: live.length - notReady.length,
    total: live.length,
    notReady: notReady.map(nameOf),
    reasons: Object.fromEntries(reasons),
  };
}

function formatStatus(found: ClusterStatus): string {
  if (!found.running) return `Cluster ${found.name} is not running (start it: wherry up --name ${found.name})\n`;
  const { apiProblem, processes = [], clients = [], published = [], revision } = found;
  return [
    `Cluster ${found.name} runs, API on ${found.api}\n`,
    ...(apiProblem === undefined ? summary(found) : [`  API does not answer: ${apiProblem} (see: wherry check)\n`]),
    ...published.map((port) => `  published    ${port}\n`),
    ...(processes.length === 0 ? [] : ["\n", formatTable(processes.map(processRow))]),
    ...(clients.length === 0 ? [] : [`\nPushed revision ${revision}:\n`, formatTable(clients.map(clientRow))]),
  ].join("");
}

function summary({ nodes = [], pods, deployments }: ClusterStatus): string[] {
  const nodeTexts = nodes.map(({ name, ready, reason }) => `${name} ${ready ? "ready" : `NOT READY (${reason})`}`);
  return [
    `  nodes        ${nodeTexts.join(", ")}\n`,
    `  pods         ${pods?.ready} of ${pods?.total} ready\n`,
    ...Object.entries(pods?.reasons ?? {}).map(([pod, reason]) => `               not ready: ${pod}: ${reason}\n`),
    `  deployments  ${deployments?.available} of ${deployments?.total} available\n`,
  ];
}

function processRow({ name, state, since, restarts, lastEnd }: ProcessState): Row {
  return { PROCESS: name, STATE: state, SINCE: since, RESTARTS: String(restarts), "LAST END": lastEnd ?? "" };
}

function clientRow(client: ClientSync): Row {
  const { name, kind, state, resources, ackedVersion, pushedAgoMs, connectedMs, nacks, rejection } = client;
  const age = (ms: number | undefined): string => (ms === undefined ? "never" : formatAge(ms));
  return {
    CLIENT: name,
    KIND: kind,
    STATE: state,
    ACKED: ackedVersion === undefined ? "" : String(ackedVersion),
    RESOURCES: String(resources),
    "LAST PUSH": age(pushedAgoMs),
    CONNECTED: age(connectedMs),
    NACKS: `${nacks}${rejection === "" ? "" : ` ${rejection}`}`,
  };
}
