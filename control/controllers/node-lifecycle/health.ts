/**
 * Whether a node lives: when it last showed a sign of it, and what its conditions say once it has been silent too long.
 *
 *   Node (heartbeats), Lease (renewTime) ─▶ observe() ─▶ NodeHealth ─▶ isSilent() ─▶ unknownConditions()
 *
 * Pure. Signs are compared, not read: a node lives as long as they change. Time is this process's own monotonic time
 * since a change was seen, so neither the nodes' clocks nor a restart of the control plane make a node look dead.
 * Follows: k8s.io/kubernetes pkg/controller/nodelifecycle (tryUpdateNodeHealth).
 */
import type { Lease } from "#api/coordination/lease.ts";
import type { Node } from "#api/core/node.ts";
import type { Condition } from "#api/meta.ts";

export interface NodeHealth {
  /** Monotonic time of the last sign of life, or of the first sight. */
  readonly probeMs: number;
  readonly renewTime: string | undefined;
  readonly heartbeatTime: string | undefined;
  /** Status of the condition Ready when it was last looked at. */
  readonly ready: Condition["status"];
}

export interface HealthConfig {
  /** Longest silence of a node, in ms. Default 50 000: kube-controller-manager's --node-monitor-grace-period. */
  readonly graceMs: number;
  /** The same for a node that never had a condition Ready, in ms. Default 60 000. */
  readonly startupGraceMs: number;
}

type NodeCondition = Condition & { readonly lastHeartbeatTime?: string };

/** Conditions that say nothing any more once their node is silent. */
const conditionTypes = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"] as const;

/** The status of a node's condition; Unknown when it is not there. */
export function conditionOf(node: Node, type: string): Condition["status"] {
  return node.status?.conditions?.find((condition) => condition.type === type)?.status ?? "Unknown";
}

/** What is known of a node after looking at it at `nowMs`. */
export function observe(
  before: NodeHealth | undefined,
  node: Node,
  lease: Lease | undefined,
  nowMs: number,
): NodeHealth {
  const conditions: readonly NodeCondition[] = node.status?.conditions ?? [];
  const heartbeatTime = conditions.find(({ type }) => type === "Ready")?.lastHeartbeatTime;
  const renewTime = lease?.spec?.renewTime;
  const ready = conditionOf(node, "Ready");
  const fresh = { probeMs: nowMs, renewTime, heartbeatTime, ready };
  if (before === undefined) return fresh;
  const isAlive =
    (heartbeatTime !== undefined && heartbeatTime !== before.heartbeatTime) ||
    (renewTime !== undefined && renewTime !== before.renewTime) ||
    // Unknown is what the control plane writes; anything else only the kubelet can have written.
    (before.ready === "Unknown" && ready !== "Unknown");
  if (isAlive) return fresh;
  return ready === before.ready ? before : { ...before, ready };
}

/** Whether the node has been silent for longer than it may. */
export function isSilent(health: NodeHealth, node: Node, nowMs: number, config: HealthConfig): boolean {
  const hasReady = node.status?.conditions?.some(({ type }) => type === "Ready") === true;
  return nowMs > health.probeMs + (hasReady ? config.graceMs : config.startupGraceMs);
}

/** The conditions of a silent node; undefined when they are so already. `now`: RFC 3339. */
export function unknownConditions(node: Node, now: string): readonly Condition[] | undefined {
  const before: readonly NodeCondition[] = node.status?.conditions ?? [];
  const next: NodeCondition[] = [...before];
  let isChanged = false;
  for (const type of conditionTypes) {
    const index = before.findIndex((condition) => condition.type === type);
    const old = before[index];
    if (old?.status === "Unknown") continue;
    isChanged = true;
    if (old === undefined) next.push(neverPosted(node, type, now));
    else
      next[index] = {
        ...old,
        status: "Unknown",
        reason: "NodeStatusUnknown",
        message: "Kubelet stopped posting node status.",
        lastTransitionTime: now,
      };
  }
  return isChanged ? next : undefined;
}

function neverPosted({ metadata }: Node, type: string, now: string): NodeCondition {
  return {
    type,
    status: "Unknown",
    reason: "NodeStatusNeverUpdated",
    message: "Kubelet never posted node status.",
    lastHeartbeatTime: metadata.creationTimestamp ?? now,
    lastTransitionTime: now,
  };
}

/** How much of the cluster is lost. `full`: all nodes; `partial`: most of a few. */
export type Disruption = "none" | "partial" | "full";

/** Small clusters stop evicting when so many nodes, and this share of all, are not ready. kube-controller-manager's. */
const notReadyMin = 3;
const unhealthyRatio = 0.55;
const smallClusterNodes = 50;

/**
 * The disruption that the nodes' Ready conditions add up to. Evicting from nodes that are all or mostly lost would
 * leave their pods nowhere to go, and more likely it is the control plane that is cut off.
 */
export function disruptionOf(ready: readonly Condition["status"][]): Disruption {
  const lost = ready.filter((status) => status !== "True").length;
  if (lost > 0 && lost === ready.length) return "full";
  const isMost = lost >= notReadyMin && lost / ready.length >= unhealthyRatio;
  return isMost && ready.length <= smallClusterNodes ? "partial" : "none";
}
