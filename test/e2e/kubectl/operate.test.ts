/**
 * What people do with a running cluster, by stock kubectl 1.35: watch, read logs, delete with every cascade, look at
 * events and use, take nodes out of service, run Jobs, use tokens.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createTestCluster, type TestCluster } from "../cluster.ts";
import { findKubectl } from "./binary.ts";
import { findOrSkip, head, Kubectl, skipReason } from "./kubectl.ts";

const found = await findOrSkip(findKubectl);
const images = join(import.meta.dirname, "shell-images.yaml");

/** A pod that runs `script` once, or as often as `restartPolicy` says. */
const pod = (name: string, script: string, more = "restartPolicy: Never"): string => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, labels: {app: ${name}}}
spec:
  ${more}
  terminationGracePeriodSeconds: 0
  containers: [{name: main, image: shell, command: [/bin/sh, -c], args: [${JSON.stringify(script)}]}]
`;

const deployment = (name: string): string => `
apiVersion: apps/v1
kind: Deployment
metadata: {name: ${name}}
spec:
  replicas: 1
  selector: {matchLabels: {app: ${name}}}
  template:
    metadata: {labels: {app: ${name}}}
    spec: {terminationGracePeriodSeconds: 0, containers: [{name: main, image: shell}]}
`;

describe("kubectl", skipReason(found), () => {
  let cluster: TestCluster;
  let kubectl: Kubectl;

  before(async () => {
    cluster = createTestCluster();
    await cluster.run("up", "--detach", "--nodes", "2", "--images", images);
    kubectl = new Kubectl(found, cluster);
  });

  after(async () => {
    await cluster[Symbol.asyncDispose]();
  });

  const apply = (name: string, text: string): Promise<string> =>
    kubectl.run("apply", "-f", kubectl.write(`${name}.yaml`, text));
  const phase = (name: string, wanted: string): Promise<string> =>
    kubectl.run("wait", `--for=jsonpath={.status.phase}=${wanted}`, `pod/${name}`, "--timeout=20s");

  it("watches what changes, as a table and as events", async () => {
    const table = kubectl.start("get", "pods", "-w");
    const events = kubectl.start("get", "pods", "--watch-only", "--output-watch-events");
    try {
      await apply("heard", pod("heard", "sleep 1000"));
      // It says nothing of what was there before it watches, so it is told until it hears.
      const heard = events.printed(/MODIFIED +heard /).then(() => true);
      for (let turn = 0; !(await Promise.race([heard, sleep(100, false)])); turn++)
        await kubectl.line(`annotate pod heard --overwrite turn=${turn}`);
      await kubectl.line("delete pod heard --wait=false");
      await apply("seen", pod("seen", "sleep 1000"));
      assert.match(await table.printed(/seen +1\/1 +Running +0 /), /^NAME +READY +STATUS +RESTARTS +AGE\n/);
      await kubectl.line("delete pod seen --wait=false");
      await events.printed(/DELETED +seen /);
    } finally {
      const [rows, changes] = await Promise.all([table.stop(), events.stop()]);
      assert.match(rows, /seen +0\/1 +(Pending|ContainerCreating) /);
      assert.match(changes, /^EVENT +NAME +READY .*\n/);
      assert.match(changes, /^ADDED +seen .*\n(.* heard .*\n)*MODIFIED +seen /m);
    }
  });

  it("reads logs by every option", async () => {
    const script = 'for i in 1 2 3; do echo "line $i"; done; echo "to stderr" >&2; sleep 1; echo last; exec sleep 1000';
    await apply("talker", pod("talker", script));
    const following = kubectl.start("logs", "-f", "talker");
    await following.printed(/last/).catch(() => undefined);
    await following.stop();
    const all = await kubectl.until(/last/, 20_000, "logs", "talker");
    assert.deepEqual(all.split("\n"), ["line 1", "line 2", "line 3", "to stderr", "last", ""]);
    assert.equal(await kubectl.line("logs talker --tail=2"), "to stderr\nlast\n");
    assert.equal(await kubectl.line("logs talker --limit-bytes=10"), "line 1\nlin");
    const stamped = await kubectl.line("logs talker --timestamps --tail=1");
    assert.match(stamped, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(Z|[+-]\d\d:\d\d) last\n$/);
    const [at = ""] = stamped.split(" ");
    assert.equal(await kubectl.line(`logs talker --since-time=${at}`), "last\n");
    assert.equal(await kubectl.line("logs talker --since=1h"), all);
    assert.match(await kubectl.line("logs -l app=talker --prefix --tail=1"), /^\[pod\/talker\/main\] last\n$/);
    assert.match(
      await kubectl.refused("logs", "talker", "--previous"),
      /previous terminated container "main" in pod "talker" not found/,
    );
    assert.match(
      await kubectl.refused("logs", "talker", "-c", "nobody"),
      /container nobody is not valid for pod talker/,
    );
    assert.match(await kubectl.refused("logs", "nobody"), /pods "nobody" not found/);
  });

  it("follows a log as it grows, and reads that of the instance before", async () => {
    const script = 'n=$(cat /data/n 2>/dev/null); echo "run ${n:-1}"; echo 2 >/data/n; sleep 2; exit 3';
    const volumes = "restartPolicy: Always\n  volumes: [{name: data, emptyDir: {}}]";
    const text = pod("again", script, volumes).replace(
      "image: shell,",
      "image: shell, volumeMounts: [{name: data, mountPath: /data}],",
    );
    await apply("again", text);
    await kubectl.until(/^run 1\n/, 20_000, "logs", "again");
    await kubectl.until(
      /^[1-9]$/,
      30_000,
      "get",
      "pod",
      "again",
      "-o",
      "jsonpath={.status.containerStatuses[0].restartCount}",
    );
    assert.equal(await kubectl.until(/^run/, 10_000, "logs", "again", "--previous"), "run 1\n");
    assert.match(
      await kubectl.line("describe pod again"),
      /Last State: +Terminated\n +Reason: +Error\n +Exit Code: +3\n/,
    );
    await kubectl.line("delete pod again --now");
  });

  it("deletes in the background, in the foreground and leaving orphans", async () => {
    for (const [name, cascade] of [
      ["bg", "background"],
      ["fg", "foreground"],
      ["orphan", "orphan"],
    ] as const) {
      await apply(name, deployment(name));
      await kubectl.run("wait", "--for=condition=Available", `deployment/${name}`, "--timeout=20s");
      const said = await kubectl.run("delete", "deployment", name, `--cascade=${cascade}`);
      assert.match(said, new RegExp(`^deployment\\.apps "${name}" deleted`));
      if (cascade === "foreground") {
        // The Deployment has waited for what it owns.
        assert.equal(await kubectl.run("get", "rs", "-l", `app=${name}`, "-o", "name"), "");
      }
      if (cascade === "background")
        await kubectl.run("wait", "--for=delete", "pod", "-l", `app=${name}`, "--timeout=20s");
    }
    assert.match(
      await kubectl.line("get rs,pods -l app=orphan -o name"),
      /^replicaset\.apps\/orphan-\S+\npod\/orphan-\S+\n$/,
    );
    const owners = "jsonpath={.items[*].metadata.ownerReferences[*].kind}";
    assert.equal(await kubectl.run("get", "rs", "-l", "app=orphan", "-o", owners), "");
    assert.equal(await kubectl.run("get", "pods", "-l", "app=orphan", "-o", owners), "ReplicaSet");
    // A Deployment of that selector takes the ReplicaSet in again: no second pod.
    const [before] = (await kubectl.line("get pods -l app=orphan -o name")).split("\n");
    await apply("orphan", deployment("orphan"));
    await kubectl.line("rollout status deployment/orphan --timeout=20s");
    assert.equal(await kubectl.line("get pods -l app=orphan -o name"), `${before}\n`);
    await kubectl.line("delete deployment orphan");
  });

  it("deletes at once when forced", async () => {
    await apply(
      "stubborn",
      pod("stubborn", "trap '' TERM; sleep 1000", "terminationGracePeriodSeconds: 600").replace(
        "  terminationGracePeriodSeconds: 0\n",
        "",
      ),
    );
    await phase("stubborn", "Running");
    await kubectl.line("delete pod stubborn --grace-period=0 --force");
    assert.match(await kubectl.refused("get", "pod", "stubborn"), /NotFound/);
  });

  it("runs a Job to its end, and one that fails to its limit", async () => {
    const job = (name: string, script: string, more: string): string => `
apiVersion: batch/v1
kind: Job
metadata: {name: ${name}}
spec:
  ${more}
  template:
    spec:
      restartPolicy: Never
      containers: [{name: main, image: shell, command: [/bin/sh, -c, ${JSON.stringify(script)}]}]
`;
    await apply(
      "count",
      job("count", 'echo "index $JOB_COMPLETION_INDEX"', "completions: 3\n  parallelism: 2\n  completionMode: Indexed"),
    );
    await kubectl.line("wait --for=condition=complete job/count --timeout=30s");
    assert.match(
      await kubectl.line("get job count"),
      /^NAME +STATUS +COMPLETIONS +DURATION +AGE\ncount +Complete +3\/3 /,
    );
    const logs = await kubectl.line("logs -l job-name=count");
    assert.deepEqual(logs.trim().split("\n").sort(), ["index 0", "index 1", "index 2"]);
    assert.match(await kubectl.line("describe job count"), /Normal +Completed +\S+ +job-controller +Job completed/);
    await apply("broken", job("broken", "exit 1", "backoffLimit: 0"));
    await kubectl.line("wait --for=condition=failed job/broken --timeout=30s");
    assert.match(
      await kubectl.line("describe job broken"),
      /Warning +BackoffLimitExceeded +\S+ +job-controller +Job has reached the specified backoff limit/,
    );
    await kubectl.line("delete job count broken");
    await kubectl.run("wait", "--for=delete", "pod", "-l", "job-name=count", "--timeout=20s");
  });

  it("shows init containers and failing starts as people know them", async () => {
    const init = pod("slow", "sleep 1000").replace(
      "  containers:",
      '  initContainers: [{name: first, image: shell, command: [/bin/sh, -c, "until [ -e /data/go ]; do sleep 0.1; done"], volumeMounts: [{name: data, mountPath: /data}]}]\n  volumes: [{name: data, emptyDir: {}}]\n  containers:',
    );
    await apply("slow", init);
    await kubectl.until(/^slow +0\/1 +Init:0\/1 +0 /m, 20_000, "get", "pod", "slow", "--no-headers");
    assert.match(
      await kubectl.refused("logs", "slow", "-c", "main"),
      /container "main" in pod "slow" is waiting to start: PodInitializing/,
    );
    await kubectl.line("delete pod slow --now");
    await apply("crash", pod("crash", "exit 1", "restartPolicy: Always"));
    await kubectl.until(/^crash +0\/1 +CrashLoopBackOff +[1-9]/m, 40_000, "get", "pod", "crash", "--no-headers");
    assert.match(
      await kubectl.line("describe pod crash"),
      /Warning +BackOff +.*kubelet +spec\.containers\{main\}: Back-off restarting failed container main in pod crash_default\(/,
    );
    await kubectl.line("delete pod crash --now");
  });

  it("shows events, of all and of one, and waits for none", async () => {
    const events = await kubectl.line("get events");
    assert.equal(head(events), "LAST SEEN|TYPE|REASON|OBJECT|MESSAGE");
    assert.match(events, /Normal +Started +pod\/talker +/);
    const one = await kubectl.line("events --for pod/talker");
    assert.match(one, /Normal +Scheduled +Pod\/talker +Successfully assigned default\/talker to node[12]\n/);
    assert.equal(await kubectl.line("events --types=Warning --for pod/talker"), "");
  });

  it("shows what nodes and pods use", async () => {
    const nodes = await kubectl.until(/node2/, 30_000, "top", "nodes");
    assert.equal(head(nodes), "NAME|CPU(cores)|CPU(%)|MEMORY(bytes)|MEMORY(%)");
    assert.match(nodes, /^node1 +\d+m +\d+% +\d+Mi +\d+% *$/m);
    const pods = await kubectl.until(/talker/, 30_000, "top", "pods", "--containers");
    assert.match(pods, /^POD +NAME +CPU\(cores\) +MEMORY\(bytes\) *\n/);
    assert.match(pods, /^talker +main +\d+m +\d+Mi *$/m);
  });

  it("takes nodes out of service and back", async () => {
    assert.equal(await kubectl.line("cordon node1"), "node/node1 cordoned\n");
    assert.match(await kubectl.line("get node node1"), /^node1 +Ready,SchedulingDisabled /m);
    assert.equal(await kubectl.line("taint node node2 only=mine:NoSchedule"), "node/node2 tainted\n");
    await apply("nowhere", pod("nowhere", "sleep 1000"));
    const why = "0/2 nodes are available: 1 node(s) had untolerated taint(s), 1 node(s) were unschedulable";
    const described = await kubectl.until(/FailedScheduling/, 20_000, "describe", "pod", "nowhere");
    assert.ok(described.includes(why) || described.includes(why.replace("taint(s)", "taint {only: mine}")), described);
    assert.equal(await kubectl.line("uncordon node1"), "node/node1 uncordoned\n");
    await phase("nowhere", "Running");
    assert.equal(await kubectl.line("get pod nowhere -o jsonpath={.spec.nodeName}"), "node1");
    assert.equal(await kubectl.line("taint node node2 only-"), "node/node2 untainted\n");
    const described1 = await kubectl.line("describe node node1");
    assert.match(described1, /^Lease:\n +HolderIdentity: +node1\n/m);
    assert.match(described1, /^ +Ready +True +.*KubeletReady +kubelet is posting ready status$/m);
    assert.match(described1, /^Non-terminated Pods: +\(\d+ in total\)$/m);
    assert.match(
      await kubectl.line("cluster-info"),
      /Kubernetes control plane.* is running at .*https:\/\/127\.0\.0\.1:\d+/,
    );
  });

  it("drains a node", async () => {
    await apply("drained", deployment("drained").replace("replicas: 1", "replicas: 2"));
    await kubectl.line("rollout status deployment/drained --timeout=20s");
    const said = await kubectl.line("drain node2 --ignore-daemonsets --force --delete-emptydir-data --timeout=30s");
    assert.match(said, /node\/node2 (cordoned|drained)/);
    await kubectl.line("rollout status deployment/drained --timeout=20s");
    assert.equal(await kubectl.line("get pods -l app=drained -o jsonpath={.items[*].spec.nodeName}"), "node1 node1");
    await kubectl.line("uncordon node2");
    await kubectl.line("delete deployment drained");
  });

  it("gives pods a token that the API server knows, and people one for the asking", async () => {
    const secret = "/var/run/secrets/kubernetes.io/serviceaccount";
    const script = `ls ${secret}; cat ${secret}/namespace; echo; exec sleep 1000`;
    await apply("known", pod("known", script));
    const logs = await kubectl.until(/default/, 20_000, "logs", "known");
    assert.equal(logs, "ca.crt\nnamespace\ntoken\ndefault\n");
    const token = (await kubectl.line("create token default")).trim();
    assert.match(token, /^[\w-]+\.[\w-]+\.[\w-]+$/);
    const whoami = await kubectl.run(
      "auth",
      "whoami",
      "--token",
      token,
      "--client-certificate=",
      "--client-key=",
      "-o",
      "jsonpath={.status.userInfo.username}",
    );
    assert.match(whoami, /^(system:serviceaccount:default:default|kubernetes-admin)$/);
    const inside = await cluster.run(
      "sh",
      "--pod",
      "known",
      "--",
      "curl",
      "-sk",
      "-m",
      "5",
      "-H",
      `Authorization: Bearer ${token}`,
      "-o",
      "/dev/null",
      "-w",
      "%{http_code}",
      "https://kubernetes.default.svc/api/v1/namespaces/default/secrets",
    );
    assert.equal(inside, "403");
    const nobody = await cluster.run(
      "sh",
      "--pod",
      "known",
      "--",
      "curl",
      "-sk",
      "-m",
      "5",
      "-o",
      "/dev/null",
      "-w",
      "%{http_code}",
      "https://kubernetes.default.svc/api/v1/namespaces/default/secrets",
    );
    assert.equal(nobody, "401");
  });
});
