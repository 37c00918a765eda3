/**
 * The fields of a pod, as Kubernetes 1.35 has them, so that published manifests are accepted as they are.
 *
 *   container-schema.ts ─▶ podSpecSchema ─▶ pod.ts, apps/deployment.ts, apps/replicaset.ts
 *
 * `unsupported` fields change what a pod does and are not honoured here: their use is answered with a warning.
 * Fields that only restrict (security contexts) or have one possible meaning here (image pulls) are accepted in
 * silence.
 */
import { conditionsSchema, resourceListSchema, templateMetaSchema } from "../schema/kind.ts";
import {
  bool,
  free,
  int,
  list,
  map,
  object,
  type ObjectSchema,
  oneOf,
  quantity,
  string,
  time,
  unsupported,
} from "../schema/schema.ts";
import { affinitySchema } from "./affinity.ts";
import { containerSchema, fieldRefSchema, resourceFieldRefSchema } from "./container-schema.ts";

const keyToPathSchema = list(
  object({
    key: string({ required: true }),
    path: string({ required: true }),
    mode: int({ min: 0, max: 0o777 }),
  }),
);

/** Sources of a volume that Kubernetes knows and no node here can mount. */
const foreignVolumes = [
  "awsElasticBlockStore azureDisk azureFile cephfs cinder csi ephemeral fc flexVolume flocker",
  "gcePersistentDisk gitRepo glusterfs hostPath image iscsi nfs persistentVolumeClaim photonPersistentDisk",
  "portworxVolume quobyte rbd scaleIO storageos vsphereVolume",
]
  .join(" ")
  .split(" ");

const downwardFilesSchema = list(
  object({
    path: string({ required: true }),
    fieldRef: fieldRefSchema,
    resourceFieldRef: resourceFieldRefSchema,
    mode: int({ min: 0, max: 0o777 }),
  }),
);

const projectionSchema = object({ name: string(), items: keyToPathSchema, optional: bool() });

const projectedSchema = object({
  sources: list(
    object({
      configMap: projectionSchema,
      secret: projectionSchema,
      downwardAPI: object({ items: downwardFilesSchema }),
      serviceAccountToken: object({
        audience: string(),
        expirationSeconds: int({ min: 600, max: 2 ** 32, default: 3600 }),
        path: string({ required: true }),
      }),
      clusterTrustBundle: unsupported(),
      podCertificate: unsupported(),
    }),
  ),
  defaultMode: int({ min: 0, max: 0o777, default: 0o644 }),
});

const volumesSchema = list(
  object({
    name: string({ required: true, format: "dnsLabel" }),
    emptyDir: object({ medium: string(), sizeLimit: quantity({ unsupported: true }) }),
    configMap: object({
      name: string(),
      items: keyToPathSchema,
      optional: bool(),
      defaultMode: int({ min: 0, max: 0o777, default: 0o644 }),
    }),
    secret: object({
      secretName: string(),
      items: keyToPathSchema,
      optional: bool(),
      defaultMode: int({ min: 0, max: 0o777, default: 0o644 }),
    }),
    downwardAPI: object({
      items: downwardFilesSchema,
      defaultMode: int({ min: 0, max: 0o777, default: 0o644 }),
    }),
    projected: projectedSchema,
    ...Object.fromEntries(foreignVolumes.map((name) => [name, unsupported()])),
  }),
  { keys: ["name"], patchMergeKey: "name" },
);

const tolerationsSchema = list(
  object({
    key: string({ format: "qualifiedName" }),
    operator: oneOf(["Exists", "Equal", "Lt", "Gt"]),
    value: string(),
    effect: oneOf(["NoSchedule", "PreferNoSchedule", "NoExecute"]),
    tolerationSeconds: int(),
  }),
);

/** `spec` of a pod, and `spec.template.spec` of what makes pods. */
export const podSpecSchema: ObjectSchema = object(
  {
    containers: list(containerSchema, { required: true, keys: ["name"], patchMergeKey: "name" }),
    initContainers: list(containerSchema, { keys: ["name"], patchMergeKey: "name" }),
    ephemeralContainers: list(free(), { patchMergeKey: "name", unsupported: true }),
    volumes: volumesSchema,
    nodeName: string({ format: "dnsSubdomain" }),
    nodeSelector: map(string({ format: "labelValue" }), { keyFormat: "qualifiedName", flat: true }),
    restartPolicy: oneOf(["Always", "OnFailure", "Never"], { default: "Always" }),
    terminationGracePeriodSeconds: int({ min: 0, default: 30 }),
    activeDeadlineSeconds: int({ min: 1 }),
    dnsPolicy: oneOf(["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"], { default: "ClusterFirst" }),
    dnsConfig: unsupported(),
    serviceAccountName: string({ format: "dnsSubdomain" }),
    serviceAccount: string({ format: "dnsSubdomain" }),
    automountServiceAccountToken: bool(),
    hostNetwork: bool({ unsupported: true }),
    hostPID: bool({ unsupported: true }),
    hostIPC: bool({ unsupported: true }),
    hostUsers: bool(),
    shareProcessNamespace: bool({ unsupported: true }),
    securityContext: free({ default: {}, unsupported: true }),
    imagePullSecrets: list(object({ name: string() }), { patchMergeKey: "name" }),
    hostname: string({ format: "dnsLabel" }),
    hostnameOverride: string({ unsupported: true }),
    subdomain: string({ format: "dnsLabel" }),
    setHostnameAsFQDN: bool({ unsupported: true }),
    affinity: affinitySchema,
    topologySpreadConstraints: list(free(), { patchMergeKey: "topologyKey", unsupported: true }),
    schedulerName: string({ default: "default-scheduler" }),
    schedulingGates: unsupported(),
    tolerations: tolerationsSchema,
    hostAliases: list(object({ ip: string({ required: true }), hostnames: list(string({ format: "dnsSubdomain" })) }), {
      patchMergeKey: "ip",
    }),
    priorityClassName: string({ unsupported: true }),
    priority: int(),
    preemptionPolicy: string(),
    readinessGates: list(object({ conditionType: string({ required: true, format: "qualifiedName" }) })),
    runtimeClassName: string({ unsupported: true }),
    enableServiceLinks: bool({ default: true }),
    overhead: resourceListSchema,
    os: object({ name: string({ required: true }) }),
    resourceClaims: list(free(), { patchMergeKey: "name", unsupported: true }),
    resources: unsupported(),
    workloadRef: unsupported(),
  },
  { required: true },
);

/** A pod template. */
export const podTemplateSchema: ObjectSchema = object(
  { metadata: templateMetaSchema, spec: podSpecSchema },
  { required: true },
);

const stateSchema = object({
  waiting: object({ reason: string(), message: string() }),
  running: object({ startedAt: time() }),
  terminated: object({
    exitCode: int({ required: true }),
    signal: int(),
    reason: string(),
    message: string(),
    startedAt: time(),
    finishedAt: time(),
    containerID: string(),
  }),
});

const containerStatusesSchema = list(
  object({
    name: string({ required: true }),
    state: stateSchema,
    lastState: stateSchema,
    ready: bool(),
    started: bool(),
    restartCount: int({ min: 0 }),
    image: string(),
    imageID: string(),
    containerID: string(),
    allocatedResources: resourceListSchema,
    resources: free(),
    volumeMounts: free(),
    user: free(),
    allocatedResourcesStatus: free(),
    stopSignal: string(),
  }),
  { keys: ["name"] },
);

/** `status` of a pod. */
export const podStatusSchema: ObjectSchema = object({
  phase: oneOf(["Pending", "Running", "Succeeded", "Failed", "Unknown"]),
  conditions: conditionsSchema,
  reason: string(),
  message: string(),
  nominatedNodeName: string(),
  hostIP: string(),
  hostIPs: list(object({ ip: string() })),
  podIP: string(),
  podIPs: list(object({ ip: string() }), { patchMergeKey: "ip" }),
  startTime: time(),
  containerStatuses: containerStatusesSchema,
  initContainerStatuses: containerStatusesSchema,
  ephemeralContainerStatuses: containerStatusesSchema,
  observedGeneration: int(),
  qosClass: oneOf(["Guaranteed", "Burstable", "BestEffort"]),
  resize: string(),
  resourceClaimStatuses: free(),
  extendedResourceClaimStatus: free(),
  allocatedResources: resourceListSchema,
  resources: free(),
});
