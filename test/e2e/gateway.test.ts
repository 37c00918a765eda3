/** Gateways that have nothing to serve yet: they start all the same, and answer. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { createTestCluster } from "./cluster.ts";

const gateway = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: bare}
spec: {gatewayClassName: wherry, listeners: [{name: http, port: 8000, protocol: HTTP}]}
`;
const route = `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: nowhere}
spec: {parentRefs: [{name: bare}], rules: [{backendRefs: [{name: missing, port: 80}]}]}
`;

test("a Gateway without routes answers 404, one whose backend is not there 500", async () => {
  await using cluster = createTestCluster();
  await cluster.run("up", "--detach", "--nodes", "1");
  const apply = async (text: string): Promise<void> => {
    const file = join(cluster.stateHome, "objects.yaml");
    writeFileSync(file, text);
    await cluster.run("apply", "-f", file);
  };
  const until = async (status: string): Promise<void> => {
    const ask = ["curl", "-s", "-o", "/dev/null", "-m", "5", "-w", "%{http_code}", "http://bare-wherry:8000/"];
    for (const untilMs = performance.now() + 15_000; ;) {
      const { stdout } = await cluster.attempt("sh", "--node", "node1", "--", ...ask);
      if (stdout === status) return;
      assert.ok(performance.now() < untilMs, `${stdout}, not ${status}`);
    }
  };
  await apply(gateway);
  await until("404");
  await apply(route);
  await until("500");
  // One that starts with such a route.
  await cluster.run("delete", "gateway", "bare");
  await apply(gateway);
  await until("500");
});
