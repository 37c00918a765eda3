/**
 * The fields of a container, as Kubernetes 1.35 has them: variables, probes, hooks, ports, mounts.
 *
 *   containerSchema ─▶ pod-schema.ts
 *
 * What `unsupported` means, and what is accepted in silence: see there.
 */
import { resourceListSchema } from "../schema/kind.ts";
import {
  bool,
  free,
  int,
  intOrString,
  list,
  object,
  type ObjectSchema,
  oneOf,
  port,
  quantity,
  string,
  unsupported,
} from "../schema/schema.ts";

const keySelector = object({ name: string({ required: true }), key: string({ required: true }), optional: bool() });

/** A field of the pod, in a variable or a file of a volume. */
export const fieldRefSchema: ObjectSchema = object({
  fieldPath: string({ required: true }),
  apiVersion: string({ default: "v1" }),
});
/** A request or limit of a container, in a variable or a file of a volume. */
export const resourceFieldRefSchema: ObjectSchema = object({
  resource: string({ required: true }),
  containerName: string(),
  divisor: quantity({ default: "0" }),
});

const envSchema = list(
  object({
    name: string({ required: true, format: "envName" }),
    value: string(),
    valueFrom: object({
      configMapKeyRef: keySelector,
      secretKeyRef: keySelector,
      fieldRef: fieldRefSchema,
      resourceFieldRef: resourceFieldRefSchema,
      fileKeyRef: unsupported(),
    }),
  }),
  { patchMergeKey: "name" },
);

const envFromSchema = list(
  object({
    prefix: string({ format: "envName" }),
    configMapRef: object({ name: string({ required: true }), optional: bool() }),
    secretRef: object({ name: string({ required: true }), optional: bool() }),
  }),
);

const httpGetSchema = object({
  path: string({ default: "/" }),
  port: intOrString({ required: true }),
  host: string(),
  scheme: oneOf(["HTTP", "HTTPS"], { default: "HTTP" }),
  httpHeaders: list(object({ name: string({ required: true }), value: string() })),
});

const tcpSocketSchema = object({ port: intOrString({ required: true }), host: string() });
const execSchema = object({ command: list(string()) });

/** Handlers of a probe, and its times in seconds. */
const probeSchema = object({
  httpGet: httpGetSchema,
  tcpSocket: tcpSocketSchema,
  exec: execSchema,
  grpc: object({ port: port({ required: true }), service: string({ default: "" }) }),
  initialDelaySeconds: int({ min: 0 }),
  timeoutSeconds: int({ min: 1, default: 1 }),
  periodSeconds: int({ min: 1, default: 10 }),
  successThreshold: int({ min: 1, default: 1 }),
  failureThreshold: int({ min: 1, default: 3 }),
  terminationGracePeriodSeconds: int({ min: 1 }),
});

const handlerSchema = object({
  exec: execSchema,
  httpGet: httpGetSchema,
  tcpSocket: { ...tcpSocketSchema, unsupported: true },
  sleep: object({ seconds: int({ required: true, min: 0 }) }),
});

/** A container or init container of a pod. */
export const containerSchema: ObjectSchema = object({
  name: string({ required: true, format: "dnsLabel" }),
  image: string({ required: true }),
  command: list(string()),
  args: list(string()),
  workingDir: string(),
  ports: list(
    object({
      name: string({ format: "portName" }),
      containerPort: port({ required: true }),
      protocol: oneOf(["TCP", "UDP", "SCTP"], { default: "TCP" }),
      hostPort: port({ unsupported: true }),
      hostIP: string({ unsupported: true }),
    }),
    { patchMergeKey: "containerPort" },
  ),
  env: envSchema,
  envFrom: envFromSchema,
  resources: object(
    { requests: resourceListSchema, limits: resourceListSchema, claims: unsupported() },
    { default: {} },
  ),
  resizePolicy: free(),
  restartPolicy: string(),
  restartPolicyRules: unsupported(),
  volumeMounts: list(
    object({
      name: string({ required: true }),
      mountPath: string({ required: true }),
      subPath: string(),
      readOnly: bool(),
      mountPropagation: string({ unsupported: true }),
      subPathExpr: string({ unsupported: true }),
      recursiveReadOnly: string(),
    }),
    { keys: ["mountPath"], patchMergeKey: "mountPath" },
  ),
  volumeDevices: list(free(), { patchMergeKey: "devicePath", unsupported: true }),
  livenessProbe: probeSchema,
  readinessProbe: probeSchema,
  startupProbe: probeSchema,
  lifecycle: object({ postStart: handlerSchema, preStop: handlerSchema, stopSignal: unsupported() }),
  terminationMessagePath: string({ default: "/dev/termination-log" }),
  terminationMessagePolicy: oneOf(["File", "FallbackToLogsOnError"], { default: "File" }),
  imagePullPolicy: oneOf(["Always", "IfNotPresent", "Never"]),
  securityContext: unsupported(),
  stdin: bool({ unsupported: true }),
  stdinOnce: bool(),
  tty: bool({ unsupported: true }),
});
