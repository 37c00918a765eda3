/**
 * A node that is cut off: its pods are replaced elsewhere, and when it is back nothing runs twice.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { createTestCluster, type TestCluster } from "./cluster.ts";
import { findKubectl } from "./kubectl/binary.ts";
import { findOrSkip, Kubectl, skipReason } from "./kubectl/kubectl.ts";
import { clusterProcesses, findNode } from "./processes.ts";

const found = await findOrSkip(findKubectl);
const images = join(import.meta.dirname, "kubectl", "shell-images.yaml");
const replicas = 4;
const marker = "exec sleep 987654";

const manifest = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: ${replicas}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: web, image: shell, command: [/bin/sh, -c, "${marker}"]}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
`;

/** Nothing gets in, out or through, and nobody is told: as when a cable is pulled. */
const cut =
  "table ip cut { chain in { type filter hook input priority -300; policy drop; iif lo accept; }; " +
  "chain out { type filter hook output priority -300; policy drop; oif lo accept; }; " +
  "chain through { type filter hook forward priority -300; policy drop; }; }";

describe("a node that is cut off", skipReason(found), () => {
  let cluster: TestCluster;
  let kubectl: Kubectl;

  before(async () => {
    cluster = createTestCluster();
    const soon = [
      ["--node-monitor-grace-period", "2s"],
      ["--node-lease-duration-seconds", "2"],
      ["--default-unreachable-toleration-seconds", "1"],
      ["--default-not-ready-toleration-seconds", "1"],
    ].flat();
    await cluster.run("up", "--detach", "--images", images, ...soon);
    kubectl = new Kubectl(found, cluster);
    await kubectl.run("apply", "-f", kubectl.write("web.yaml", manifest));
    await kubectl.line("rollout status deployment web --timeout=30s");
  });

  after(async () => {
    await cluster[Symbol.asyncDispose]();
  });

  const places = async (): Promise<string[]> => {
    const path = "{range .items[*]}{.spec.nodeName} {.metadata.deletionTimestamp};{end}";
    const lines = await kubectl.run("get", "pods", "-l", "app=web", "-o", `jsonpath=${path}`);
    return lines
      .split(";")
      .filter(Boolean)
      .map((line) => (/\d{4}-/.test(line) ? `${line.split(" ")[0]} ending` : line.trim()))
      .sort();
  };
  const running = (): number =>
    clusterProcesses(cluster.name).filter(({ command }) => command.join(" ") === marker.replace("exec ", "")).length;
  const waitFor = async (isDone: () => Promise<boolean> | boolean, what: () => unknown): Promise<void> => {
    for (const untilMs = performance.now() + 30_000; !(await isDone());) {
      assert.ok(performance.now() < untilMs, `waited too long: ${JSON.stringify(await what())}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  };

  it("starts spread over both nodes", async () => {
    assert.deepEqual(await places(), ["node1", "node1", "node2", "node2"]);
    await waitFor(() => running() === replicas, running);
  });

  it("is found unreachable and tainted, its endpoints leave, its pods are replaced elsewhere", async () => {
    await cluster.run("sh", "--node", "node2", "--", "nft", cut);
    const agent = findNode(cluster.name, "cli/agent.ts", ({ command }) => command.length > 0);
    assert.ok(agent !== undefined);
    process.kill(agent.pid, "SIGKILL");
    await kubectl.until(/^node2 +NotReady /m, 20_000, "get", "nodes");
    await kubectl.until(/node\.kubernetes\.io\/unreachable:NoExecute/, 20_000, "describe", "node", "node2");
    assert.match(
      await kubectl.line("describe node node2"),
      /Ready +Unknown .*NodeStatusUnknown +Kubelet stopped posting node status\./,
    );
    await waitFor(async () => (await places()).join() === "node1,node1,node1,node1,node2 ending,node2 ending", places);
    await kubectl.line("rollout status deployment web --timeout=30s");
    const events = await kubectl.line("get events -A");
    for (const reason of ["NodeNotReady", "TaintManagerEviction"]) assert.match(events, new RegExp(` ${reason} `));
    const ready = "jsonpath={.items[*].endpoints[?(@.conditions.ready==true)].nodeName}";
    const slices = await kubectl.run("get", "endpointslices", "-l", "kubernetes.io/service-name=web", "-o", ready);
    assert.equal(slices, "node1 node1 node1 node1");
  });

  it("comes back, without its taints and without duplicates", async () => {
    // What nobody could reach ran on. A container counts once its shell has become the program, a moment after Ready.
    await waitFor(() => running() === replicas + 2, running);
    await cluster.run("sh", "--node", "node2", "--", "nft", "delete table ip cut");
    await kubectl.until(/^node2 +Ready /m, 30_000, "get", "nodes");
    await waitFor(async () => (await places()).join() === "node1,node1,node1,node1", places);
    await waitFor(() => running() === replicas, running);
    await kubectl.until(/^\[\]$|^$/, 10_000, "get", "node", "node2", "-o", "jsonpath={.spec.taints}");
    await kubectl.line("scale deployment web --replicas=6");
    await kubectl.line("rollout status deployment web --timeout=30s");
    assert.equal((await places()).filter((place) => place === "node2").length, 2);
    await waitFor(() => running() === 6, running);
  });
});
