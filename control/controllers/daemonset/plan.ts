/**
 * DaemonSet: one pod a node, and how they are replaced by those of a new template. Pure.
 *
 *   DaemonSet × nodes × pods ─▶ planDaemonSet() ─▶ { create: nodes, remove: pods, status, recheckInMs }
 *
 * First each node gets what it lacks and loses what it has too much; when that is in order the update goes on.
 * Follows: k8s.io/kubernetes pkg/controller/daemon (daemon_controller.go).
 */
import type { DaemonSet } from "#api/apps/daemonset.ts";
import type { Node } from "#api/core/node.ts";
import { type Pod, isPodFinished } from "#api/core/pod.ts";
import { nextAvailableInMs } from "../workload/availability.ts";
import { type DaemonNode, daemonNodes } from "./daemon-node.ts";
import { daemonStatus } from "./status.ts";
import { type RollFacts, bounds, rollDaemonSet, superseded } from "./rolling.ts";

export interface DaemonSetPlan {
  /** Names of the nodes that get a pod. */
  readonly create: readonly string[];
  readonly remove: readonly Pod[];
  /** Pods of `remove` that ended: each is told about. */
  readonly ended: readonly Pod[];
  readonly status: NonNullable<DaemonSet["status"]>;
  /** When a pod becomes available, or a failed one may be replaced, in ms from now. */
  readonly recheckInMs: number | undefined;
}

export interface DaemonFacts {
  readonly nodes: readonly Node[];
  readonly pods: readonly Pod[];
  /** The hash of the present template. */
  readonly hash: string;
  readonly nowMs: number;
  /** Ms until the failed pod of a node may be replaced; 0: now. */
  readonly backoffMs: (nodeName: string) => number;
}

export function planDaemonSet(daemonSet: DaemonSet, facts: DaemonFacts): DaemonSetPlan {
  const nodes = daemonNodes(daemonSet, facts);
  const status = daemonStatus(daemonSet, nodes, facts);
  const minReadySeconds = daemonSet.spec.minReadySeconds ?? 0;
  const waits = [nextAvailableInMs(facts.pods, minReadySeconds, facts.nowMs)];
  if (daemonSet.metadata.deletionTimestamp !== undefined)
    return { create: [], remove: [], ended: [], status, recheckInMs: undefined };
  const roll = { ...facts, minReadySeconds, bounds: bounds(daemonSet, nodes) };
  const step = manage(nodes, facts, roll);
  waits.push(...step.waits);
  const isSettled = step.create.length + step.remove.length === 0;
  const isRolling = daemonSet.spec.updateStrategy?.type !== "OnDelete";
  const update = isSettled && isRolling ? rollDaemonSet(nodes, roll) : { create: [], remove: [] };
  const due = waits.filter((wait) => wait !== undefined);
  return {
    create: [...step.create, ...update.create],
    remove: [...step.remove, ...update.remove],
    ended: step.ended,
    status,
    recheckInMs: due.length === 0 ? undefined : Math.min(...due),
  };
}

interface Step {
  readonly create: string[];
  readonly remove: Pod[];
  readonly ended: Pod[];
  readonly waits: (number | undefined)[];
}

function manage(nodes: readonly DaemonNode[], facts: DaemonFacts, roll: RollFacts): Step {
  const step: Step = { create: [], remove: [], ended: [], waits: [] };
  for (const { name, placement, pods } of nodes) {
    const staying = pods.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
    if (!placement.stay) {
      step.remove.push(...staying);
      continue;
    }
    // A pod on its way out still holds its node: two of them would share files and ports.
    if (placement.run && pods.length === 0) step.create.push(name);
    const ended = staying.filter(isPodFinished);
    const waitMs = ended.length === 0 ? 0 : facts.backoffMs(name);
    if (waitMs > 0) step.waits.push(waitMs);
    else step.ended.push(...ended);
    step.remove.push(
      ...(waitMs > 0 ? [] : ended),
      ...superseded(
        staying.filter((pod) => !isPodFinished(pod)),
        roll,
      ),
    );
  }
  return step;
}
