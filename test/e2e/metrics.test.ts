/**
 * Debian's Prometheus on the demo: finds every component by itself, answers every expression of the dashboards, and
 * counts each request once.
 */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { realClock } from "#lib/clock.ts";
import { type TestCluster, createTestCluster } from "./cluster.ts";
import { expressionsOf, fill, readDashboards } from "./metrics-dashboard.ts";

interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [number, string];
}

interface Target {
  readonly labels: { readonly job: string };
  readonly scrapeUrl: string;
  readonly health: string;
  readonly lastError: string;
}

const hasPrometheus = spawnSync("prometheus", ["--version"]).status === 0;
const skip = hasPrometheus ? false : "prometheus is not installed (apt-get install prometheus)";
/** Longest time until something was scraped, in ms: a few scrapes of 5 s. */
const scrapedMaxMs = 40_000;
/** Targets of the demo on two nodes: six pods with sidecars and the gateway. */
const targetsByJob = {
  "kubernetes-apiservers": 1,
  "kubernetes-nodes": 2,
  "kubernetes-cadvisor": 2,
  "kube-proxy": 2,
  "istio-mesh": 7,
} as const;

/** In the foreground it serves until it is interrupted, and then is gone. */
async function checkAttached({ name, stateHome }: TestCluster): Promise<void> {
  const wherry = join(import.meta.dirname, "..", "..", "wherry");
  const child = spawn(wherry, ["prometheus", "--name", name, "--port", "0", "-o", "json"], {
    env: { ...process.env, XDG_STATE_HOME: stateHome },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  const { url } = JSON.parse(line.toString()) as { url: string };
  assert.equal((await fetch(`${url}/-/ready`)).status, 200);
  child.kill("SIGINT");
  await once(child, "exit");
  await assert.rejects(fetch(`${url}/-/ready`), "it is gone");
}

describe("wherry prometheus", { skip }, () => {
  let cluster: TestCluster;
  let page = "";
  let prometheus = "";

  before(async () => {
    cluster = createTestCluster();
    const demo = await cluster.run("demo", "--detach", "-o", "json", "-p", "0=gateway/default/bookinfo-gateway:80");
    page = (JSON.parse(demo) as { url: string }).url;
    await checkAttached(cluster);
    const started = await cluster.run("prometheus", "--detach", "--port", "0", "-o", "json");
    prometheus = (JSON.parse(started) as { url: string }).url;
  });

  after(async () => {
    await cluster[Symbol.asyncDispose]();
  });

  async function ask<Data>(path: string, parameters: Record<string, string> = {}): Promise<Data> {
    const response = await fetch(`${prometheus}/api/v1/${path}?${new URLSearchParams(parameters).toString()}`);
    const { status, data, error } = (await response.json()) as { status: string; data: Data; error?: string };
    assert.equal(status, "success", `${error} in ${JSON.stringify(parameters)}`);
    return data;
  }

  const query = async (expression: string): Promise<readonly Sample[]> =>
    (await ask<{ result: readonly Sample[] }>("query", { query: expression })).result;

  /** Asks again until it fits. The last answer is in the failure. */
  async function until<Value>(look: () => Promise<Value>, fits: (value: Value) => boolean): Promise<Value> {
    for (const untilMs = realClock.monotonicMs() + scrapedMaxMs; ; await realClock.sleep(250)) {
      const value = await look();
      if (fits(value)) return value;
      assert.ok(realClock.monotonicMs() < untilMs, JSON.stringify(value, undefined, 1));
    }
  }

  it("finds the API server, nodes, proxies, sidecars and the gateway", async () => {
    const look = async (): Promise<readonly Target[]> =>
      (await ask<{ activeTargets: readonly Target[] }>("targets")).activeTargets;
    await until(look, (targets) =>
      Object.entries(targetsByJob).every(
        ([job, count]) =>
          targets.filter(({ labels, health }) => labels.job === job && health === "up").length === count,
      ),
    );
  });

  it("has data for every expression of the dashboards", async () => {
    const expressions = [...new Set(readDashboards().flatMap(expressionsOf))].map((one) => fill(one, "20s"));
    for (const expression of expressions) {
      const samples = await until(
        () => query(expression),
        (found) => found.length > 0 && found.every(({ value }) => Number.isFinite(Number(value[1]))),
      );
      assert.ok(samples.length > 0, expression);
    }
  });

  it("counts each request once at each of its hops", async () => {
    await cluster.run("delete", "deployment", "load");
    const gateway =
      'source_workload="bookinfo-gateway-wherry",destination_workload="productpage-v1",response_code="200"';
    const count = async (reporter: string): Promise<number> =>
      Number((await query(`sum(istio_requests_total{reporter="${reporter}",${gateway}})`))[0]?.value[1] ?? 0);
    const both = async (): Promise<readonly number[]> => [await count("source"), await count("destination")];
    // The load's last request is on its page once both sides say the same, two scrapes in a row.
    let last = "";
    let settled = 0;
    const [start = 0] = await until(both, ([source, destination]) => {
      settled = source === destination && last === String(source) ? settled + 1 : 0;
      last = String(source);
      return settled > 24;
    });
    const sent = 200;
    for (let at = 0; at < sent; at++) assert.equal((await fetch(page)).status, 200);
    await until(both, ([source, destination]) => source === start + sent && destination === start + sent);
  });

  it("is found again when it runs, and needs a port of its own", async () => {
    const again = JSON.parse(await cluster.run("prometheus", "--detach", "-o", "json")) as Record<string, unknown>;
    assert.deepEqual([again["url"], again["wasRunning"]], [prometheus, true]);
  });

  it("says what is wrong with a port", async () => {
    const { status, stderr } = await cluster.attempt("prometheus", "--port", "x");
    assert.equal(status, 64);
    assert.match(stderr, /Cannot use --port x: wanted 1 to 65535/);
  });
});
