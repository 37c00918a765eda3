/** `trafficDistribution` in a running cluster of two zones: from the field to who answers, also when the zones change. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { nodes, zoneLabel } from "#api/core/node.ts";
import { createTestCluster } from "./cluster.ts";

const serve = `require('node:http').createServer((_, answer) => answer.end(process.env.HOSTNAME)).listen(8080)`;
const pod = (name: string, node: string, app: string, more = ""): string => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, labels: {app: ${app}}}
spec:
  nodeName: ${node}
  terminationGracePeriodSeconds: 0
  containers: [{name: main, image: wherry.dev/pause${more}}]
---`;
const server = `, command: [node, -e, "${serve}"], readinessProbe: {httpGet: {port: 8080}, periodSeconds: 1}`;
const service = (name: string, distribution: string, more = ""): string => `
apiVersion: v1
kind: Service
metadata: {name: ${name}}
spec: {selector: {app: web}, trafficDistribution: ${distribution}, ports: [{port: 80, targetPort: 8080${more}}]}
---`;
const objects = [
  pod("client", "node1", "client"),
  pod("here", "node1", "web", server),
  pod("there", "node2", "web", server),
  service("zonal", "PreferClose"),
  service("requests", "PreferSameZone", ", appProtocol: http"),
  service("nodal", "PreferSameNode"),
].join("");

test("callers get endpoints of their zone or node, and all when there are none or no zones", async () => {
  await using cluster = createTestCluster();
  await cluster.run("up", "--detach", "--nodes", "2");
  const client = cluster.connect();
  await using _ = { [Symbol.asyncDispose]: () => client.close() };
  const file = join(cluster.stateHome, "objects.yaml");
  writeFileSync(file, objects);
  await cluster.run("apply", "-f", file);
  const callers = async (name: string): Promise<readonly string[]> => {
    const ask = Array.from({ length: 8 }, () => `curl -s -m 5 http://${name}/; echo`).join("; ");
    const { stdout } = await cluster.attempt("sh", "--pod", "client", "--", "sh", "-c", ask);
    return [...new Set(stdout.trim().split("\n"))].sort();
  };
  const until = async (name: string, ...wanted: readonly string[]): Promise<void> => {
    for (let tries = 0; ; tries++) {
      const by = await callers(name);
      if (by.join(" ") === wanted.join(" ")) return;
      assert.ok(tries < 40, `${name} is answered by ${by.join(" ")}, not ${wanted.join(" ")}`);
    }
  };
  const place = (node: string, zone: string): Promise<unknown> =>
    client.patch(nodes, { name: node }, { metadata: { labels: { [zoneLabel]: zone } } });

  await until("nodal", "here");
  for (const name of ["zonal", "requests"]) await until(name, "here", "there");
  await place("node1", "west");
  await place("node2", "east");
  for (const name of ["zonal", "requests", "nodal"]) await until(name, "here");
  await place("node2", "west");
  for (const name of ["zonal", "requests"]) await until(name, "here", "there");
  await until("nodal", "here");
  await place("node2", "east");
  for (const name of ["zonal", "requests"]) await until(name, "here");
  await cluster.run("delete", "pod", "here");
  for (const name of ["zonal", "requests", "nodal"]) await until(name, "there");
});
