/** A NetworkPolicy in a running cluster: from kubectl's object to packets that do not arrive. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { createTestCluster } from "./cluster.ts";

const pause = (name: string): string => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, labels: {app: ${name}}}
spec: {terminationGracePeriodSeconds: 0, containers: [{name: main, image: wherry.dev/pause}]}
---`;
const objects = `${pause("friend")}${pause("stranger")}
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - name: main
      image: wherry.dev/pause
      command: [node, -e, "require('node:http').createServer((_, answer) => answer.end('hi')).listen(8080)"]
      ports: [{name: http, containerPort: 8080}]
      readinessProbe: {httpGet: {port: http}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: http}]}
`;
const policy = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: friends}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress: [{from: [{podSelector: {matchLabels: {app: friend}}}], ports: [{port: http}]}]
`;
const denyAll = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny}
spec: {podSelector: {matchLabels: {app: friend}}, policyTypes: [Egress]}
`;

test("a NetworkPolicy lets in those that it names, while it is there", async () => {
  await using cluster = createTestCluster();
  await cluster.run("up", "--detach");
  const apply = async (verb: string, text: string): Promise<void> => {
    const file = join(cluster.stateHome, "objects.yaml");
    writeFileSync(file, text);
    await cluster.run(verb, "-f", file);
  };
  const reaches = async (pod: string): Promise<boolean> =>
    (await cluster.attempt("sh", "--pod", pod, "--", "curl", "-sf", "-m", "2", "http://web/")).status === 0;
  const until = async (isSo: () => Promise<boolean>): Promise<void> => {
    for (let tries = 0; !(await isSo()); tries++) assert.ok(tries < 40, "not in time");
  };
  await apply("apply", objects);
  await until(() => reaches("friend"));
  await until(() => reaches("stranger"));
  await apply("apply", policy);
  await until(async () => !(await reaches("stranger")));
  assert.equal(await reaches("friend"), true);
  assert.match(await cluster.run("get", "netpol"), /friends +app=web/);
  const explain = (pod: string): Promise<string> => cluster.run("explain", "GET", "http://web/", "--from", pod);
  assert.match(
    await explain("stranger"),
    /→ fails: the connection is dropped, NetworkPolicy default\/friends \(ingress of default\/web\) does not allow it/,
  );
  assert.match(await explain("friend"), /→ answered by its one endpoint/);
  // The kubelet's probes come from the node, which always may.
  assert.match(await cluster.run("get", "pod", "web"), /1\/1 +Running/);
  await apply("apply", denyAll);
  assert.match(
    await explain("friend"),
    /→ fails: the name web does not resolve: NetworkPolicy default\/deny \(egress of default\/friend\)/,
  );
  assert.match((await cluster.attempt("check")).stdout, /networkpolicy default\/deny: .*1 pod, friend .*DNSDenied/);
  await apply("delete", denyAll);
  await apply("delete", policy);
  await until(() => reaches("stranger"));
});
