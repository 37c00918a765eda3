/** Table tests of reading and validating objects: one row a rule, in the words that users see. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { kindByName, kinds } from "../scheme.ts";
import { StatusError } from "../status.ts";
import type { Kind } from "./kind.ts";
import { isEqual, readObject, validateObject, validateUpdate } from "./read.ts";

function kindNamed(apiVersion: string, kind: string): Kind {
  const found = kindByName(apiVersion, kind);
  assert.ok(found !== undefined, `${apiVersion} ${kind}`);
  return found;
}

/** Everything wrong with an object of that kind, as lines. */
function problems(apiVersion: string, kind: string, fields: object, metadata: object = { name: "x" }): string[] {
  const description = kindNamed(apiVersion, kind);
  try {
    const { object, unknown } = readObject(description, { apiVersion, kind, metadata, ...fields });
    const errors = validateObject(description, object).map(({ path, message }) => `${path}: ${message}`);
    return [...unknown.map((path) => `unknown field ${path}`), ...errors];
  } catch (error) {
    assert.ok(error instanceof StatusError && error.code === "BadRequest", String(error));
    return [error.message];
  }
}

const container = { name: "app", image: "app:1" };
const service = (port: object, spec: object = {}): object => ({ spec: { ports: [port], ...spec } });
const podOf = (fields: object, spec: object = {}): object => ({
  spec: { containers: [{ ...container, ...fields }], ...spec },
});
const label = { app: "x" };
const deploymentOf = (spec: object, template: object = {}): object => ({
  spec: {
    selector: { matchLabels: label },
    template: { metadata: { labels: label }, spec: { containers: [container] }, ...template },
    ...spec,
  },
});

const rows: readonly (readonly [string, string, object, ...string[]])[] = [
  ["v1", "Service", service({ port: 80 })],
  [
    "v1",
    "Service",
    service({ port: 70_000 }),
    "spec.ports[0].port: Invalid value: 70000: must be between 1 and 65535, inclusive",
  ],
  ["v1", "Service", service({}), "spec.ports[0].port: Required value"],
  ["v1", "Service", {}, "spec: Required value"],
  [
    "v1",
    "Service",
    service({ port: "80" }),
    'Service in version "v1" cannot be handled as a Service: spec.ports[0].port: got the string "80", wanted an integer',
  ],
  [
    "v1",
    "Service",
    service({ port: 80 }, { type: "Foo" }),
    'spec.type: Unsupported value: "Foo": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"',
  ],
  ["v1", "Service", service({ port: 80 }, { trafficDistribution: "PreferSameZone" })],
  [
    "v1",
    "Service",
    service({ port: 80 }, { trafficDistribution: "Near" }),
    'spec.trafficDistribution: Unsupported value: "Near": supported values: "PreferClose", "PreferSameNode", "PreferSameZone"',
  ],
  [
    "v1",
    "Service",
    { spec: { ports: [{ port: 80 }, { port: 81 }] } },
    "spec.ports[0].name: Required value",
    "spec.ports[1].name: Required value",
  ],
  [
    "v1",
    "Service",
    {
      spec: {
        ports: [
          { name: "a", port: 80 },
          { name: "a", port: 81 },
        ],
      },
    },
    'spec.ports[1].name: Duplicate value: "a"',
  ],
  ["v1", "Service", { spec: { ports: [] } }, "spec.ports: Required value"],
  ["v1", "Service", { spec: { clusterIP: "None" } }],
  [
    "v1",
    "Service",
    service({ port: 80 }, { ipFamilies: ["IPv6"] }),
    'spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster',
  ],
  ["v1", "Pod", podOf({})],
  ["v1", "Pod", { spec: {} }, "spec.containers: Required value"],
  ["v1", "Pod", { spec: { containers: [{ name: "a" }] } }, "spec.containers[0].image: Required value"],
  ["v1", "Pod", { spec: { containers: [container, container] } }, 'spec.containers[1].name: Duplicate value: "app"'],
  ["v1", "Pod", podOf({ foo: 1 }, { bar: 2 }), "unknown field spec.containers[0].foo", "unknown field spec.bar"],
  [
    "v1",
    "Pod",
    podOf({ volumeMounts: [{ name: "v", mountPath: "/v" }] }),
    'spec.containers[0].volumeMounts[0].name: Not found: "v"',
  ],
  [
    "v1",
    "Pod",
    podOf({ readinessProbe: {} }),
    "spec.containers[0].readinessProbe: Required value: must specify a handler type",
  ],
  [
    "v1",
    "Pod",
    podOf({ readinessProbe: { tcpSocket: { port: 1 }, exec: {} } }),
    "spec.containers[0].readinessProbe.exec: Forbidden: may not specify more than 1 handler type",
  ],
  [
    "v1",
    "Pod",
    podOf({ resources: { requests: { cpu: "lots" } } }),
    'Pod in version "v1" cannot be handled as a Pod: spec.containers[0].resources.requests[cpu]: got the string "lots", wanted a quantity such as 100m, 2 or 64Mi',
  ],
  [
    "v1",
    "Pod",
    podOf({}, { restartPolicy: "Sometimes" }),
    'spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "Never", "OnFailure"',
  ],
  ["v1", "Pod", podOf({}, { volumes: [{ name: "v" }] }), "spec.volumes[0]: Required value: must specify a volume type"],
  ["apps/v1", "Deployment", deploymentOf({})],
  [
    "apps/v1",
    "Deployment",
    deploymentOf({ replicas: -1 }),
    "spec.replicas: Invalid value: -1: must be between 0 and 2147483647, inclusive",
  ],
  [
    "apps/v1",
    "Deployment",
    deploymentOf({ selector: {} }),
    "spec.selector: Invalid value: {}: must select by something: an empty selector is invalid",
  ],
  [
    "apps/v1",
    "Deployment",
    deploymentOf({ selector: { matchLabels: { app: "y" } } }),
    'spec.template.metadata.labels: Invalid value: {"app":"x"}: `selector` does not match template `labels`',
  ],
  [
    "apps/v1",
    "Deployment",
    deploymentOf({ strategy: { rollingUpdate: { maxSurge: 0, maxUnavailable: 0 } } }),
    "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0",
  ],
  [
    "apps/v1",
    "Deployment",
    deploymentOf({}, { spec: { containers: [container], restartPolicy: "Never" } }),
    'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
  ],
  [
    "v1",
    "ConfigMap",
    { data: { "a b": "" } },
    "data[a b]: Invalid value: \"a b\": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
  ],
  [
    "v1",
    "ConfigMap",
    { data: { a: 1 } },
    'ConfigMap in version "v1" cannot be handled as a ConfigMap: data[a]: got 1, wanted a string',
  ],
  ["v1", "Secret", { type: "kubernetes.io/tls" }, "data[tls.crt]: Required value", "data[tls.key]: Required value"],
  [
    "v1",
    "Secret",
    { data: { a: "!" } },
    'data[a]: Invalid value: "!": must be base64 (RFC 4648 section 4, with padding)',
  ],
  [
    "discovery.k8s.io/v1",
    "EndpointSlice",
    { addressType: "IPv4", endpoints: [{ addresses: ["1.2.3"] }] },
    'endpoints[0].addresses[0]: Invalid value: "1.2.3": must be a valid IPv4 address, (e.g. 10.9.8.7)',
  ],
  [
    "gateway.networking.k8s.io/v1",
    "HTTPRoute",
    { spec: { rules: [{ backendRefs: [{ name: "a" }] }] } },
    'spec.rules[0].backendRefs[0]: Invalid value: "a": Must have port for Service reference',
  ],
  [
    "gateway.networking.k8s.io/v1",
    "HTTPRoute",
    { spec: { rules: [{ matches: [{ path: { value: "x" } }] }] } },
    "spec.rules[0].matches[0].path.value: Invalid value: \"x\": must be an absolute path and start with '/'",
  ],
  [
    "gateway.networking.k8s.io/v1",
    "Gateway",
    {
      spec: {
        gatewayClassName: "w",
        listeners: [
          { name: "a", port: 80, protocol: "HTTP" },
          { name: "b", port: 80, protocol: "HTTP" },
        ],
      },
    },
    'spec.listeners[1]: Duplicate value: "80/HTTP/"',
  ],
];

for (const [apiVersion, kind, fields, ...wanted] of rows)
  test(`validateObject() ${kind} ${wanted.length === 0 ? `accepts ${JSON.stringify(fields).slice(0, 60)}` : (wanted[0] ?? "")}`, () => {
    assert.deepEqual(problems(apiVersion, kind, fields), wanted);
  });

test("validateObject() checks metadata of every kind", () => {
  for (const { group, version, kind } of kinds) {
    const apiVersion = group === "" ? version : `${group}/${version}`;
    const found = problems(apiVersion, kind, {}, { name: "Not_A_Name", labels: { "-": "x", a: "b c" } });
    assert.ok(
      found.some((line) => line.startsWith('metadata.name: Invalid value: "Not_A_Name": a')),
      kind,
    );
    assert.ok(
      found.some((line) => line.startsWith('metadata.labels: Invalid value: "-": name part must')),
      kind,
    );
    assert.ok(
      found.some((line) => line.startsWith('metadata.labels: Invalid value: "b c": a valid label must')),
      kind,
    );
  }
});

test("readObject() fills in what Kubernetes fills in", () => {
  const pod = readObject(kindNamed("v1", "Pod"), {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "p", creationTimestamp: null },
    ...podOf({
      ports: [{ containerPort: 80 }],
      readinessProbe: { httpGet: { port: 80 } },
      resources: { limits: { cpu: 1 } },
    }),
  }).object as unknown as { metadata: object; spec: Record<string, unknown> & { containers: object[] } };
  assert.deepEqual(pod.metadata, { name: "p" });
  assert.equal(pod.spec["restartPolicy"], "Always");
  assert.equal(pod.spec["terminationGracePeriodSeconds"], 30);
  assert.deepEqual(pod.spec.containers[0], {
    name: "app",
    image: "app:1",
    ports: [{ containerPort: 80, protocol: "TCP" }],
    readinessProbe: {
      httpGet: { port: 80, path: "/", scheme: "HTTP" },
      timeoutSeconds: 1,
      periodSeconds: 10,
      successThreshold: 1,
      failureThreshold: 3,
    },
    resources: { limits: { cpu: "1" }, requests: { cpu: "1" } },
    imagePullPolicy: "IfNotPresent",
    terminationMessagePath: "/dev/termination-log",
    terminationMessagePolicy: "File",
  });
});

test("readObject() accepts a published manifest's fields and names those that are not honoured", () => {
  // The shape of Online Boutique's deployments.
  const spec = {
    serviceAccountName: "frontend",
    terminationGracePeriodSeconds: 5,
    securityContext: { fsGroup: 1000, runAsNonRoot: true },
    initContainers: [{ name: "wait", image: "busybox" }],
    containers: [
      {
        name: "server",
        image: "frontend",
        securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ["ALL"] }, privileged: false },
        ports: [{ containerPort: 8080 }],
        readinessProbe: { periodSeconds: 15, grpc: { port: 8080 } },
        env: [{ name: "PORT", value: "8080" }],
        resources: { requests: { cpu: "100m", memory: "64Mi" }, limits: { cpu: "200m", memory: "128Mi" } },
      },
    ],
  };
  const deployment = {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "frontend" },
    ...deploymentOf({}, { spec }),
  };
  const kind = kindNamed("apps/v1", "Deployment");
  const { object, unknown, unsupported } = readObject(kind, deployment);
  assert.deepEqual(unknown, []);
  assert.deepEqual([...unsupported].sort(), [
    "spec.template.spec.containers[0].securityContext",
    "spec.template.spec.securityContext",
  ]);
  assert.deepEqual(validateObject(kind, object), []);
});

test("readObject() warns of the values that are not honoured, not of those that are", () => {
  const kind = kindNamed("v1", "Service");
  const read = (spec: object): readonly string[] =>
    readObject(kind, {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "s" },
      spec: { ports: [{ port: 80 }], ...spec },
    }).unsupported;
  assert.deepEqual(read({ type: "ClusterIP", sessionAffinity: "None", internalTrafficPolicy: "Cluster" }), []);
  assert.deepEqual([...read({ loadBalancerIP: "192.0.2.1", loadBalancerClass: "example.com/class" })].sort(), [
    "spec.loadBalancerClass",
    "spec.loadBalancerIP",
  ]);
});

test("validateUpdate() keeps selectors and immutable data as they are", () => {
  const kind = kindNamed("apps/v1", "Deployment");
  const read = (fields: object): ReturnType<typeof readObject>["object"] =>
    readObject(kind, { apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "d" }, ...fields }).object;
  const errors = validateUpdate(
    kind,
    read(deploymentOf({ selector: { matchLabels: { app: "y" } } })),
    read(deploymentOf({})),
  );
  assert.equal(errors[0]?.message, 'Invalid value: {"matchLabels":{"app":"y"}}: field is immutable');
  assert.deepEqual(validateUpdate(kind, read(deploymentOf({ replicas: 3 })), read(deploymentOf({}))), []);
});

test("readObject() never throws anything but BadRequest, and reads its own result unchanged", () => {
  const names = [
    "spec",
    "metadata",
    "status",
    "containers",
    "ports",
    "data",
    "name",
    "labels",
    "__proto__",
    "template",
    "selector",
    "endpoints",
  ];
  const value = fc.letrec((tie) => ({
    any: fc.oneof(
      { maxDepth: 5 },
      fc.constantFrom(null, "", "a", 1, -1.5, true),
      fc.array(tie("any"), { maxLength: 3 }),
      fc.dictionary(fc.constantFrom(...names), tie("any")),
    ),
  })).any;
  fc.assert(
    fc.property(fc.constantFrom(...kinds), fc.dictionary(fc.constantFrom(...names), value), (kind, fields) => {
      const apiVersion = kind.group === "" ? kind.version : `${kind.group}/${kind.version}`;
      try {
        const once = readObject(kind, { ...fields, apiVersion, kind: kind.kind }).object;
        validateObject(kind, once);
        assert.ok(isEqual(readObject(kind, once).object, once));
      } catch (error) {
        assert.ok(error instanceof StatusError && error.code === "BadRequest", String(error));
      }
    }),
    { numRuns: 500 },
  );
});
