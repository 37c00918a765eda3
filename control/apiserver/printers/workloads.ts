/** The columns of what makes pods: Deployment, ReplicaSet, ReplicationController, DaemonSet, Job, and PodDisruptionBudget. Pure. */
import type { ControllerRevision } from "#api/apps/controller-revision.ts";
import type { DaemonSet } from "#api/apps/daemonset.ts";
import type { Deployment } from "#api/apps/deployment.ts";
import type { ReplicaSet } from "#api/apps/replicaset.ts";
import type { Job } from "#api/batch/job.ts";
import type { ReplicationController } from "#api/core/replication-controller.ts";
import { controllerOf, type KubeObject } from "#api/meta.ts";
import type { PodDisruptionBudget } from "#api/policy/poddisruptionbudget.ts";
import {
  ageOf,
  column,
  containerCells,
  formatDuration,
  formatSelector,
  orNone,
  type Printer,
  wide,
} from "./printer.ts";

const templateColumns = [wide("Containers"), wide("Images"), wide("Selector")];

export const deploymentPrinter: Printer = {
  columns: [
    column("Name"),
    column("Ready"),
    column("Up-to-date", "integer"),
    column("Available", "integer"),
    column("Age"),
    ...templateColumns,
  ],
  cells: (object: KubeObject, nowMs: number) => {
    const { metadata, spec, status = {} } = object as Deployment;
    return [
      metadata.name,
      `${status.readyReplicas ?? 0}/${spec.replicas ?? 1}`,
      status.updatedReplicas ?? 0,
      status.availableReplicas ?? 0,
      ageOf(object, nowMs),
      ...containerCells(spec.template.spec.containers),
      formatSelector(spec.selector),
    ];
  },
};

const replicaColumns = [
  column("Name"),
  column("Desired", "integer"),
  column("Current", "integer"),
  column("Ready", "integer"),
  column("Age"),
  ...templateColumns,
];

export const replicaSetPrinter: Printer = {
  columns: replicaColumns,
  cells: (object: KubeObject, nowMs: number) => {
    const { metadata, spec, status = {} } = object as ReplicaSet;
    return [
      metadata.name,
      spec.replicas ?? 1,
      status.replicas ?? 0,
      status.readyReplicas ?? 0,
      ageOf(object, nowMs),
      ...containerCells(spec.template?.spec.containers),
      formatSelector(spec.selector),
    ];
  },
};

export const replicationControllerPrinter: Printer = {
  columns: replicaColumns,
  cells: (object: KubeObject, nowMs: number) => {
    const { metadata, spec, status = {} } = object as ReplicationController;
    return [
      metadata.name,
      spec.replicas ?? 1,
      status.replicas ?? 0,
      status.readyReplicas ?? 0,
      ageOf(object, nowMs),
      ...containerCells(spec.template?.spec.containers),
      formatSelector({ matchLabels: spec.selector ?? {} }),
    ];
  },
};

export const daemonSetPrinter: Printer = {
  columns: [
    column("Name"),
    column("Desired", "integer"),
    column("Current", "integer"),
    column("Ready", "integer"),
    column("Up-to-date", "integer"),
    column("Available", "integer"),
    column("Node Selector"),
    column("Age"),
    ...templateColumns,
  ],
  cells: (object: KubeObject, nowMs: number) => {
    const { metadata, spec, status = {} } = object as DaemonSet;
    return [
      metadata.name,
      status.desiredNumberScheduled ?? 0,
      status.currentNumberScheduled ?? 0,
      status.numberReady ?? 0,
      status.updatedNumberScheduled ?? 0,
      status.numberAvailable ?? 0,
      formatSelector({ matchLabels: spec.template.spec.nodeSelector ?? {} }),
      ageOf(object, nowMs),
      ...containerCells(spec.template.spec.containers),
      formatSelector(spec.selector),
    ];
  },
};

export const controllerRevisionPrinter: Printer = {
  columns: [column("Name"), column("Controller"), column("Revision", "integer"), column("Age")],
  cells: (object: KubeObject, nowMs: number) => {
    const { metadata, revision } = object as ControllerRevision;
    return [metadata.name, ownerName(object), revision, ageOf(object, nowMs)];
  },
};

/** `daemonset.apps/web`: the controller as kubectl names objects. */
function ownerName(object: KubeObject): string {
  const owner = controllerOf(object);
  if (owner === undefined) return "<none>";
  const group = owner.apiVersion.includes("/") ? `.${owner.apiVersion.split("/")[0]}` : "";
  return `${owner.kind.toLowerCase()}${group}/${owner.name}`;
}

export const jobPrinter: Printer = {
  columns: [
    column("Name"),
    column("Status"),
    column("Completions"),
    column("Duration"),
    column("Age"),
    ...templateColumns,
  ],
  cells: (object: KubeObject, nowMs: number) => {
    const job = object as Job;
    const { metadata, spec, status = {} } = job;
    const parallelism = spec.parallelism ?? 1;
    const wanted = spec.completions ?? (parallelism > 1 ? `1 of ${parallelism}` : 1);
    const startMs = Date.parse(status.startTime ?? "");
    const endMs = Date.parse(status.completionTime ?? "");
    return [
      metadata.name,
      jobState(job),
      `${status.succeeded ?? 0}/${wanted}`,
      Number.isNaN(startMs) ? "" : formatDuration((Number.isNaN(endMs) ? nowMs : endMs) - startMs),
      ageOf(object, nowMs),
      ...containerCells(spec.template.spec.containers),
      formatSelector(spec.selector),
    ];
  },
};

function jobState({ metadata, status }: Job): string {
  const has = (type: string): boolean =>
    status?.conditions?.some((condition) => condition.type === type && condition.status === "True") === true;
  if (has("Complete")) return "Complete";
  if (has("Failed")) return "Failed";
  if (metadata.deletionTimestamp !== undefined) return "Terminating";
  if (has("Suspended")) return "Suspended";
  if (has("FailureTarget")) return "FailureTarget";
  return has("SuccessCriteriaMet") ? "SuccessCriteriaMet" : "Running";
}

export const budgetPrinter: Printer = {
  columns: [
    column("Name"),
    column("Min Available"),
    column("Max Unavailable"),
    column("Allowed Disruptions", "integer"),
    column("Age"),
  ],
  cells: (object: KubeObject, nowMs: number) => {
    const { metadata, spec, status = {} } = object as PodDisruptionBudget;
    const show = (value: number | string | undefined): string => (value === undefined ? "N/A" : orNone(String(value)));
    return [
      metadata.name,
      show(spec?.minAvailable),
      show(spec?.maxUnavailable),
      status.disruptionsAllowed ?? 0,
      ageOf(object, nowMs),
    ];
  },
};
