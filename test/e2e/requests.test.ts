/** A Service with `appProtocol: http` in a running cluster without sidecars: each request finds its own endpoint. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { createTestCluster } from "./cluster.ts";
import { findNode } from "./processes.ts";

const serve = `require('node:http').createServer((_, answer) => answer.end(process.env.HOSTNAME)).listen(8080)`;
const objects = `
apiVersion: v1
kind: Pod
metadata: {name: client}
spec: {terminationGracePeriodSeconds: 0, containers: [{name: main, image: wherry.dev/pause}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - name: main
          image: wherry.dev/pause
          command: [node, -e, "${serve}"]
          ports: [{name: http, containerPort: 8080}]
          readinessProbe: {httpGet: {port: http}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: http, appProtocol: http}]}
`;

/** 20 requests on one connection: who answered, a line each. */
const client = `
  const { Agent, get } = require("node:http");
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const ask = () => new Promise((resolve, reject) => {
    const asked = get({ host: "web", agent, timeout: 10_000 }, (answer) => {
      let text = "";
      answer.on("data", (chunk) => (text += chunk)).on("end", () => resolve(text));
    });
    asked.on("error", reject).on("timeout", () => asked.destroy(new Error("no answer in 10 s")));
  });
  (async () => { for (let n = 0; n < 20; n++) console.log(await ask()); agent.destroy(); })();`;

test("20 requests of one connection alternate over the endpoints, also by an agent that was killed", async () => {
  await using cluster = createTestCluster();
  await cluster.run("up", "--detach", "--nodes", "1");
  const file = join(cluster.stateHome, "objects.yaml");
  writeFileSync(file, objects);
  await cluster.run("apply", "-f", file);
  const ask = async (): Promise<readonly string[]> => {
    const { status, stdout, stderr } = await cluster.attempt("sh", "--pod", "client", "--", "node", "-e", client);
    assert.equal(status, 0, stderr);
    return stdout.trim().split("\n");
  };
  const isAlternating = (by: readonly string[]): boolean =>
    new Set(by).size === 2 && by.every((pod, n) => pod === by[n % 2]);
  const until = async (isSo: () => Promise<boolean>): Promise<void> => {
    for (let tries = 0; !(await isSo().catch(() => false)); tries++) assert.ok(tries < 60, "not in time");
  };
  await until(async () => isAlternating(await ask()));
  assert.match(
    await cluster.run("explain", "GET", "http://web/", "--from", "client"),
    /each request by the node's HTTP/,
  );

  const agent = findNode(cluster.name, "cli/agent.ts", ({ command }) => command.length > 0);
  assert.ok(agent !== undefined);
  process.kill(agent.pid, "SIGKILL");
  // Whether they wait for the next agent or are balanced by connection meanwhile: every one of them is answered.
  for (let n = 0; n < 3; n++) assert.equal((await ask()).length, 20);
  await until(async () => isAlternating(await ask()));
});
