/**
 * Deployment: rolls pods from one template to the next through ReplicaSets.
 *
 *   planDeployment (pure): spec × ReplicaSets ─▶ { create?, scale: [name, replicas], remove, status }
 *
 * Arithmetic: maxSurge rounds up, maxUnavailable down, both 0 counts as maxUnavailable 1; new pods up to replicas +
 * surge, old pods down to replicas - unavailable, those that are not available first (kube's rolling.go).
 * Not here yet: pause, undo, progress deadline, proportional scaling.
 */
import { createHash } from "node:crypto";
import { type Deployment, deployments } from "#api/apps/deployment.ts";
import { type ReplicaSet, replicaSets } from "#api/apps/replicaset.ts";
import { apiVersionOf } from "#api/kind.ts";
import { type Condition, type IntOrString, formatTime, keyOf, parseKey } from "#api/meta.ts";
import { isEqual } from "#api/schema/read.ts";
import { isAlreadyExists, isNotFound } from "#api/status.ts";
import { type Context, type Controller, createQueue } from "./context.ts";
import { OwnedIndex, lagMs } from "./owned.ts";

const hashLabel = "pod-template-hash";
const revisionAnnotation = "deployment.kubernetes.io/revision";

export interface DeploymentPlan {
  readonly create: ReplicaSet | undefined;
  readonly scale: readonly { readonly replicaSet: ReplicaSet; readonly replicas: number }[];
  readonly remove: readonly ReplicaSet[];
  readonly status: NonNullable<Deployment["status"]>;
}

/** `25%` or a number, of `total`. */
export function resolveShare(value: IntOrString, total: number, round: "up" | "down"): number {
  if (typeof value === "number") return value;
  const share = (Number(value.replace("%", "")) * total) / 100;
  return round === "up" ? Math.ceil(share) : Math.floor(share);
}

function bounds({ spec }: Deployment): { surge: number; unavailable: number } {
  const replicas = spec.replicas ?? 1;
  const { maxSurge = "25%", maxUnavailable = "25%" } = spec.strategy?.rollingUpdate ?? {};
  const surge = resolveShare(maxSurge, replicas, "up");
  const unavailable = resolveShare(maxUnavailable, replicas, "down");
  return surge === 0 && unavailable === 0 ? { surge, unavailable: 1 } : { surge, unavailable };
}

/** Ten characters that stand for a pod template: equal templates, equal hashes. */
export function templateHash({ spec }: Deployment): string {
  return createHash("sha256").update(canonical(spec.template)).digest("hex").slice(0, 10);
}

/** JSON with sorted keys. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  const entries = Object.entries(value).filter(([, field]) => field !== undefined);
  const fields = entries
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, field]) => `${JSON.stringify(name)}:${canonical(field)}`);
  return `{${fields.join(",")}}`;
}

const wantedOf = ({ spec }: ReplicaSet): number => spec.replicas ?? 1;
const availableOf = ({ status }: ReplicaSet): number => status?.availableReplicas ?? 0;
const existingOf = ({ status }: ReplicaSet): number => status?.replicas ?? 0;
const revisionOf = ({ metadata }: ReplicaSet): number => Number(metadata.annotations?.[revisionAnnotation] ?? 0);
const sum = (sets: readonly ReplicaSet[], of: (set: ReplicaSet) => number): number =>
  sets.reduce((total, set) => total + of(set), 0);

export function planDeployment(deployment: Deployment, owned: readonly ReplicaSet[], nowMs: number): DeploymentPlan {
  const hash = templateHash(deployment);
  const current = owned.find(({ metadata }) => metadata.labels?.[hashLabel] === hash);
  const old = owned.filter((set) => set !== current);
  const status = statusOf(deployment, { owned, current }, nowMs);
  if (deployment.metadata.deletionTimestamp !== undefined) return { create: undefined, scale: [], remove: [], status };
  if (current === undefined) {
    const revision = Math.max(0, ...owned.map(revisionOf)) + 1;
    const isRecreate = deployment.spec.strategy?.type === "Recreate";
    // Recreate: nothing new before everything old has gone.
    const replicas = isRecreate ? 0 : firstReplicas(deployment, old);
    return { create: replicaSetOf(deployment, hash, revision, replicas), scale: [], remove: [], status };
  }
  const scale =
    deployment.spec.strategy?.type === "Recreate" ? recreate(deployment, current, old) : roll(deployment, current, old);
  return { create: undefined, scale, remove: superfluous(deployment, old), status };
}

/** Whether a ReplicaSet that is to have no pods has none: not even one that still ends, or one that it has not counted. */
function isEmpty({ metadata, status }: ReplicaSet): boolean {
  const { replicas = 0, terminatingReplicas = 0, observedGeneration = 0 } = status ?? {};
  return replicas === 0 && terminatingReplicas === 0 && observedGeneration >= (metadata.generation ?? 0);
}

function firstReplicas(deployment: Deployment, old: readonly ReplicaSet[]): number {
  const replicas = deployment.spec.replicas ?? 1;
  return Math.max(0, Math.min(replicas, replicas + bounds(deployment).surge - sum(old, wantedOf)));
}

type Scale = DeploymentPlan["scale"];

function recreate(deployment: Deployment, current: ReplicaSet, old: readonly ReplicaSet[]): Scale {
  const down = old.filter((set) => wantedOf(set) > 0).map((replicaSet) => ({ replicaSet, replicas: 0 }));
  if (down.length > 0) return down;
  const replicas = deployment.spec.replicas ?? 1;
  return !old.every(isEmpty) || wantedOf(current) === replicas ? [] : [{ replicaSet: current, replicas }];
}

function roll(deployment: Deployment, current: ReplicaSet, old: readonly ReplicaSet[]): Scale {
  const replicas = deployment.spec.replicas ?? 1;
  const { surge, unavailable } = bounds(deployment);
  const oldWanted = sum(old, wantedOf);
  if (wantedOf(current) > replicas) return [{ replicaSet: current, replicas }];
  const room = replicas + surge - oldWanted - wantedOf(current);
  const up = Math.min(replicas - wantedOf(current), Math.max(0, room));
  const grow = up > 0 ? [{ replicaSet: current, replicas: wantedOf(current) + up }] : [];
  if (oldWanted === 0) return grow;
  return [...grow, ...shrink(current, old, replicas - unavailable)];
}

/**
 * Old ReplicaSets with fewer pods, so that at least `floor` stay available: pods that are not available first, of every
 * set, then available ones as far as the floor allows.
 */
function shrink(current: ReplicaSet, old: readonly ReplicaSet[], floor: number): Scale {
  const wanted = new Map(old.map((set) => [set, wantedOf(set)]));
  const idle = (set: ReplicaSet): number => Math.max(0, wantedOf(set) - availableOf(set));
  // Pods of the new template that are not available yet must not be paid for with old ones that are.
  let removable = sum(old, wantedOf) + Math.min(availableOf(current), wantedOf(current)) - floor;
  const take = (set: ReplicaSet, count: number): void => {
    const down = Math.max(0, Math.min(count, removable));
    wanted.set(set, (wanted.get(set) ?? 0) - down);
    removable -= down;
  };
  const oldestFirst = [...old].sort((a, b) => revisionOf(a) - revisionOf(b));
  for (const set of oldestFirst) take(set, idle(set));
  const available = sum(old, (set) => wantedOf(set) - idle(set)) + Math.min(availableOf(current), wantedOf(current));
  removable = Math.min(removable, available - floor);
  for (const set of oldestFirst) take(set, wanted.get(set) ?? 0);
  return oldestFirst.flatMap((replicaSet) => {
    const replicas = wanted.get(replicaSet) ?? 0;
    return replicas === wantedOf(replicaSet) ? [] : [{ replicaSet, replicas }];
  });
}

/** Empty ReplicaSets beyond the history limit, the oldest first. */
function superfluous({ spec }: Deployment, old: readonly ReplicaSet[]): ReplicaSet[] {
  const empty = old.filter((set) => wantedOf(set) === 0 && existingOf(set) === 0);
  const surplus = Math.max(0, empty.length - (spec.revisionHistoryLimit ?? 10));
  return empty.sort((a, b) => revisionOf(a) - revisionOf(b)).slice(0, surplus);
}

function replicaSetOf(deployment: Deployment, hash: string, revision: number, replicas: number): ReplicaSet {
  const { name, namespace = "default", uid = "" } = deployment.metadata;
  const { selector, template, minReadySeconds } = deployment.spec;
  const owner = {
    apiVersion: apiVersionOf(deployments),
    kind: "Deployment",
    name,
    uid,
    controller: true,
    blockOwnerDeletion: true,
  };
  const labels = { ...template.metadata?.labels, [hashLabel]: hash };
  return {
    apiVersion: apiVersionOf(replicaSets),
    kind: "ReplicaSet",
    metadata: {
      name: `${name}-${hash}`,
      namespace,
      labels,
      annotations: { [revisionAnnotation]: String(revision) },
      ownerReferences: [owner],
    },
    spec: {
      replicas,
      selector: { ...selector, matchLabels: { ...selector.matchLabels, [hashLabel]: hash } },
      template: { ...template, metadata: { ...template.metadata, labels } },
      ...(minReadySeconds === undefined ? {} : { minReadySeconds }),
    },
  };
}

function statusOf(
  deployment: Deployment,
  { owned, current }: { owned: readonly ReplicaSet[]; current: ReplicaSet | undefined },
  nowMs: number,
): NonNullable<Deployment["status"]> {
  const replicas = deployment.spec.replicas ?? 1;
  const total = sum(owned, existingOf);
  const available = sum(owned, availableOf);
  const updated = current === undefined ? 0 : existingOf(current);
  const isAvailable = available >= replicas - bounds(deployment).unavailable;
  const isComplete = updated === replicas && total === replicas && available === replicas;
  const conditions: Omit<Condition, "lastTransitionTime" | "lastUpdateTime">[] = [
    isAvailable
      ? {
          type: "Available",
          status: "True",
          reason: "MinimumReplicasAvailable",
          message: "Deployment has minimum availability.",
        }
      : {
          type: "Available",
          status: "False",
          reason: "MinimumReplicasUnavailable",
          message: "Deployment does not have minimum availability.",
        },
    isComplete
      ? {
          type: "Progressing",
          status: "True",
          reason: "NewReplicaSetAvailable",
          message: "ReplicaSet has successfully progressed.",
        }
      : { type: "Progressing", status: "True", reason: "ReplicaSetUpdated", message: "ReplicaSet is progressing." },
  ];
  return {
    observedGeneration: deployment.metadata.generation ?? 0,
    replicas: total,
    updatedReplicas: updated,
    readyReplicas: sum(owned, ({ status }) => status?.readyReplicas ?? 0),
    availableReplicas: available,
    unavailableReplicas: Math.max(0, replicas - available),
    conditions: conditions.map((condition) => {
      const before = deployment.status?.conditions?.find(({ type }) => type === condition.type);
      const now = formatTime(nowMs);
      if (before?.status !== condition.status) return { ...condition, lastTransitionTime: now, lastUpdateTime: now };
      const lastUpdateTime = before.reason === condition.reason ? before.lastUpdateTime : now;
      return {
        ...condition,
        lastTransitionTime: before.lastTransitionTime ?? now,
        lastUpdateTime: lastUpdateTime ?? now,
      };
    }),
  };
}

export function createDeploymentController(context: Context): Controller {
  const { client, informers, clock } = context;
  const queue = createQueue("deployment", context, async (key) => {
    const deployment = informers.deployments.get(parseKey(key));
    if (deployment === undefined) return;
    if (!owned.isCurrent(deployment)) return queue.addAfter(key, lagMs);
    const plan = planDeployment(deployment, owned.of(deployment), clock.nowMs());
    if (plan.create !== undefined) {
      // One of that name is there: left by an owner of the same name, which the garbage collector is about to remove.
      const created = await client.create(replicaSets, plan.create).catch((error: unknown) => {
        if (!isAlreadyExists(error)) throw error;
        return undefined;
      });
      if (created === undefined) return queue.addAfter(key, 100);
      owned.wrote(deployment, created);
    }
    for (const { replicaSet, replicas } of plan.scale) {
      owned.wrote(deployment, await client.patch(replicaSets, keyOf(replicaSet), { spec: { replicas } }));
    }
    for (const replicaSet of plan.remove) owned.wrote(deployment, await client.delete(replicaSets, keyOf(replicaSet)));
    if (isEqual(deployment.status, plan.status)) return;
    await client.patchStatus(deployments, keyOf(deployment), { status: plan.status }).catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
    });
  });
  const owned = new OwnedIndex(informers.replicaSets, "Deployment", (key) => queue.add(key));
  const add = ({ metadata }: Deployment): void => queue.add(`${metadata.namespace}/${metadata.name}`);
  informers.deployments.addHandler({ added: add, updated: add });
  return { name: "deployment", start: (signal) => queue.start(signal) };
}
