/** Pod: containers that share a network namespace, on one node. */
import type { Condition, KubeObject, ObjectMeta } from "../meta.ts";
import type { Kind } from "../schema/kind.ts";
import { object } from "../schema/schema.ts";
import type { Affinity } from "./affinity.ts";
import type { EnvFromSource, EnvVar, ObjectFieldSelector, ResourceFieldSelector } from "./env.ts";
import { defaultPodSpec, podSpecErrors, podUpdateErrors } from "./pod-rules.ts";
import { podSpecSchema, podStatusSchema } from "./pod-schema.ts";
import type { Lifecycle, Probe } from "./probe.ts";

export interface ContainerPort {
  readonly name?: string;
  readonly containerPort: number;
  readonly protocol?: "TCP" | "UDP" | "SCTP";
}

export interface ResourceRequirements {
  readonly requests?: Readonly<Record<string, string>>;
  readonly limits?: Readonly<Record<string, string>>;
}

export interface Container {
  readonly name: string;
  readonly image?: string;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly workingDir?: string;
  readonly ports?: readonly ContainerPort[];
  readonly env?: readonly EnvVar[];
  readonly envFrom?: readonly EnvFromSource[];
  readonly resources?: ResourceRequirements;
  readonly volumeMounts?: readonly {
    readonly name: string;
    readonly mountPath: string;
    readonly subPath?: string;
    readonly readOnly?: boolean;
  }[];
  readonly readinessProbe?: Probe;
  readonly livenessProbe?: Probe;
  readonly startupProbe?: Probe;
  readonly lifecycle?: Lifecycle;
  /** Of an init container only: `Always` makes it a sidecar, which runs beside the pod's containers (KEP-753). */
  readonly restartPolicy?: string;
  /** Absolute path inside. Default /dev/termination-log. */
  readonly terminationMessagePath?: string;
  readonly terminationMessagePolicy?: "File" | "FallbackToLogsOnError";
  readonly imagePullPolicy?: string;
  readonly securityContext?: Readonly<Record<string, unknown>>;
}

export interface KeyToPath {
  readonly key: string;
  readonly path: string;
  readonly mode?: number;
}

/** A file of a downward API volume. */
export interface DownwardAPIFile {
  readonly path: string;
  readonly fieldRef?: ObjectFieldSelector;
  readonly resourceFieldRef?: ResourceFieldSelector;
  readonly mode?: number;
}

/** A ConfigMap's or Secret's keys as files. */
export interface KeyProjection {
  readonly name?: string;
  readonly items?: readonly KeyToPath[];
  readonly optional?: boolean;
}

/** One source of a projected volume. */
export interface VolumeProjection {
  readonly configMap?: KeyProjection;
  readonly secret?: KeyProjection;
  readonly downwardAPI?: { readonly items?: readonly DownwardAPIFile[] };
  readonly serviceAccountToken?: {
    /** Default: the API server. */
    readonly audience?: string;
    /** In seconds, >= 600. Default 3600. */
    readonly expirationSeconds?: number;
    readonly path: string;
  };
}

export interface Volume {
  readonly name: string;
  readonly emptyDir?: { readonly medium?: string; readonly sizeLimit?: string };
  readonly configMap?: {
    readonly name: string;
    readonly items?: readonly KeyToPath[];
    readonly optional?: boolean;
    readonly defaultMode?: number;
  };
  readonly secret?: {
    readonly secretName: string;
    readonly items?: readonly KeyToPath[];
    readonly optional?: boolean;
    readonly defaultMode?: number;
  };
  readonly downwardAPI?: { readonly items?: readonly DownwardAPIFile[]; readonly defaultMode?: number };
  readonly projected?: { readonly sources?: readonly VolumeProjection[]; readonly defaultMode?: number };
}

export interface PodSpec {
  readonly containers: readonly Container[];
  /** Run one after the other before the containers; those that restart Always run on beside them. */
  readonly initContainers?: readonly Container[];
  readonly volumes?: readonly Volume[];
  readonly nodeName?: string;
  readonly nodeSelector?: Readonly<Record<string, string>>;
  readonly restartPolicy?: "Always" | "OnFailure" | "Never";
  readonly terminationGracePeriodSeconds?: number;
  /** Longest time from the pod's start to its end, in seconds, >= 1. Default: none. */
  readonly activeDeadlineSeconds?: number;
  readonly automountServiceAccountToken?: boolean;
  readonly hostAliases?: readonly { readonly ip: string; readonly hostnames?: readonly string[] }[];
  /** Conditions of the pod's status that must be True, too, before it is ready. */
  readonly readinessGates?: readonly { readonly conditionType: string }[];
  readonly serviceAccountName?: string;
  readonly serviceAccount?: string;
  readonly hostname?: string;
  readonly subdomain?: string;
  readonly schedulerName?: string;
  readonly dnsPolicy?: string;
  readonly affinity?: Affinity;
  readonly tolerations?: readonly {
    readonly key?: string;
    readonly operator?: "Exists" | "Equal";
    readonly value?: string;
    readonly effect?: string;
    readonly tolerationSeconds?: number;
  }[];
  readonly securityContext?: Readonly<Record<string, unknown>>;
}

export interface PodTemplateSpec {
  readonly metadata?: Partial<ObjectMeta>;
  readonly spec: PodSpec;
}

export interface ContainerState {
  readonly waiting?: { readonly reason: string; readonly message?: string };
  readonly running?: { readonly startedAt: string };
  readonly terminated?: {
    readonly exitCode: number;
    readonly signal?: number;
    readonly reason: string;
    readonly message?: string;
    readonly startedAt?: string;
    readonly finishedAt?: string;
    readonly containerID?: string;
  };
}

export interface ContainerStatus {
  readonly name: string;
  readonly state: ContainerState;
  readonly lastState: ContainerState;
  readonly ready: boolean;
  readonly started?: boolean;
  readonly restartCount: number;
  readonly image: string;
  readonly imageID: string;
  readonly containerID?: string;
}

export interface PodStatus {
  readonly phase?: "Pending" | "Running" | "Succeeded" | "Failed" | "Unknown";
  readonly conditions?: readonly Condition[];
  readonly reason?: string;
  readonly message?: string;
  readonly hostIP?: string;
  readonly hostIPs?: readonly { readonly ip: string }[];
  readonly podIP?: string;
  readonly podIPs?: readonly { readonly ip: string }[];
  readonly startTime?: string;
  readonly initContainerStatuses?: readonly ContainerStatus[];
  readonly containerStatuses?: readonly ContainerStatus[];
  readonly observedGeneration?: number;
  readonly qosClass?: string;
}

export interface Pod extends KubeObject {
  readonly spec: PodSpec;
  readonly status?: PodStatus;
}

/**
 * Annotation of a pod that has a sidecar; its value is `sidecarInjected`. Set by the API server when the pod is
 * created.
 */
export const sidecarStatusAnnotation = "sidecar.wherry.dev/status";
export const sidecarInjected = "injected";

/** Label or annotation of a pod that asks for a sidecar ("true") or refuses one ("false"). */
export const sidecarInjectLabel = "sidecar.istio.io/inject";

export const pods: Kind<Pod> = {
  group: "",
  version: "v1",
  kind: "Pod",
  plural: "pods",
  singular: "pod",
  shortNames: ["po"],
  namespaced: true,
  categories: ["all"],
  nameFormat: "dnsSubdomain",
  schema: object({ spec: podSpecSchema, status: podStatusSchema }),
  fieldSelectors: {
    "spec.nodeName": ({ spec }) => spec.nodeName ?? "",
    "spec.restartPolicy": ({ spec }) => spec.restartPolicy ?? "",
    "spec.schedulerName": ({ spec }) => spec.schedulerName ?? "",
    "spec.serviceAccountName": ({ spec }) => spec.serviceAccountName ?? "",
    "spec.hostNetwork": ({ spec }) => String((spec as { readonly hostNetwork?: boolean }).hostNetwork ?? false),
    "status.phase": ({ status }) => status?.phase ?? "",
    "status.podIP": ({ status }) => status?.podIP ?? "",
    "status.podIPs": ({ status }) => status?.podIP ?? "",
    "status.nominatedNodeName": ({ status }) =>
      (status as { readonly nominatedNodeName?: string } | undefined)?.nominatedNodeName ?? "",
  },
  default: (pod) => (pod.spec === undefined ? pod : { ...pod, spec: defaultPodSpec(pod.spec) }),
  validate: (pod) => podSpecErrors(pod.spec, "spec"),
  validateUpdate: podUpdateErrors,
};

/** Whether the pod's Ready condition is True. */
export function isPodReady(pod: Pod): boolean {
  return (
    pod.status?.conditions?.some((condition) => condition.type === "Ready" && condition.status === "True") === true
  );
}

/** Whether the pod has ended and will not run again. */
export function isPodFinished(pod: Pod): boolean {
  return pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
}
