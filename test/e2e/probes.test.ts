/** Probes of a pod with a sidecar: made over the pod's own loopback, past the sidecar, one connection each. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { type TestCluster, createTestCluster } from "./cluster.ts";

/** Says who asked for /health, and how many connections there were. */
const program = [
  "let connections = 0; const from = [];",
  "const server = require('http').createServer((q, s) => {",
  "if (q.url === '/health') from.push(q.socket.remoteAddress);",
  "s.end(JSON.stringify({ connections, from })); });",
  "server.on('connection', () => connections++); server.listen(8080, '0.0.0.0');",
].join(" ");

const manifest = `
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {sidecar.istio.io/inject: "true"}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - name: main
      image: wherry.dev/pause
      command: [node, -e, ${JSON.stringify(program)}]
      readinessProbe: {httpGet: {path: /health, port: 8080}, periodSeconds: 1}
`;

interface Seen {
  readonly connections: number;
  readonly from: readonly string[];
}

describe("probes of a pod with a sidecar", () => {
  let cluster: TestCluster;

  before(async () => {
    cluster = createTestCluster();
    await cluster.run("up", "--detach", "--nodes", "1");
    const file = join(cluster.stateHome, "pod.yaml");
    writeFileSync(file, manifest);
    await cluster.run("apply", "-f", file);
  });

  after(() => cluster[Symbol.asyncDispose]());

  const curl = (url: string): Promise<string> => cluster.run("sh", "--pod", "web", "--", "curl", "-s", url);

  it("come from the pod itself, with a connection each", async () => {
    let seen: Seen = { connections: 0, from: [] };
    const address = async (): Promise<string> =>
      (await cluster.run("get", "pod", "web", "-o", "wide")).match(/10\.244\.\d+\.\d+/)?.[0] ?? "";
    for (const untilMs = performance.now() + 20_000; seen.from.length < 3;) {
      assert.ok(performance.now() < untilMs, `waited too long: ${JSON.stringify(seen)}`);
      const answer = await cluster.attempt("sh", "--pod", "web", "--", "curl", "-s", "http://127.0.0.1:8080/");
      if (answer.status === 0) seen = JSON.parse(answer.stdout) as Seen;
    }
    assert.deepEqual([...new Set(seen.from)], [await address()]);
    const asked = seen.connections - seen.from.length;
    const later = JSON.parse(await curl("http://127.0.0.1:8080/")) as Seen;
    // What is more than probes are the questions of this test: one more since.
    assert.equal(later.connections - later.from.length, asked + 1);
  });

  it("are not the sidecar's traffic", async () => {
    assert.doesNotMatch(await curl("http://127.0.0.1:15020/stats/prometheus"), /istio_requests_total\{/);
  });
});
