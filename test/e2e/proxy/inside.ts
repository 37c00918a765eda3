/**
 * What a proxy that stands alone does. Run by standalone.test.ts inside namespaces of its own, never directly.
 *
 *   node inside.ts KUBECONFIG UNIX_SOCKET
 */
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { after, test } from "node:test";
import { HttpKubeClient } from "#api/client/http.ts";
import { services } from "#api/core/service.ts";
import { type EndpointSlice, endpointSlices, lastChangeAnnotation } from "#api/discovery/endpointslice.ts";
import { realClock as clock } from "#lib/clock.ts";
import { errnoOf } from "#lib/errors.ts";
import { readKubeconfig } from "../../../dns/kube/kubeconfig.ts";

const [kubeconfig = "", relayPath = ""] = process.argv.slice(2);
const wherry = join(import.meta.dirname, "..", "..", "..", "wherry");
const backends = ["10.99.0.1", "10.99.0.2"];
execFileSync("sh", [
  "-e",
  "-c",
  `ip link set lo up
  ${backends.map((address) => `ip addr add ${address}/32 dev lo`).join("\n")}
  ip route add 10.96.0.0/16 dev lo src ${backends[0]}`,
]);

const closers: (() => unknown)[] = [];
after(async () => {
  for (const close of closers) await close();
});

let isCut = false;
const relayed = new Set<Socket>();
await listen("127.0.0.1", 6443, (socket) => {
  if (isCut) return void socket.destroy();
  const upstream = connect(relayPath);
  relayed.add(socket);
  socket.pipe(upstream).pipe(socket);
  for (const each of [socket, upstream])
    each.on("error", () => each.destroy()).on("close", () => (socket.destroy(), upstream.destroy()));
});
for (const address of backends) await listen(address, 8080, (socket) => socket.end(address));

const { token: _token, ...access } = readKubeconfig(kubeconfig, undefined, (path) => readFileSync(path, "utf8"));
const client = new HttpKubeClient(access);
closers.push(() => client.close());

const sliceOf = (...addresses: readonly string[]): EndpointSlice => ({
  apiVersion: "discovery.k8s.io/v1",
  kind: "EndpointSlice",
  metadata: {
    namespace: "default",
    name: "standalone-1",
    labels: { "kubernetes.io/service-name": "standalone" },
    annotations: { [lastChangeAnnotation]: new Date(clock.nowMs()).toISOString() },
  },
  addressType: "IPv4",
  endpoints: addresses.map((address) => ({ addresses: [address] })),
  ports: [{ name: "", protocol: "TCP", port: 8080 }],
});
const { spec } = await client.create(services, {
  apiVersion: "v1",
  kind: "Service",
  metadata: { namespace: "default", name: "standalone" },
  spec: { ports: [{ port: 80 }] },
});
const address = spec.clusterIP ?? "";
await client.create(endpointSlices, sliceOf(...backends));
const proxy = start("nftables");
closers.push(() => proxy.kill("SIGKILL"));

test("it programs what the API has, and each change", async () => {
  await until(() => answers());
  const seen = [await call(), await call(), await call(), await call()];
  assert.deepEqual(seen.toSorted(), [...backends, ...backends].toSorted());
  await client.update(endpointSlices, sliceOf("10.99.0.2"));
  await until(async () => [await call(), await call()].every((by) => by === "10.99.0.2"));
});

test("its pages are kube-proxy's", async () => {
  const health = await fetch("http://127.0.0.1:10256/healthz");
  assert.equal(health.status, 200);
  const { nodeEligible, healthy } = (await health.json()) as Record<string, unknown>;
  assert.deepEqual({ nodeEligible, healthy }, { nodeEligible: true, healthy: true });
  assert.equal((await fetch("http://127.0.0.1:10256/livez")).status, 200);
  assert.equal(await (await fetch("http://127.0.0.1:10249/proxyMode")).text(), "nftables");
  const page = await (await fetch("http://127.0.0.1:10249/metrics")).text();
  for (const line of [
    /^kubeproxy_sync_proxy_rules_duration_seconds_count\{ip_family="IPv4"\} [1-9]/m,
    /^kubeproxy_network_programming_duration_seconds_bucket\{ip_family="IPv4",le="5"\} [1-9]/m,
    /^kubeproxy_proxy_healthz_total\{code="200"\} 1$/m,
    /^kubeproxy_proxy_livez_total\{code="200"\} 1$/m,
    /^rest_client_requests_total\{code="200",host="127.0.0.1:6443",method="GET"\} [1-9]/m,
    /^rest_client_request_duration_seconds_count\{host="127.0.0.1:6443",verb="GET"\} [1-9]/m,
  ])
    assert.match(page, line);
});

test("without the API the rules stay, and are restored; when it is back, what changed is programmed", async () => {
  isCut = true;
  for (const socket of relayed) socket.destroy();
  assert.equal(await call(), "10.99.0.2");
  execFileSync("nft", ["delete", "table", "ip", "wherry-proxy"]);
  await until(() => answers());
  isCut = false;
  await client.update(endpointSlices, sliceOf("10.99.0.1"));
  await until(async () => (await call()) === "10.99.0.1");
});

test("its end leaves the rules, and --cleanup removes them", async () => {
  const ended = once(proxy, "close");
  proxy.kill("SIGTERM");
  assert.deepEqual(await ended, [0, null]);
  assert.equal(await call(), "10.99.0.1");
  assert.equal(spawnSync(wherry, ["proxy", "--cleanup"]).status, 0);
  assert.doesNotMatch(execFileSync("nft", ["list", "tables"], { encoding: "utf8" }), /wherry-proxy/);
});

function start(mode: string): ChildProcess {
  const flags = ["--kubeconfig", kubeconfig, "--hostname-override", "node1", `--proxy-mode=${mode}`];
  return spawn(wherry, ["proxy", ...flags], { stdio: ["ignore", "inherit", "inherit"] });
}

test("userspace mode serves the same, and takes its addresses with it", async () => {
  const userspace = start("userspace");
  closers.push(() => userspace.kill("SIGKILL"));
  await until(async () => (await answers()) && (await call()) === "10.99.0.1");
  assert.equal(await (await fetch("http://127.0.0.1:10249/proxyMode")).text(), "userspace");
  const ended = once(userspace, "close");
  userspace.kill("SIGTERM");
  assert.deepEqual(await ended, [0, null]);
  assert.equal(hasAddress(), false);
});

test("userspace mode refuses where there are no endpoints; what a killed proxy left is removed", async () => {
  const userspace = start("userspace");
  closers.push(() => userspace.kill("SIGKILL"));
  await until(() => answers());
  await client.update(endpointSlices, sliceOf());
  const refusal = (): Promise<unknown> => call().then(String, (error: unknown) => errnoOf(error));
  await until(async () => (await refusal()) === "ECONNREFUSED");
  const ended = once(userspace, "close");
  userspace.kill("SIGKILL");
  await ended;
  assert.equal(hasAddress(), true);
  execFileSync("ip", ["addr", "add", "10.99.0.3/32", "dev", "lo"]);
  assert.equal(spawnSync(wherry, ["proxy", "--cleanup"]).status, 0);
  assert.equal(hasAddress(), false);
  assert.equal(hasAddress("10.99.0.3"), true);
});

function hasAddress(wanted = address): boolean {
  return execFileSync("ip", ["addr", "show", "dev", "lo"], { encoding: "utf8" }).includes(` ${wanted}/`);
}

/** Who answers at the Service's address. */
async function call(): Promise<string> {
  const socket = connect({ host: address, port: 80 });
  socket.setTimeout(2000, () => socket.destroy(new Error("Cannot call the Service: no answer in 2 s")));
  let text = "";
  for await (const chunk of socket) text += String(chunk);
  return text;
}

function answers(): Promise<boolean> {
  return call().then(
    () => true,
    () => false,
  );
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  const startMs = clock.monotonicMs();
  while (!(await isSo())) {
    assert.ok(clock.monotonicMs() - startMs < 10_000, "not within 10 s");
    await clock.sleep(50);
  }
}

async function listen(host: string, port: number, serve: (socket: Socket) => void): Promise<void> {
  const server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    serve(socket);
  });
  server.listen({ host, port });
  await once(server, "listening");
  closers.push(() => server.close());
}
