/**
 * A node's status out of what is known of its machine. Pure: equal facts give equal statuses, but for the times, and
 * transition times are kept from the status before.
 *
 *   Machine, the status before ─▶ nodeStatus() ─▶ node-registration.ts writes it
 *
 * Reasons and messages are the reference kubelet's (pkg/kubelet/nodestatus/setters.go).
 */
import type { Node } from "#api/core/node.ts";
import { type Condition, formatTime } from "#api/meta.ts";
import type { Machine } from "./machine.ts";

export interface NodeFacts {
  readonly name: string;
  readonly internalIP: string;
  readonly podCIDR: string;
  /** Where the kubelet's API listens. */
  readonly kubeletPort: number;
}

export type NodeStatus = NonNullable<Node["status"]>;
export type NodeCondition = Condition & { readonly lastHeartbeatTime?: string };

const podsMax = 110;
/** Less memory or storage than this is pressure, in bytes: the kubelet's own eviction threshold for memory. */
const availableMin = 100 * 1024 * 1024;
/** A greater share of the process numbers in use is pressure. */
const processesRatioMax = 0.95;

/** The labels that a node gives itself. Others are left as they are. */
export function nodeLabels(name: string, { architecture }: Pick<Machine, "architecture">): Record<string, string> {
  return {
    "beta.kubernetes.io/arch": architecture,
    "beta.kubernetes.io/os": "linux",
    "kubernetes.io/arch": architecture,
    "kubernetes.io/hostname": name,
    "kubernetes.io/os": "linux",
  };
}

export function nodeStatus(
  { name, internalIP, kubeletPort }: NodeFacts,
  machine: Machine,
  before: NodeStatus | undefined,
  nowMs: number,
): NodeStatus {
  const storage = Math.floor(machine.storage / 1024);
  const capacity = {
    cpu: String(machine.cpus),
    "ephemeral-storage": `${storage}Ki`,
    "hugepages-1Gi": "0",
    "hugepages-2Mi": "0",
    memory: `${Math.floor(machine.memory / 1024)}Ki`,
    pods: String(podsMax),
  };
  return {
    capacity,
    allocatable: capacity,
    conditions: nodeConditions(machine, before?.conditions ?? [], nowMs),
    addresses: [
      { type: "InternalIP", address: internalIP },
      { type: "Hostname", address: name },
    ],
    daemonEndpoints: { kubeletEndpoint: { Port: kubeletPort } },
    nodeInfo: nodeInfo(machine),
  };
}

function nodeInfo(machine: Machine): Readonly<Record<string, string>> {
  const { machineID, systemUUID, bootID, kernelVersion, osImage, architecture } = machine;
  return {
    machineID,
    systemUUID,
    bootID,
    kernelVersion,
    osImage,
    containerRuntimeVersion: "wherry://0.1.0",
    kubeletVersion: "v1.35.0+wherry",
    kubeProxyVersion: "",
    operatingSystem: "linux",
    architecture,
  };
}

type Said = readonly [type: string, status: "True" | "False", reason: string, message: string];

/** The kubelet's conditions after those of others, which are kept. */
function nodeConditions(machine: Machine, before: readonly NodeCondition[], nowMs: number): NodeCondition[] {
  const said: readonly Said[] = [
    machine.memoryAvailable < availableMin
      ? ["MemoryPressure", "True", "KubeletHasInsufficientMemory", "kubelet has insufficient memory available"]
      : ["MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"],
    machine.storage > 0 && machine.storageAvailable < availableMin
      ? ["DiskPressure", "True", "KubeletHasDiskPressure", "kubelet has disk pressure"]
      : ["DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"],
    machine.processes > machine.processesMax * processesRatioMax
      ? ["PIDPressure", "True", "KubeletHasInsufficientPID", "kubelet has insufficient PID available"]
      : ["PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"],
    ["Ready", "True", "KubeletReady", "kubelet is posting ready status"],
  ];
  const own = said.map(([type, status, reason, message]): NodeCondition => {
    const last = before.find((condition) => condition.type === type);
    const lastTransitionTime = last?.status === status ? last.lastTransitionTime : undefined;
    const now = formatTime(nowMs);
    return { type, status, lastHeartbeatTime: now, lastTransitionTime: lastTransitionTime ?? now, reason, message };
  });
  return [...before.filter(({ type }) => !own.some((condition) => condition.type === type)), ...own];
}

const changes: Readonly<Record<string, string>> = {
  "MemoryPressure/True": "NodeHasInsufficientMemory",
  "MemoryPressure/False": "NodeHasSufficientMemory",
  "DiskPressure/True": "NodeHasDiskPressure",
  "DiskPressure/False": "NodeHasNoDiskPressure",
  "PIDPressure/True": "NodeHasInsufficientPID",
  "PIDPressure/False": "NodeHasSufficientPID",
  "Ready/True": "NodeReady",
};

/** Reasons of the events that tell how `next` differs from the status before. */
export function statusEvents(before: NodeStatus | undefined, next: NodeStatus): string[] {
  return (next.conditions ?? []).flatMap(({ type, status }) => {
    const last = before?.conditions?.find((condition) => condition.type === type);
    const reason = changes[`${type}/${status}`];
    return last?.status === status || reason === undefined ? [] : [reason];
  });
}

/** Whether two statuses say the same, whenever they say it. */
export function saysTheSame(one: NodeStatus | undefined, other: NodeStatus): boolean {
  return JSON.stringify(timeless(one)) === JSON.stringify(timeless(other));
}

/** What counts of a status, in one order: without times, and without storage, which changes all the time. */
function timeless(status: NodeStatus | undefined): unknown {
  if (status === undefined) return undefined;
  const { capacity, addresses, daemonEndpoints, nodeInfo: info } = status;
  const conditions = (status.conditions ?? []).map(
    ({ type, status: value, reason = "" }) => `${type} ${value} ${reason}`,
  );
  return [
    pairs(capacity),
    (addresses ?? []).map(({ type, address }) => [type, address]),
    daemonEndpoints?.kubeletEndpoint?.Port,
    pairs(info),
    conditions.sort(),
  ];
}

function pairs(map: Readonly<Record<string, string>> | undefined): string[] {
  return Object.entries(map ?? {})
    .map((pair) => pair.join(" "))
    .sort();
}
