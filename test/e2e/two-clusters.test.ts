/** Two clusters side by side: the end of one, however sudden, is nothing to the other. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { createTestCluster, type TestCluster } from "./cluster.ts";
import { clusterNamespaces, remainingNamespaces } from "./host.ts";
import { fetchPages, startLoad } from "./load.ts";
import { findNode } from "./processes.ts";

describe("two clusters", () => {
  const clusters: TestCluster[] = [];
  const urls: string[] = [];

  before(async () => {
    for (const _ of [1, 2]) {
      const cluster = createTestCluster();
      clusters.push(cluster);
      const done = await cluster.run("demo", "--detach", "-o", "json", "-p", "0=gateway/default/bookinfo-gateway:80");
      urls.push((JSON.parse(done) as { url: string }).url);
    }
  });

  after(async () => {
    for (const cluster of clusters) await cluster[Symbol.asyncDispose]();
  });

  it("serve both, each its own", async () => {
    for (const url of urls) assert.deepEqual((await fetchPages(url, 30, 2)).failures, []);
  });

  it("do not share an end: one is killed, the other loses no request", async () => {
    const [first, second] = clusters;
    assert.ok(first !== undefined && second !== undefined);
    const namespaces = clusterNamespaces(first.name);
    const load = startLoad(urls[1] ?? "", 50);
    const launcher = findNode(first.name, "cli/launcher/main.ts");
    assert.ok(launcher !== undefined);
    process.kill(launcher.pid, "SIGKILL");
    assert.deepEqual(await remainingNamespaces(first.name, namespaces, 2000), []);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    const { sent, failures } = await load.stop();
    assert.ok(sent > 0);
    assert.deepEqual(failures, []);
    assert.match(await second.run("get", "pods"), /productpage/);
  });
});
