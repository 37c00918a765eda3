/** A Service that asks for a breaker: after a few failures in a row its broken pod gets no requests. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { createTestCluster } from "./cluster.ts";

const annotation = "balancer.linkerd.io/failure-accrual";

const server = (name: string, status: number): string => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, labels: {app: web}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - name: main
      image: wherry.dev/pause
      command: [node, -e, "require('http').createServer((_, answer) => answer.writeHead(${status}).end()).listen(8080)"]
      readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
---`;
const objects = (mode: string): string => `${server("good", 200)}${server("bad", 500)}
apiVersion: v1
kind: Pod
metadata: {name: client, labels: {sidecar.istio.io/inject: "true"}}
spec: {terminationGracePeriodSeconds: 0, containers: [{name: main, image: wherry.dev/pause}]}
---
apiVersion: v1
kind: Service
metadata:
  name: web
  annotations: {${mode}, ${annotation}-consecutive-max-failures: "3", ${annotation}-consecutive-min-penalty: 60s}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
`;

/** Sends forty requests, one after the other, and prints how many failed. */
const program = [
  "let failed = 0; const agent = new (require('http').Agent)({ keepAlive: true });",
  "const ask = () => new Promise((done) => require('http').get({ host: 'web', agent }, (answer) => { answer.resume();",
  "answer.on('end', () => { if (answer.statusCode !== 200) failed++; done(); }); }).on('error', () => { failed++; done(); }));",
  "(async () => { for (let at = 0; at < 40; at++) await ask(); process.stdout.write(String(failed)); process.exit(0); })();",
].join(" ");

test("a breaker of consecutive failures keeps requests from a pod that answers with errors", async () => {
  await using cluster = createTestCluster();
  await cluster.run("up", "--detach");
  const file = join(cluster.stateHome, "objects.yaml");
  const apply = async (mode: string): Promise<void> => {
    writeFileSync(file, objects(mode));
    await cluster.run("apply", "-f", file);
  };
  const failures = async (): Promise<number> =>
    Number(await cluster.run("sh", "--pod", "client", "--", process.execPath, "-e", program));
  await apply("note: none");
  // Half of them, once both are there.
  for (let tries = 0; (await failures()) !== 20; tries++) assert.ok(tries < 40, "never balanced");
  await apply(`${annotation}: consecutive`);
  let failed = 40;
  for (let tries = 0; failed > 3; tries++) {
    assert.ok(tries < 20, `${failed} of 40 failed`);
    failed = await failures();
  }
  assert.equal(await failures(), 0);
  writeFileSync(file, objects(`${annotation}: unified`));
  const { status, stderr } = await cluster.attempt("apply", "-f", file);
  assert.equal(status, 1);
  assert.match(stderr, /metadata\.annotations\[balancer\.linkerd\.io\/failure-accrual\]: Invalid value: "unified"/);
});
