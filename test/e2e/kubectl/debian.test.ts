/**
 * Debian's kubectl, years older than the server: what people have installed must do.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { createTestCluster, type TestCluster } from "../cluster.ts";
import { findDebianKubectl } from "./debian.ts";
import { findOrSkip, head, Kubectl, skipReason } from "./kubectl.ts";

const found = await findOrSkip(findDebianKubectl);
const images = join(import.meta.dirname, "shell-images.yaml");

const manifest = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {terminationGracePeriodSeconds: 0, containers: [{name: web, image: "shell:1"}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
`;

describe("Debian's kubectl", skipReason(found), () => {
  let cluster: TestCluster;
  let kubectl: Kubectl;

  before(async () => {
    cluster = createTestCluster();
    await cluster.run("up", "--detach", "--nodes", "1", "--images", images);
    kubectl = new Kubectl(found, cluster);
  });

  after(async () => {
    await cluster[Symbol.asyncDispose]();
  });

  it("applies, and applies again", async () => {
    const file = kubectl.write("web.yaml", manifest);
    assert.equal(await kubectl.run("apply", "-f", file), "deployment.apps/web created\nservice/web created\n");
    assert.equal(await kubectl.run("apply", "-f", file), "deployment.apps/web unchanged\nservice/web unchanged\n");
  });

  it("rolls out, back and restarts", async () => {
    const done = 'deployment "web" successfully rolled out';
    assert.ok((await kubectl.line("rollout status deployment/web --timeout=30s")).includes(done));
    assert.equal(await kubectl.line("set image deployment/web web=shell:2"), "deployment.apps/web image updated\n");
    assert.ok((await kubectl.line("rollout status deployment/web --timeout=30s")).includes(done));
    assert.match(
      await kubectl.line("rollout history deployment/web"),
      /^REVISION +CHANGE-CAUSE\n1 +<none>\n2 +<none>\n/m,
    );
    assert.equal(await kubectl.line("rollout undo deployment/web"), "deployment.apps/web rolled back\n");
    assert.ok((await kubectl.line("rollout status deployment/web --timeout=30s")).includes(done));
    assert.equal(
      await kubectl.line("get deployment web -o jsonpath={.spec.template.spec.containers[0].image}"),
      "shell:1",
    );
    assert.equal(await kubectl.line("rollout restart deployment/web"), "deployment.apps/web restarted\n");
    assert.ok((await kubectl.line("rollout status deployment/web --timeout=30s")).includes(done));
  });

  it("gets in every form", async () => {
    assert.equal(head(await kubectl.line("get deployments")), "NAME|READY|UP-TO-DATE|AVAILABLE|AGE");
    assert.match(await kubectl.line("get pods -l app=web"), /^web-\S+ +1\/1 +Running +0 +\d+s$/m);
    assert.match(await kubectl.line("get all"), /^service\/web +ClusterIP +10\.96\.\d+\.\d+ +<none> +80\/TCP +\d+s$/m);
    assert.equal(await kubectl.line("get service web -o jsonpath={.spec.ports[0].port}"), "80");
    assert.match(
      await kubectl.line("describe deployment web"),
      /^Replicas: +2 desired \| 2 updated \| 2 total \| 2 available/m,
    );
    assert.match(await kubectl.refused("get", "pod", "none"), /Error from server \(NotFound\): pods "none" not found/);
  });

  it("reads logs", async () => {
    assert.match(await kubectl.line("logs deployment/web --tail=1"), /^started\n$/);
    assert.match(
      await kubectl.line("logs -l app=web --prefix --timestamps"),
      /^\[pod\/web-\S+\/web\] \d{4}-\S+ started$/m,
    );
  });

  it("deletes and waits", async () => {
    assert.equal(
      await kubectl.line("delete deployment,service web"),
      'deployment.apps "web" deleted\nservice "web" deleted\n',
    );
    await kubectl.until(/^$/, 20_000, "get", "pods", "-o", "name");
    assert.equal(await kubectl.line("get deployments -o name"), "");
  });
});
