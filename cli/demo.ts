/**
 * `wherry demo`: a cluster, Bookinfo behind sidecars, a gateway on 127.0.0.1:8080, a little load. Resolves when it serves.
 */
import { request } from "node:http";
import { join } from "node:path";
import { deployments } from "#api/apps/deployment.ts";
import type { HttpKubeClient } from "#api/client/http.ts";
import { gatewayNameLabel } from "#api/gateway/gateway.ts";
import { realClock } from "#lib/clock.ts";
import { applyManifests } from "./apply.ts";
import { connect } from "./connect.ts";
import { CliError } from "./errors.ts";
import { down } from "./down.ts";
import type { PublishedPort } from "./ipc.ts";
import { parsePublished } from "./launcher/publish.ts";
import { type Manifest, readManifests } from "./manifests.ts";
import { type UpOptions, startCluster } from "./up.ts";

const folder = join(import.meta.dirname, "..", "examples", "bookinfo");
const manifests = (...files: string[]): Manifest[] => readManifests(files.map((file) => join(folder, file)));
const gateway = "gateway/default/bookinfo-gateway:80";
const serveMaxMs = 60_000;
const stepMs = 50;
const settleMs = 300;

export async function demo(options: UpOptions): Promise<void> {
  const say = (line: string): void => void (options.output === "text" && process.stderr.write(`${line}\n`));
  const startMs = realClock.monotonicMs();
  const targets = options.publish.length > 0 ? options.publish : [`127.0.0.1:8080=${gateway}`];
  const published = targets.map(parsePublished);
  if (!published.some(isDemoGateway)) {
    throw new CliError("Usage", `Cannot run the demo: no port for ${gateway} (add: -p 8080=${gateway})`);
  }
  say(`Starting cluster ${options.name} …`);
  const cluster = await startCluster(options, published);
  const port = cluster.record.published.find(isDemoGateway);
  if (port === undefined) {
    throw new CliError(
      "Failed",
      `Cannot run the demo in cluster ${options.name}: it runs without a port for ${gateway} (stop it first: wherry down --name ${options.name})`,
    );
  }
  const url = `http://${port.hostAddress}:${port.hostPort}/productpage`;
  try {
    await fill(options.name, url, say);
  } catch (error) {
    // Half a demo is no demo: what was started for it goes.
    if (!cluster.wasRunning) await down({ name: options.name, output: "quiet" });
    throw error;
  }
  report(options, url, cluster.stateDir, realClock.monotonicMs() - startMs);
  if (options.detach !== true && !cluster.wasRunning) process.exitCode = await cluster.ended;
}

function isDemoGateway({ kind, namespace, name, port }: PublishedPort): boolean {
  return kind === "gateway" && namespace === "default" && name === "bookinfo-gateway" && port === 80;
}

/** Applies Bookinfo and waits until it serves; the load comes last, for on what is not there yet it would only fail. */
async function fill(cluster: string, url: string, say: (line: string) => void): Promise<void> {
  const client = connect(cluster);
  try {
    say("Applying Bookinfo …");
    await applyManifests(
      client,
      manifests("namespace.yaml", "bookinfo.yaml", "gateway.yaml"),
      "default",
      () => undefined,
    );
    say("Waiting for its pods …");
    await waitUntilAvailable(client);
    say(`Waiting for ${url} …`);
    await waitUntilServing(url);
    await applyManifests(client, manifests("load.yaml"), "default", () => undefined);
  } finally {
    await client.close();
  }
}

/** Every Deployment has its replicas, and a moment more: so long a new endpoint may take to reach every sidecar. */
async function waitUntilAvailable(client: HttpKubeClient): Promise<void> {
  for (const untilMs = realClock.monotonicMs() + serveMaxMs; realClock.monotonicMs() < untilMs;) {
    const { items } = await client.list(deployments, { namespace: "default" });
    const available = items.every(({ spec, status }) => (status?.availableReplicas ?? 0) >= (spec.replicas ?? 1));
    const hasGateway = items.some(({ metadata }) => metadata.labels?.[gatewayNameLabel] !== undefined);
    if (available && hasGateway) return realClock.sleep(settleMs);
    await realClock.sleep(stepMs);
  }
  throw new CliError(
    "Failed",
    `Cannot start Bookinfo: not every pod is ready within ${serveMaxMs / 1000} s (see: wherry get pods, wherry check)`,
  );
}

/** Three whole pages in a row: every version of reviews has had its turn. */
async function waitUntilServing(url: string): Promise<void> {
  let whole = 0;
  for (const untilMs = realClock.monotonicMs() + serveMaxMs; realClock.monotonicMs() < untilMs;) {
    whole = (await isWhole(url)) ? whole + 1 : 0;
    if (whole === 3) return;
    if (whole === 0) await realClock.sleep(stepMs);
  }
  throw new CliError(
    "Failed",
    `Cannot reach ${url}: no whole page within ${serveMaxMs / 1000} s (see: wherry get pods, wherry check)`,
  );
}

function isWhole(url: string): Promise<boolean> {
  return new Promise((resolve) => {
    const sent = request(url, { agent: false, timeout: 2000 }, (response) => {
      let body = "";
      response.on("data", (chunk: Buffer) => (body += chunk.toString()));
      response.on("error", () => resolve(false));
      response.on("end", () => resolve(response.statusCode === 200 && !body.includes('class="error"')));
    });
    sent.on("timeout", () => sent.destroy());
    sent.on("error", () => resolve(false));
    sent.end();
  });
}

function report({ name, output, detach }: UpOptions, url: string, stateDir: string, tookMs: number): void {
  if (output === "json") {
    process.stdout.write(`${JSON.stringify({ name, url, stateDir, tookMs: Math.round(tookMs) })}\n`);
    return;
  }
  const of = name === "default" ? "" : ` --name ${name}`;
  const lines = [
    `Bookinfo serves after ${(tookMs / 1000).toFixed(1)} s:`,
    `  ${url}   (reload: the page says which reviews pod served it)`,
    "",
    "Try:",
    `  ./wherry get pods -o wide${of}`,
    `  ./wherry apply${of} -f examples/bookinfo/versions.yaml -f examples/bookinfo/canary-90-10.yaml   # 10 % of reviews to v3`,
    `  ./wherry delete httproute reviews${of}                  # and back to all versions`,
    `  ./wherry sh${of} --pod deploy/productpage-v1 -- curl -s http://reviews:9080/reviews/0`,
    `  export KUBECONFIG=${stateDir}/kubeconfig`,
    detach === true ? `  ./wherry down${of}` : "Ctrl-C stops it.",
    "",
  ];
  process.stdout.write(lines.join("\n"));
}
