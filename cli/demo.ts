/**
 * `wherry demo`: a cluster, Bookinfo behind sidecars, a gateway on 127.0.0.1:8080, a little load. Resolves when it serves.
 */
import { request } from "node:http";
import { join } from "node:path";
import { realClock } from "#lib/clock.ts";
import { applyManifests } from "./apply.ts";
import { connect } from "./connect.ts";
import { CliError } from "./errors.ts";
import { parsePublished } from "./launcher/publish.ts";
import { readManifests } from "./manifests.ts";
import { type UpOptions, startCluster } from "./up.ts";

const folder = join(import.meta.dirname, "..", "examples", "bookinfo");
const files = ["namespace.yaml", "bookinfo.yaml", "gateway.yaml", "load.yaml"].map((file) => join(folder, file));
const gateway = "gateway/default/bookinfo-gateway:80";
const serveMaxMs = 60_000;

export async function demo(options: UpOptions): Promise<void> {
  const say = (line: string): void => void (options.output === "text" && process.stderr.write(`${line}\n`));
  const startMs = realClock.monotonicMs();
  const targets = options.publish.length > 0 ? options.publish : [`127.0.0.1:8080=${gateway}`];
  const published = targets.map(parsePublished);
  say(`Starting cluster ${options.name} …`);
  const cluster = await startCluster(options, published);
  const port = cluster.record.published.find(({ kind, name }) => kind === "gateway" && name === "bookinfo-gateway");
  if (port === undefined) {
    throw new CliError(
      "Failed",
      `Cannot run the demo in cluster ${options.name}: it runs without a port for ${gateway} (stop it first: wherry down --name ${options.name})`,
    );
  }
  say("Applying Bookinfo …");
  const client = connect(options.name);
  try {
    await applyManifests(client, readManifests(files), "default", () => undefined);
  } finally {
    await client.close();
  }
  const url = `http://${port.hostAddress}:${port.hostPort}/productpage`;
  say(`Waiting for ${url} …`);
  await waitUntilServing(url);
  report(options, url, cluster.stateDir, realClock.monotonicMs() - startMs);
  if (options.detach !== true && !cluster.wasRunning) process.exitCode = await cluster.ended;
}

/** Three whole pages in a row: every version of reviews has had its turn. */
async function waitUntilServing(url: string): Promise<void> {
  let whole = 0;
  for (let waitedMs = 0; waitedMs < serveMaxMs; waitedMs += 100) {
    whole = (await isWhole(url)) ? whole + 1 : 0;
    if (whole === 3) return;
    if (whole === 0) await realClock.sleep(100);
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

function report({ name, output }: UpOptions, url: string, stateDir: string, tookMs: number): void {
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
    `  ./wherry sh${of} -- curl -s http://reviews:9080/reviews/0`,
    `  export KUBECONFIG=${stateDir}/kubeconfig`,
    `  ./wherry down${of}`,
    "",
  ];
  process.stdout.write(lines.join("\n"));
}
