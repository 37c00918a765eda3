/** What is accepted and refused of pods across their fields. Rows are fields and Kubernetes' own messages. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { podSpecErrors, qosClassOf } from "./pod-rules.ts";
import type { Container, PodSpec } from "./pod.ts";

const app: Container = { name: "app", image: "app" };
const errorsOf = (spec: Partial<PodSpec> | object): string[] =>
  podSpecErrors({ containers: [app], ...spec }, "spec").map(({ path, message }) => `${path}: ${message}`);
const init = (more: Partial<Container>): Partial<PodSpec> => ({
  initContainers: [{ name: "init", image: "app", ...more }],
});
const main = (more: Partial<Container> | object): Partial<PodSpec> => ({ containers: [{ ...app, ...more }] });
const probe = { exec: { command: ["true"] } };

describe("podSpecErrors()", () => {
  const accepted: readonly [what: string, spec: Partial<PodSpec>][] = [
    ["an init container", init({})],
    ["a sidecar with probes and hooks", init({ restartPolicy: "Always", startupProbe: probe })],
    ["a startup probe", main({ startupProbe: probe })],
    ["a pre-stop wait within the grace period", main({ lifecycle: { preStop: { sleep: { seconds: 30 } } } })],
    [
      "a label as variable",
      main({ env: [{ name: "V", valueFrom: { fieldRef: { fieldPath: "metadata.labels['a']" } } }] }),
    ],
    ["what says that it wants nothing of the node", { hostNetwork: false, hostPID: false } as Partial<PodSpec>],
    [
      "every volume that can be mounted",
      {
        volumes: [
          { name: "a", emptyDir: {} },
          { name: "b", secret: { secretName: "s" } },
        ],
      },
    ],
    ["host aliases", { hostAliases: [{ ip: "::1", hostnames: ["a"] }] }],
  ];
  for (const [what, spec] of accepted) it(`accepts ${what}`, () => assert.deepEqual(errorsOf(spec), []));

  const refused: readonly [spec: Partial<PodSpec> | object, error: RegExp][] = [
    [init({ name: "app" }), /^spec\.initContainers\[0\]\.name: Duplicate value: "app"$/],
    [init({ restartPolicy: "Never" }), /restartPolicy: Unsupported value: "Never": supported values: "Always"$/],
    [
      init({ livenessProbe: probe }),
      /^spec\.initContainers\[0\]\.livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always$/,
    ],
    [main({ restartPolicy: "Always" }), /restartPolicy: Forbidden: may not be set for non-init containers$/],
    [main({ startupProbe: { ...probe, successThreshold: 2 } }), /startupProbe\.successThreshold: .* must be 1$/],
    [main({ readinessProbe: { ...probe, terminationGracePeriodSeconds: 1 } }), /must not be set for readinessProbes$/],
    [main({ lifecycle: { preStop: {} } }), /lifecycle\.preStop: Required value: must specify a handler type$/],
    [main({ lifecycle: { postStart: { tcpSocket: { port: 1 } } } }), /postStart\.tcpSocket: Forbidden: /],
    [main({ lifecycle: { preStop: { sleep: { seconds: 31 } } } }), /terminationGracePeriodSeconds \(30\)$/],
    [
      main({ env: [{ name: "V", valueFrom: { fieldRef: { fieldPath: "spec.none" } } }] }),
      /fieldPath: Invalid value: "spec\.none": error converting fieldPath: field label not supported: spec\.none$/,
    ],
    [
      main({ env: [{ name: "V", valueFrom: { resourceFieldRef: { resource: "limits.disk" } } }] }),
      /resource: Unsupported value: "limits\.disk"/,
    ],
    [{ ephemeralContainers: [{}] }, /ephemeralContainers: Forbidden: /],
    [{ hostNetwork: true }, /^spec\.hostNetwork: Forbidden: the network of the node is not supported/],
    [
      { volumes: [{ name: "v", hostPath: { path: "/" } }] },
      /^spec\.volumes\[0\]\.hostPath: Forbidden: this volume type is not supported: wanted emptyDir, .* or projected$/,
    ],
    [{ volumes: [{ name: "v", persistentVolumeClaim: { claimName: "c" } }] }, /persistentVolumeClaim: Forbidden: /],
    [
      { volumes: [{ name: "v", projected: { sources: [{ podCertificate: {} }] } }] },
      /sources\[0\]\.podCertificate: Forbidden: .* or serviceAccountToken$/,
    ],
    [{ setHostnameAsFQDN: true }, /setHostnameAsFQDN: Forbidden: /],
    [{ hostAliases: [{ ip: "one" }] }, /hostAliases\[0\]\.ip: Invalid value: "one": must be a valid IP address/],
    [
      { volumes: [{ name: "v", configMap: { name: "c", items: [{ key: "k", path: "../x" }] } }] },
      /items\[0\]\.path: Invalid value: "\.\.\/x": must not contain '\.\.'$/,
    ],
    [
      { volumes: [{ name: "v", projected: { sources: [{ serviceAccountToken: { path: "/x" } }] } }] },
      /sources\[0\]\.serviceAccountToken\.path: Invalid value: "\/x": must be a relative path$/,
    ],
    [
      { volumes: [{ name: "v", downwardAPI: { items: [{ path: "x", fieldRef: { fieldPath: "status.podIP" } }] } }] },
      /fieldPath: Unsupported value: "status\.podIP"/,
    ],
    [
      {
        volumes: [{ name: "v", downwardAPI: { items: [{ path: "x", resourceFieldRef: { resource: "limits.cpu" } }] } }],
      },
      /resourceFieldRef\.containerName: Required value/,
    ],
  ];
  for (const [spec, error] of refused) {
    it(`refuses ${JSON.stringify(spec)}`, () => {
      const errors = errorsOf(spec);
      assert.equal(errors.length, 1, errors.join("\n"));
      assert.match(errors[0] ?? "", error);
    });
  }
});

describe("qosClassOf()", () => {
  it("counts init containers, too", () => {
    const guaranteed = { limits: { cpu: "1", memory: "1Gi" } };
    assert.equal(qosClassOf({ containers: [app] }), "BestEffort");
    assert.equal(qosClassOf({ containers: [{ ...app, resources: guaranteed }] }), "Guaranteed");
    assert.equal(qosClassOf({ ...init({}), containers: [{ ...app, resources: guaranteed }] }), "Burstable");
  });
});
