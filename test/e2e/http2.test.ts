/**
 * HTTP/2 in the mesh: one connection of a client, many requests; each is routed by itself, and trailers arrive, as gRPC
 * needs it. Without sidecars the connection is the unit.
 */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { createTestCluster, type TestCluster } from "./cluster.ts";

/** Answers with its name, and a trailer as gRPC servers send it. */
const serverProgram = [
  "const server = require('http2').createServer();",
  "server.on('stream', (stream) => { stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });",
  "stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));",
  "stream.end(require('os').hostname()); });",
  "server.listen(9000, '0.0.0.0');",
].join(" ");

/** Twenty requests over one connection: who answered, and with which trailer. */
const clientProgram = [
  "const session = require('http2').connect('http://greeter:9000'); const answers = [];",
  "for (let at = 0; at < 20; at++) { const stream = session.request({ ':method': 'POST', ':path': '/greet.Greeter/Hello', 'content-type': 'application/grpc', te: 'trailers' });",
  "let body = ''; let status; stream.on('data', (d) => (body += d)); stream.on('trailers', (t) => (status = t['grpc-status']));",
  "stream.on('close', () => { answers.push([body, status]); if (answers.length === 20) { process.stdout.write(JSON.stringify(answers)); session.close(); } }); stream.end(); }",
].join(" ");

const pod = (name: string, app: string, hasSidecar: boolean, container: string): string => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, labels: {app: ${app}, sidecar.istio.io/inject: "${hasSidecar}"}}
spec: {terminationGracePeriodSeconds: 0, containers: [{name: main, image: wherry.dev/pause${container}}]}
`;

const server = `, command: [node, -e, ${JSON.stringify(serverProgram)}], readinessProbe: {tcpSocket: {port: 9000}, periodSeconds: 1}`;

const manifest = [
  pod("greeter-a", "greeter", true, server),
  pod("greeter-b", "greeter", true, server),
  pod("meshed", "client", true, ""),
  pod("plain", "client", false, ""),
  "\napiVersion: v1\nkind: Service\nmetadata: {name: greeter}\nspec: {selector: {app: greeter}, ports: [{name: grpc, port: 9000}]}\n",
].join("---");

type Answers = readonly (readonly [name: string, grpcStatus: string | undefined])[];

describe("HTTP/2 in the mesh", () => {
  let cluster: TestCluster;

  before(async () => {
    cluster = createTestCluster();
    await cluster.run("up", "--detach", "--nodes", "2");
    const file = join(cluster.stateHome, "pods.yaml");
    writeFileSync(file, manifest);
    await cluster.run("apply", "-f", file);
    for (const untilMs = performance.now() + 20_000; ;) {
      const { stdout } = await cluster.attempt(
        "get",
        "endpointslices",
        "-l",
        "kubernetes.io/service-name=greeter",
        "-o",
        "json",
      );
      const { items } = JSON.parse(stdout || '{"items":[]}') as {
        items: { endpoints: { conditions: { ready: boolean } }[] }[];
      };
      if (items.flatMap(({ endpoints }) => endpoints).filter(({ conditions }) => conditions.ready).length === 2) break;
      assert.ok(performance.now() < untilMs, "the servers were never ready");
    }
  });

  after(() => cluster[Symbol.asyncDispose]());

  const ask = async (name: string): Promise<Answers> =>
    JSON.parse(await cluster.run("sh", "--pod", name, "--", process.execPath, "-e", clientProgram)) as Answers;

  it("balances each request of one connection, and carries trailers", async () => {
    const answers = await ask("meshed");
    const count = (name: string): number => answers.filter(([who]) => who === name).length;
    assert.deepEqual([count("greeter-a"), count("greeter-b")], [10, 10]);
    assert.deepEqual(new Set(answers.map(([, status]) => status)), new Set(["0"]));
  });

  it("counts them as gRPC requests at both ends", async () => {
    const metrics = async (name: string): Promise<string> =>
      cluster.run("sh", "--pod", name, "--", "curl", "-s", "http://127.0.0.1:15020/stats/prometheus");
    assert.match(await metrics("meshed"), /istio_requests_total\{[^}]*reporter="source"[^}]*request_protocol="grpc"/);
    assert.match(
      await metrics("greeter-a"),
      /istio_requests_total\{[^}]*reporter="destination"[^}]*request_protocol="grpc"/,
    );
  });

  it("serves a client without a sidecar, by connection", async () => {
    const answers = await ask("plain");
    assert.equal(new Set(answers.map(([who]) => who)).size, 1);
    assert.deepEqual(new Set(answers.map(([, status]) => status)), new Set(["0"]));
  });
});
