/**
 * How long after an endpoint change do the node's proxy and DNS act on it, with 1,000 Services in the cluster?
 *
 * One endpoint of a ClusterIP and of a headless Service is made ready and not ready in turn; a probe in the node's
 * network sees the connection and the name change. From the moment that the change is sent to the API server.
 */
import { spawn } from "node:child_process";
import { join } from "node:path";
import type { HttpKubeClient } from "#api/client/http.ts";
import { splitLines } from "#api/client/lines.ts";
import { services } from "#api/core/service.ts";
import { type EndpointSlice, endpointSlices, serviceNameLabel } from "#api/discovery/endpointslice.ts";
import { createTestCluster } from "../test/e2e/cluster.ts";
import type { Measured } from "./measured.ts";

const serviceCount = 1000;
const changes = 60;
const namespace = "default";
const wherry = join(import.meta.dirname, "..", "wherry");

interface Seen {
  readonly what: string;
  readonly up: boolean;
  readonly atMs: number;
}

export async function run(): Promise<readonly Measured[]> {
  await using cluster = createTestCluster();
  await cluster.run("up", "--detach", "--nodes", "1");
  const client = cluster.connect();
  try {
    for (let at = 0; at < serviceCount; at += 50)
      await Promise.all(Array.from({ length: 50 }, (_, index) => createService(client, `many-${at + index}`, false)));
    const clusterIP = await createService(client, "probe", false);
    await createService(client, "named", true);
    const env = { ...process.env, XDG_STATE_HOME: cluster.stateHome };
    const script = join(import.meta.dirname, "push-probe.ts");
    const name = `named.${namespace}.svc.cluster.local`;
    const command = ["sh", "--name", cluster.name, "--", process.execPath, script, clusterIP, "80", name];
    const probe = spawn(wherry, command, { env, stdio: ["pipe", "pipe", "inherit"] });
    const latencies = await measure(client, splitLines(probe.stdout, 4096));
    probe.stdin.end();
    await new Promise((resolve) => probe.once("close", resolve));
    return [...latencies].map(([what, all]) => ({
      question: `endpoint change to the node's ${what}, ${serviceCount} Services, p50 / p99`,
      measured: `${percentile(all, 0.5)} / ${percentile(all, 0.99)} ms`,
      budget: "p99 ≤ 50 ms",
    }));
  } finally {
    await client.close();
  }
}

/** A Service and its slice of two endpoints, ready; that of a probe is the kubelet's port of the node. */
async function createService(client: HttpKubeClient, name: string, isHeadless: boolean): Promise<string> {
  const { spec } = await client.create(services, {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace },
    spec: { ...(isHeadless ? { clusterIP: "None" } : {}), ports: [{ port: 80, targetPort: 10_250 }] },
  });
  await client.create(endpointSlices, sliceOf(name, true));
  return spec.clusterIP ?? "";
}

function sliceOf(name: string, ready: boolean): EndpointSlice {
  const addresses = name.startsWith("many-") ? ["10.244.1.200", "10.244.1.201"] : ["100.64.0.2"];
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name, namespace, labels: { [serviceNameLabel]: name } },
    addressType: "IPv4",
    endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready } })),
    ports: [{ name: "", port: 10_250, protocol: "TCP" }],
  };
}

/** Changes in turn; for each consumer the times that it took, in ms. */
async function measure(client: HttpKubeClient, lines: AsyncIterable<string>): Promise<Map<string, number[]>> {
  const latencies = new Map<string, number[]>();
  const wanted = new Map<string, { readonly up: boolean; readonly sentMs: number; readonly seen: () => void }>();
  const reading = (async () => {
    for await (const line of lines) {
      const { what, up, atMs } = JSON.parse(line) as Seen;
      const change = wanted.get(what);
      if (change?.up !== up) continue;
      wanted.delete(what);
      latencies.set(what, [...(latencies.get(what) ?? []), atMs - change.sentMs]);
      change.seen();
    }
  })();
  await new Promise((resolve) => setTimeout(resolve, 3000));
  for (let turn = 0; turn < changes; turn += 1) {
    const up = turn % 2 === 1;
    for (const [what, name] of [
      ["proxy", "probe"],
      ["dns", "named"],
    ] as const) {
      const { promise, resolve } = Promise.withResolvers<void>();
      wanted.set(what, { up, sentMs: Date.now(), seen: resolve });
      await client.patch(endpointSlices, { namespace, name }, { endpoints: sliceOf(name, up).endpoints });
      await promise;
    }
  }
  void reading;
  return latencies;
}

function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}
