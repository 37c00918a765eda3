/**
 * Objects that are wrong in one way each, and what `wherry check` has to say of them.
 */
import type { FindingCode } from "../../../cli/diagnosis/finding.ts";

export interface WrongObject {
  /** What is wrong. */
  readonly what: string;
  readonly yaml: string;
  readonly code: FindingCode;
  /** `kind namespace/name` of the finding. */
  readonly about: RegExp;
  readonly sentence: RegExp;
}

const pod = (name: string, spec: string): string =>
  `apiVersion: v1\nkind: Pod\nmetadata: { name: ${name}, labels: { app: ${name} } }\nspec: ${spec}\n`;
const container = (fields: string): string => `{ containers: [{ name: a, image: wherry.dev/pause, ${fields} }] }`;
const service = (name: string, selector: string): string =>
  `apiVersion: v1\nkind: Service\nmetadata: { name: ${name} }\nspec: { selector: ${selector}, ports: [{ port: 80 }] }\n`;
const gateway = (name: string, listeners: string): string =>
  `apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: { name: ${name} }\nspec: { gatewayClassName: wherry, listeners: ${listeners} }\n`;
const route = (name: string, parent: string, backend: string): string =>
  `apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: { name: ${name} }\nspec: { parentRefs: [${parent}], rules: [{ backendRefs: [{ name: ${backend}, port: 80 }] }] }\n`;

const ingress = (name: string, className: string, service: string): string =>
  `apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: { name: ${name} }\nspec: { ${className}, defaultBackend: { service: { name: ${service}, port: { number: 80 } } } }\n`;

export const wrongObjects: readonly WrongObject[] = [
  {
    what: "an image without an entry in the image map",
    yaml: pod("no-image", "{ containers: [{ name: a, image: example.org/none }] }"),
    code: "ImageUnknown",
    about: /^pod default\/no-image$/,
    sentence: /image "example\.org\/none"/,
  },
  {
    what: "a command that is no program",
    yaml: pod("no-command", container('command: ["/no/such/program"]')),
    code: "CommandBroken",
    about: /^pod default\/no-command$/,
    sentence: /container a/,
  },
  {
    what: "a readiness probe that never succeeds",
    yaml: pod("no-probe", container('readinessProbe: { exec: { command: ["false"] }, periodSeconds: 1 }')),
    code: "NotReady",
    about: /^pod default\/no-probe$/,
    sentence: /Readiness probe failed/,
  },
  {
    what: "a ConfigMap that the environment wants and that is not there",
    yaml: pod("no-configmap", container("envFrom: [{ configMapRef: { name: missing-map } }]")),
    code: "ReferenceMissing",
    about: /^pod default\/no-configmap$/,
    sentence: /missing-map/,
  },
  {
    what: "a key that its Secret does not have",
    yaml: `apiVersion: v1\nkind: Secret\nmetadata: { name: half }\nstringData: { user: me }\n---\n${pod(
      "no-key",
      container("env: [{ name: A, valueFrom: { secretKeyRef: { name: half, key: missing-key } } }]"),
    )}`,
    code: "ReferenceMissing",
    about: /^pod default\/no-key$/,
    sentence: /missing-key/,
  },
  {
    what: "a volume of a ConfigMap that is not there",
    yaml: pod(
      "no-volume",
      '{ volumes: [{ name: v, configMap: { name: missing-volume } }], containers: [{ name: a, image: wherry.dev/pause, volumeMounts: [{ name: v, mountPath: "/v" }] }] }',
    ),
    code: "ReferenceMissing",
    about: /^pod default\/no-volume$/,
    sentence: /missing-volume/,
  },
  {
    what: "a crash loop",
    yaml: pod("crashes", container('command: [sh, -c, "exit 3"]')),
    code: "CrashLoop",
    about: /^pod default\/crashes$/,
    sentence: /container a ended with 3/,
  },
  {
    what: "a container that is killed",
    yaml: pod("killed", container("command: [sh, -c, 'kill -9 $$$$']")),
    code: "CrashLoop",
    about: /^pod default\/killed$/,
    sentence: /container a ended with 137/,
  },
  {
    what: "a container that takes more memory than its limit",
    yaml: pod(
      "greedy",
      container(
        "command: [node, -e, 'const held = []; setInterval(() => held.push(Buffer.alloc(8e6, 1)), 20)'], resources: { limits: { memory: 128Mi } }",
      ),
    ),
    code: "OutOfMemory",
    about: /^pod default\/greedy$/,
    sentence: /container a, \d+ restart/,
  },
  {
    what: "an init container that fails",
    yaml: pod(
      "no-init",
      '{ initContainers: [{ name: first, image: wherry.dev/pause, command: [sh, -c, "exit 4"] }], containers: [{ name: a, image: wherry.dev/pause }] }',
    ),
    code: "CrashLoop",
    about: /^pod default\/no-init$/,
    sentence: /container first ended with 4/,
  },
  {
    what: "a pod that failed and is not started again",
    yaml: pod(
      "failed",
      '{ restartPolicy: Never, containers: [{ name: a, image: wherry.dev/pause, command: [sh, -c, "exit 5"] }] }',
    ),
    code: "PodFailed",
    about: /^pod default\/failed$/,
    sentence: /ended with 5/,
  },
  {
    what: "a node selector that no node has",
    yaml: pod("nowhere", "{ nodeSelector: { disk: gold }, containers: [{ name: a, image: wherry.dev/pause }] }"),
    code: "PodUnschedulable",
    about: /^pod default\/nowhere$/,
    sentence: /0\/2 nodes are available/,
  },
  {
    what: "more CPU than any node has",
    yaml: pod("too-large", container('resources: { requests: { cpu: "100000" } }')),
    code: "PodUnschedulable",
    about: /^pod default\/too-large$/,
    sentence: /Insufficient cpu/,
  },
  {
    what: "a selector that matches nothing",
    yaml: service("nobody", "{ app: nobody }"),
    code: "SelectorMatchesNothing",
    about: /^service default\/nobody$/,
    sentence: /selector app=nobody/,
  },
  {
    what: "a target port that no pod names",
    yaml: `apiVersion: v1\nkind: Service\nmetadata: { name: no-port }\nspec: { selector: { app: no-probe }, ports: [{ port: 80, targetPort: htpp }] }\n`,
    code: "TargetPortMissing",
    about: /^service default\/no-port$/,
    sentence: /none of 1 pod has a port htpp/,
  },
  {
    what: "a Service without a ready endpoint",
    yaml: service("unready", "{ app: no-probe }"),
    code: "NoReadyEndpoint",
    about: /^service default\/unready$/,
    sentence: /1 pod, none ready/,
  },
  {
    what: "a Gateway listener of a protocol that is not served",
    yaml: gateway("udp", "[{ name: a, port: 53, protocol: UDP }]"),
    code: "ListenerRefused",
    about: /^gateway default\/udp$/,
    sentence: /listener a: /,
  },
  {
    what: "an HTTPRoute to a Service that is not there",
    yaml: route("no-backend", "{ kind: Service, group: '', name: unready }", "missing-service"),
    code: "BackendMissing",
    about: /^httproute default\/no-backend$/,
    sentence: /missing-service/,
  },
  {
    what: "an HTTPRoute to a Gateway that is not there",
    yaml: route("no-parent", "{ name: missing-gateway }", "unready"),
    code: "RouteRefused",
    about: /^httproute default\/no-parent$/,
    sentence: /Gateway missing-gateway/,
  },
  {
    what: "an Ingress of a class that is not there",
    yaml: ingress("no-class", "ingressClassName: missing-class", "unready"),
    code: "IngressUnserved",
    about: /^ingress default\/no-class$/,
    sentence: /there is no class missing-class/,
  },
  {
    what: "an Ingress to a Service that is not there",
    yaml: ingress("no-service", "ingressClassName: wherry", "missing-service"),
    code: "BackendMissing",
    about: /^ingress default\/no-service$/,
    sentence: /there is no Service missing-service/,
  },
  {
    what: "a NetworkPolicy that isolates egress and allows no DNS",
    yaml: `apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: { name: no-dns }\nspec: { podSelector: { matchLabels: { app: no-probe } }, policyTypes: [Egress] }\n`,
    code: "DNSDeniedByPolicy",
    about: /^networkpolicy default\/no-dns$/,
    sentence: /1 pod, no-probe$/,
  },
  {
    what: "a Deployment without its replicas",
    yaml: `apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: short }\nspec: { replicas: 2, selector: { matchLabels: { app: short } }, template: { metadata: { labels: { app: short } }, spec: ${container('command: [sh, -c, "exit 6"]')} } }\n`,
    code: "ReplicasMissing",
    about: /^deployment default\/short$/,
    sentence: /0 of 2 available/,
  },
  {
    what: "a Job that has failed",
    yaml: `apiVersion: batch/v1\nkind: Job\nmetadata: { name: fails }\nspec: { backoffLimit: 0, template: { spec: { restartPolicy: Never, containers: [{ name: a, image: wherry.dev/pause, command: [sh, -c, "exit 7"] }] } } }\n`,
    code: "JobFailed",
    about: /^job default\/fails$/,
    sentence: /job default\/fails/,
  },
];

/** A file that is refused, and the sentence. */
export interface RefusedInput {
  readonly what: string;
  readonly yaml: string;
  readonly sentence: RegExp;
}

export const refusedInputs: readonly RefusedInput[] = [
  { what: "YAML that does not parse", yaml: "kind: {\n", sentence: /Cannot parse .*:\d+:\d+: / },
  { what: "a document without a kind", yaml: "metadata: { name: x }\n", sentence: /apiVersion: Required value/ },
  {
    what: "an unknown field",
    yaml: pod("x", container("comand: [a]")),
    sentence: /unknown field "spec\.containers\[0\]\.comand"/,
  },
  { what: "a value of the wrong type", yaml: pod("x", "{ containers: nothing }"), sentence: /spec\.containers/ },
  {
    what: "a pod without containers",
    yaml: pod("x", "{ containers: [] }"),
    sentence: /spec\.containers: Required value/,
  },
  {
    what: "a name that is no DNS name",
    yaml: pod("Not_Good", container("args: []")),
    sentence: /metadata\.name: Invalid value: "Not_Good"/,
  },
  {
    what: "a Namespace that is not there",
    yaml: "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: x, namespace: nowhere }\n",
    sentence: /namespaces "nowhere" not found/,
  },
  {
    what: "a quantity that is none",
    yaml: pod("x", container('resources: { limits: { memory: "many" } }')),
    sentence: /memory/,
  },
  {
    what: "a host twice in a Gateway",
    yaml: gateway(
      "twice",
      "[{ name: a, port: 80, protocol: HTTP, hostname: x.example.org }, { name: b, port: 80, protocol: HTTP, hostname: x.example.org }]",
    ),
    sentence: /spec\.listeners\[1\]: Duplicate value: "80\/HTTP\/x\.example\.org"/,
  },
  {
    what: "a selector that its template does not match",
    yaml: `apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: x }\nspec: { selector: { matchLabels: { app: a } }, template: { metadata: { labels: { app: b } }, spec: ${container("args: []")} } }\n`,
    sentence: /spec\.template\.metadata\.labels: Invalid value/,
  },
];
