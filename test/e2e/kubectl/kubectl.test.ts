/**
 * Stock kubectl 1.35 against a cluster of its own: the commands that people use, with their exit codes and words.
 */
import assert from "node:assert/strict";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { CommandError, createTestCluster, type Done, runCommand, type TestCluster } from "../cluster.ts";
import { findKubectl } from "./binary.ts";

/** The program, or why it cannot be had. CI has it: there the reason is an error. */
const found: { readonly program: string } | { readonly reason: string } = await findKubectl().then(
  (program) => ({ program }),
  (error: unknown) => {
    if (process.env["CI"] !== undefined || !(error instanceof CommandError)) throw error;
    return { reason: error.message };
  },
);

/** The only image that needs no image map: it sleeps. */
const image = "wherry.dev/pause:1";

const manifest = (replicas: number, value: string): string => `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: ${replicas}
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - {name: web, image: "${image}", env: [{name: A, value: "1"}], ports: [{containerPort: 80}]}
        - {name: side, image: "${image}"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {key: ${value}}
`;

describe("kubectl 1.35", { skip: "reason" in found ? `SKIP ${found.reason}` : false }, () => {
  let cluster: TestCluster;
  let env: NodeJS.ProcessEnv;

  before(async () => {
    cluster = createTestCluster();
    await cluster.run("up", "--detach", "--nodes", "1");
    const home = join(cluster.stateHome, "kubectl");
    mkdirSync(home);
    const kubeconfig = join(cluster.stateHome, "wherry", cluster.name, "kubeconfig");
    env = { ...process.env, HOME: home, KUBECONFIG: kubeconfig };
  });

  after(async () => {
    await cluster[Symbol.asyncDispose]();
  });

  const attempt = (...args: readonly string[]): Promise<Done> =>
    runCommand(["program" in found ? found.program : "", ...args], env);

  /** What the command prints; fails with its words when it does. */
  const kubectl = async (...args: readonly string[]): Promise<string> => {
    const { status, stdout, stderr } = await attempt(...args);
    assert.equal(status, 0, `kubectl ${args.join(" ")}: ${stderr}${stdout}`);
    return stdout;
  };

  const write = (name: string, text: string): string => {
    const path = join(cluster.stateHome, name);
    writeFileSync(path, text);
    return path;
  };

  const head = (table: string): string => (table.split("\n", 1)[0] ?? "").trim().replaceAll(/ {2,}/g, "|");

  it("knows the server's version, resources and schemas", async () => {
    assert.match(await kubectl("version"), /Server Version: v1\.35\./);
    const resources = await kubectl("api-resources");
    assert.match(resources, /^deployments +deploy +apps\/v1 +true +Deployment$/m);
    assert.match(resources, /^poddisruptionbudgets +pdb +policy\/v1 +true /m);
    const explained = await kubectl("explain", "deployment.spec.template.spec.containers");
    assert.match(explained, /KIND: +Deployment/);
    assert.match(explained, /imagePullPolicy\t<string>/);
  });

  it("applies, compares and applies again", async () => {
    const file = write("web.yaml", manifest(1, "one"));
    assert.equal(await kubectl("apply", "-f", file), "deployment.apps/web created\nconfigmap/settings created\n");
    assert.equal(await kubectl("apply", "-f", file), "deployment.apps/web unchanged\nconfigmap/settings unchanged\n");
    assert.equal((await attempt("diff", "-f", file)).status, 0);
    write("web.yaml", manifest(2, "two"));
    const { status, stdout } = await attempt("diff", "-f", file);
    assert.equal(status, 1);
    assert.match(stdout, /^-  key: one\n\+  key: two$/m);
    assert.equal(await kubectl("apply", "-f", file), "deployment.apps/web configured\nconfigmap/settings configured\n");
    await kubectl("wait", "--for=condition=Available", "deployment/web", "--timeout=30s");
    assert.match(await kubectl("rollout", "status", "deployment/web", "--timeout=30s"), /successfully rolled out/);
  });

  it("shows tables with the columns that people know", async () => {
    assert.equal(head(await kubectl("get", "deployments")), "NAME|READY|UP-TO-DATE|AVAILABLE|AGE");
    assert.match(await kubectl("get", "deployments", "-o", "wide"), /web,side +\S+,\S+ +app=web$/m);
    assert.match(await kubectl("get", "pods", "-l", "app=web"), /^web-\S+ +2\/2 +Running +0 +\d+s$/m);
    const wide = "NAME|READY|STATUS|RESTARTS|AGE|IP|NODE|NOMINATED NODE|READINESS GATES";
    assert.equal(head(await kubectl("get", "pods", "-o", "wide")), wide);
    assert.equal(
      head(await kubectl("get", "services", "-A")),
      "NAMESPACE|NAME|TYPE|CLUSTER-IP|EXTERNAL-IP|PORT(S)|AGE",
    );
    assert.equal(head(await kubectl("get", "nodes")), "NAME|STATUS|ROLES|AGE|VERSION");
    assert.match(await kubectl("get", "all"), /replicaset.apps\/web-/);
    assert.match(await kubectl("get", "pods", "--show-labels"), /app=web,pod-template-hash=/);
    assert.match(await kubectl("get", "pods", "--field-selector", "status.phase=Failed", "--ignore-not-found"), /^$/);
  });

  it("gives every other output form, in pages too", async () => {
    const names = await kubectl("get", "pods", "-l", "app=web", "-o", "name", "--chunk-size=1");
    assert.equal(names.trim().split("\n").length, 2);
    assert.equal(await kubectl("get", "cm", "settings", "-o", "jsonpath={.data.key}"), "two");
    assert.match(await kubectl("get", "cm", "settings", "-o", "yaml"), /^ {2}key: two$/m);
    const { data } = JSON.parse(await kubectl("get", "cm", "settings", "-o", "json")) as { data: unknown };
    assert.deepEqual(data, { key: "two" });
    assert.equal(await kubectl("get", "cm", "settings", "-o", "custom-columns=N:.metadata.name"), "N\nsettings\n");
    assert.equal(await kubectl("get", "cm", "settings", "-o", "go-template={{.data.key}}"), "two");
    const missing = await attempt("get", "cm", "none");
    assert.equal(missing.status, 1);
    assert.equal(missing.stderr, 'Error from server (NotFound): configmaps "none" not found\n');
  });

  it("patches in three formats, labels, annotates, sets image and environment", async () => {
    await kubectl("patch", "cm", "settings", "--type=json", "-p", '[{"op":"add","path":"/data/json","value":"1"}]');
    await kubectl("patch", "cm", "settings", "--type=merge", "-p", '{"data":{"merge":"2"}}');
    await kubectl("label", "cm", "settings", "team=a");
    await kubectl("annotate", "cm", "settings", "note=b");
    const settings = await kubectl(
      "get",
      "cm",
      "settings",
      "-o",
      "jsonpath={.data}{.metadata.labels}{.metadata.annotations.note}",
    );
    assert.equal(settings, '{"json":"1","key":"two","merge":"2"}{"team":"a"}b');
    const strategic = { spec: { template: { spec: { containers: [{ name: "side", imagePullPolicy: "Never" }] } } } };
    await kubectl("patch", "deployment", "web", "-p", JSON.stringify(strategic));
    assert.equal(
      await kubectl("set", "image", "deployment/web", `web=${image}0`),
      "deployment.apps/web image updated\n",
    );
    assert.equal(
      await kubectl("set", "env", "deployment/web", "-c", "web", "B=2"),
      "deployment.apps/web env updated\n",
    );
    const path =
      "jsonpath={range .spec.template.spec.containers[*]}{.name} {.image} {.imagePullPolicy} {.env[*].name};{end}";
    const containers = await kubectl("get", "deployment", "web", "-o", path);
    assert.equal(containers, `web ${image}0 IfNotPresent A B;side ${image} Never ;`);
  });

  it("scales by the subresource", async () => {
    assert.equal(await kubectl("scale", "deployment/web", "--replicas=3"), "deployment.apps/web scaled\n");
    assert.equal((await attempt("scale", "deployment/web", "--replicas=1", "--current-replicas=2")).status, 1);
    assert.equal(await kubectl("get", "deployment", "web", "-o", "jsonpath={.spec.replicas}"), "3");
    await kubectl("rollout", "status", "deployment/web", "--timeout=30s");
  });

  it("creates from files and from arguments, which come as protobuf", async () => {
    const file = write("extra.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: extra}\ndata: {a: b}\n");
    assert.equal(await kubectl("create", "-f", file), "configmap/extra created\n");
    const again = await attempt("create", "-f", file);
    assert.match(again.stderr, /AlreadyExists/);
    const wrong = write("wrong.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: wrong}\nfoo: bar\n");
    assert.match((await attempt("create", "-f", wrong)).stderr, /strict decoding error: unknown field "foo"/);
    const commands = [
      "namespace typed",
      "deployment typed --image=wherry.dev/pause:1 --replicas=0",
      "configmap typed --from-literal=a=b",
      "secret generic typed --from-literal=a=b",
      "serviceaccount typed",
      "service clusterip typed --tcp=80:8080",
      "job typed --image=wherry.dev/pause:1",
      "ingress typed --rule=example.com/x=typed:80",
      "pdb typed --selector=app=typed --min-available=1",
    ];
    for (const command of commands) assert.match(await kubectl("create", ...command.split(" ")), /typed created\n$/);
    assert.equal(await kubectl("get", "secret", "typed", "-o", "jsonpath={.data.a}"), "Yg==");
    assert.equal(await kubectl("get", "service", "typed", "-o", "jsonpath={.spec.ports[0].targetPort}"), "8080");
    assert.match(await kubectl("get", "jobs"), /^typed +Running +0\/1/m);
  });

  it("edits by the user's editor and replaces", async () => {
    const editor = write("editor.sh", '#!/bin/sh\nsed -i "s/key: two/key: edited/" "$1"\n');
    chmodSync(editor, 0o755);
    env = { ...env, EDITOR: editor };
    assert.equal(await kubectl("edit", "cm", "settings"), "configmap/settings edited\n");
    assert.equal(await kubectl("get", "cm", "settings", "-o", "jsonpath={.data.key}"), "edited");
    const file = write("web.yaml", manifest(2, "replaced"));
    assert.equal(await kubectl("replace", "-f", file), "deployment.apps/web replaced\nconfigmap/settings replaced\n");
    await kubectl("rollout", "status", "deployment/web", "--timeout=30s");
  });

  it("describes, reads logs, says who one is", async () => {
    assert.match(await kubectl("describe", "pods", "-l", "app=web"), /^Controlled By: +ReplicaSet\/web-/m);
    assert.match(await kubectl("describe", "deployment", "web"), /^Replicas: +2 desired \| 2 updated/m);
    assert.match(await kubectl("describe", "service", "kubernetes"), /^TargetPort: +6443\/TCP$/m);
    assert.match(await kubectl("describe", "node", "node1"), /^PodCIDR: +10\.244\./m);
    assert.equal(await kubectl("logs", "deployment/web", "-c", "web"), "");
    assert.match(await kubectl("auth", "whoami"), /kubernetes-admin/);
    assert.equal(await kubectl("auth", "can-i", "create", "pods"), "yes\n");
  });

  it("rehearses a deletion, deletes and waits for it", async () => {
    await kubectl("delete", "cm", "extra", "--dry-run=server");
    assert.match(await kubectl("get", "cm", "extra"), /extra/);
    assert.match(await kubectl("delete", "cm", "extra"), /^configmap "extra" deleted/);
    assert.match(await kubectl("delete", "deployment,job,ingress,pdb", "typed"), /^deployment.apps "typed" deleted/);
    await kubectl("delete", "namespace", "typed", "--timeout=30s");
    await kubectl("delete", "deployment", "web");
    await kubectl("wait", "--for=delete", "pod", "-l", "app=web", "--timeout=30s");
    assert.equal((await attempt("get", "deployment", "web")).status, 1);
  });
});
