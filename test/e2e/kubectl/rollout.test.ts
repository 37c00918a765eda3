/**
 * Rollouts as people do them with stock kubectl 1.35: status, history, undo, pause, resume, restart, and what they say.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { createTestCluster, type TestCluster } from "../cluster.ts";
import { findKubectl } from "./binary.ts";
import { findOrSkip, Kubectl, skipReason } from "./kubectl.ts";

const found = await findOrSkip(findKubectl);
const images = join(import.meta.dirname, "shell-images.yaml");
const done = 'deployment "web" successfully rolled out';

const manifest = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, annotations: {kubernetes.io/change-cause: first}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: web, image: "shell:1"}]
`;

describe("kubectl rollout", skipReason(found), () => {
  let cluster: TestCluster;
  let kubectl: Kubectl;

  before(async () => {
    cluster = createTestCluster();
    await cluster.run("up", "--detach", "--nodes", "1", "--images", images);
    kubectl = new Kubectl(found, cluster);
    await kubectl.run("apply", "-f", kubectl.write("web.yaml", manifest));
  });

  after(async () => {
    await cluster[Symbol.asyncDispose]();
  });

  const image = (): Promise<string> =>
    kubectl.line("get deployment web -o jsonpath={.spec.template.spec.containers[0].image}");
  const replicaSets = async (): Promise<string[]> => {
    const path =
      "{range .items[*]}{.metadata.annotations.deployment\\.kubernetes\\.io/revision} {.spec.replicas};{end}";
    return (await kubectl.run("get", "rs", "-l", "app=web", "-o", `jsonpath=${path}`))
      .split(";")
      .filter(Boolean)
      .sort();
  };

  it("follows a rollout to its end and says so", async () => {
    const said = await kubectl.line("rollout status deployment/web --timeout=30s");
    assert.ok(said.trimEnd().endsWith(done), said);
    for (const line of said.trimEnd().split("\n").slice(0, -1))
      assert.match(line, /^Waiting for deployment "web" rollout to finish: \d+ (of \d+|out of \d+) .+\.\.\.$/);
  });

  it("keeps a history of revisions with their causes", async () => {
    assert.equal(await kubectl.line("set image deployment/web web=shell:2"), "deployment.apps/web image updated\n");
    await kubectl.line("annotate deployment/web kubernetes.io/change-cause=second --overwrite");
    await kubectl.line("rollout status deployment/web --timeout=30s");
    const history = await kubectl.until(/second/, 5000, "rollout", "history", "deployment/web");
    assert.equal(history, "deployment.apps/web \nREVISION  CHANGE-CAUSE\n1         first\n2         second\n\n");
    const second = await kubectl.line("rollout history deployment/web --revision=2");
    assert.match(second, /^deployment\.apps\/web with revision #2\nPod Template:\n/);
    assert.match(second, /Image:\tshell:2\n/);
    assert.match(
      await kubectl.refused("rollout", "history", "deployment/web", "--revision=9"),
      /unable to find the specified revision/,
    );
  });

  it("goes back to an earlier revision by its ReplicaSet, under a new number", async () => {
    assert.deepEqual(await replicaSets(), ["1 0", "2 2"]);
    assert.equal(await kubectl.line("rollout undo deployment/web"), "deployment.apps/web rolled back\n");
    await kubectl.line("rollout status deployment/web --timeout=30s");
    assert.equal(await image(), "shell:1");
    assert.deepEqual(await replicaSets(), ["2 0", "3 2"]);
    assert.equal(
      await kubectl.line("rollout undo deployment/web --to-revision=2"),
      "deployment.apps/web rolled back\n",
    );
    await kubectl.line("rollout status deployment/web --timeout=30s");
    assert.equal(await image(), "shell:2");
    assert.deepEqual(await replicaSets(), ["3 0", "4 2"]);
    assert.match(
      await kubectl.refused("rollout", "undo", "deployment/web", "--to-revision=9"),
      /unable to find specified revision 9 in history/,
    );
  });

  it("rolls nothing while it is paused, and scales all the same", async () => {
    assert.equal(await kubectl.line("rollout pause deployment/web"), "deployment.apps/web paused\n");
    await kubectl.line("set image deployment/web web=shell:3");
    await kubectl.line("scale deployment/web --replicas=3");
    await kubectl.until(/^3$/, 20_000, "get", "deployment", "web", "-o", "jsonpath={.status.readyReplicas}");
    assert.deepEqual(await replicaSets(), ["3 0", "4 3"]);
    assert.match(
      await kubectl.refused("rollout", "pause", "deployment/web"),
      /error: deployments\.apps "web" is already paused/,
    );
    assert.match(
      await kubectl.refused("rollout", "undo", "deployment/web"),
      /you cannot rollback a paused deployment; resume it first/,
    );
    assert.equal(await kubectl.line("rollout resume deployment/web"), "deployment.apps/web resumed\n");
    await kubectl.line("rollout status deployment/web --timeout=30s");
    assert.deepEqual(await replicaSets(), ["3 0", "4 0", "5 3"]);
  });

  it("restarts every pod", async () => {
    const before = await kubectl.line("get pods -l app=web -o name");
    assert.equal(await kubectl.line("rollout restart deployment/web"), "deployment.apps/web restarted\n");
    await kubectl.line("rollout status deployment/web --timeout=30s");
    const kept = before.split("\n").filter(Boolean);
    const now = await kubectl.line("get pods -l app=web --field-selector=status.phase=Running -o name");
    assert.deepEqual(
      kept.filter((name) => now.split("\n").includes(name)),
      [],
    );
  });

  it("says that a rollout has passed its deadline", async () => {
    await kubectl.run("patch", "deployment", "web", "-p", '{"spec":{"progressDeadlineSeconds":2}}');
    await kubectl.line("rollout status deployment/web --timeout=30s");
    await kubectl.line("set image deployment/web web=nowhere:1");
    const late = await kubectl.refused("rollout", "status", "deployment/web", "--timeout=30s");
    assert.match(late, /error: deployment "web" exceeded its progress deadline/);
    assert.match(await kubectl.line("describe deployment web"), /Progressing +False +ProgressDeadlineExceeded/);
    await kubectl.line("rollout undo deployment/web");
    await kubectl.line("rollout status deployment/web --timeout=30s");
  });

  it("tells in events what it scaled, pods in theirs", async () => {
    const described = await kubectl.line("describe deployment web");
    assert.match(
      described,
      /Normal +ScalingReplicaSet +\S+( \(x\d+ over \S+\))? +deployment-controller +Scaled up replica set web-\S+ from 0 to /,
    );
    const events = await kubectl.line("events --for deployment/web");
    assert.match(events, /^LAST SEEN +TYPE +REASON +OBJECT +MESSAGE\n/);
    assert.match(events, /Normal +ScalingReplicaSet +Deployment\/web +Scaled down replica set web-\S+ from \d to \d/);
    const pods = await kubectl.line("describe pods -l app=web");
    for (const reason of ["Scheduled", "Pulled", "Created", "Started"])
      assert.match(pods, new RegExp(`Normal +${reason} `));
    assert.match(pods, /default-scheduler +Successfully assigned default\/web-\S+ to node1/);
  });

  it("rolls DaemonSets, and goes back", async () => {
    const file = kubectl.write(
      "agent.yaml",
      manifest.replaceAll("web", "agent").replace("Deployment", "DaemonSet").replace("  replicas: 2\n", ""),
    );
    await kubectl.run("apply", "-f", file);
    const said = await kubectl.line("rollout status daemonset/agent --timeout=30s");
    assert.ok(said.trimEnd().endsWith('daemon set "agent" successfully rolled out'), said);
    await kubectl.line("set image daemonset/agent agent=shell:2");
    await kubectl.line("rollout status daemonset/agent --timeout=30s");
    assert.match(
      await kubectl.line("rollout history daemonset/agent"),
      /^daemonset\.apps\/agent \nREVISION .*\n1 .*\n2 /,
    );
    assert.equal(await kubectl.line("rollout undo daemonset/agent"), "daemonset.apps/agent rolled back\n");
    await kubectl.line("rollout status daemonset/agent --timeout=30s");
    assert.equal(
      await kubectl.line("get pods -l app=agent -o jsonpath={.items[*].spec.containers[0].image}"),
      "shell:1",
    );
    assert.match(
      await kubectl.line("get daemonset agent"),
      /^NAME +DESIRED +CURRENT +READY +UP-TO-DATE +AVAILABLE +NODE SELECTOR +AGE\nagent +1 +1 +1 +1 +1 +<none> /,
    );
  });
});
