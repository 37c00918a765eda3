/**
 * The spine end to end: one command brings up a cluster, a mesh and a demo, and nothing that is killed costs a request.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { pods } from "#api/core/pod.ts";
import { type TestCluster, createTestCluster } from "./cluster.ts";
import { type HostState, clusterNamespaces, readHost, remainingNamespaces } from "./host.ts";
import { watchLeaving } from "./leaving.ts";
import { type LoadResult, fetchPages, startLoad } from "./load.ts";
import { clusterProcesses, findNode } from "./processes.ts";

const examples = join(import.meta.dirname, "..", "..", "examples", "bookinfo");
const canaryFiles = ["versions.yaml", "canary-90-10.yaml"].flatMap((file) => ["-f", join(examples, file)]);
/** Requests a second while things are killed. */
const rate = 100;

interface PodObject {
  readonly metadata: { readonly name: string; readonly uid: string; readonly labels: Readonly<Record<string, string>> };
  readonly spec: { readonly nodeName: string };
  readonly status: {
    readonly podIP: string;
    readonly conditions: readonly { readonly type: string; readonly status: string }[];
  };
}

describe("the demo", () => {
  let cluster: TestCluster;
  let host: HostState;
  let url = "";

  before(async () => {
    host = readHost();
    cluster = createTestCluster();
    const done = await cluster.run("demo", "--detach", "-o", "json", "-p", "0=gateway/default/bookinfo-gateway:80");
    url = (JSON.parse(done) as { url: string }).url;
  });

  after(async () => {
    await cluster[Symbol.asyncDispose]();
  });

  const listPods = async (selector: string): Promise<PodObject[]> =>
    (JSON.parse(await cluster.run("get", "pods", "-l", selector, "-o", "json")) as { items: PodObject[] }).items;

  const reviewsAddresses = async (): Promise<string[]> => {
    const slices = JSON.parse(
      await cluster.run("get", "endpointslices", "-l", "kubernetes.io/service-name=reviews", "-o", "json"),
    ) as {
      items: { endpoints: { addresses: string[]; conditions: { ready: boolean } }[] }[];
    };
    return slices.items.flatMap(({ endpoints }) =>
      endpoints.filter(({ conditions }) => conditions.ready).flatMap(({ addresses }) => addresses),
    );
  };

  /** Resource version at which a pod was gone. */
  const watchGone = async ({ name, uid }: PodObject["metadata"]): Promise<bigint> => {
    const stopped = new AbortController();
    const client = cluster.connect();
    try {
      const options = { namespace: "default", fieldSelector: `metadata.name=${name}`, resourceVersion: "0" };
      for await (const { type, object } of client.watch(pods, options, stopped.signal)) {
        if (type === "DELETED" && object.metadata.uid === uid) return BigInt(object.metadata.resourceVersion ?? "");
      }
      throw new Error(`the watch of ${name} ended before it was gone`);
    } finally {
      stopped.abort();
      await client.close();
    }
  };

  /** Waits until `isDone`; how long it took, in ms. */
  const waitFor = async (isDone: () => Promise<boolean> | boolean, what: string): Promise<number> => {
    const startMs = performance.now();
    while (!(await isDone())) {
      assert.ok(performance.now() - startMs < 30_000, `waited too long for ${what}`);
      await sleep(20);
    }
    return performance.now() - startMs;
  };

  /** Sum of requests that a sidecar counted with a code other than 2xx, over all pods with a sidecar. */
  const countedFailures = async (): Promise<string[]> => {
    const pods = [...(await listPods("app")), ...(await listPods("gateway.networking.k8s.io/gateway-name"))];
    const found: string[] = [];
    for (const { status, metadata } of pods) {
      if (metadata.labels["sidecar.istio.io/inject"] === "false") continue;
      const text = await cluster.run(
        "sh",
        "--",
        "curl",
        "-sS",
        "-m",
        "5",
        `http://${status.podIP}:15020/stats/prometheus`,
      );
      const lines = text.split("\n").filter((line) => line.startsWith("istio_requests_total{"));
      found.push(...lines.filter((line) => !/response_code="2\d\d"/.test(line)));
    }
    return found;
  };

  const whole = ({ failures, sent }: LoadResult): void => {
    assert.ok(sent > 0);
    assert.deepEqual(failures, []);
  };

  const versions = ({ byPod }: LoadResult): Map<string, number> => versionsOf(byPod);

  const versionsOf = (byPod: ReadonlyMap<string, number>): Map<string, number> => {
    const counts = new Map<string, number>();
    for (const [pod, count] of byPod) {
      const version = /^reviews-(v\d)/.exec(pod)?.[1] ?? pod;
      counts.set(version, (counts.get(version) ?? 0) + count);
    }
    return counts;
  };

  it("serves whole pages from all three versions of reviews", async () => {
    const result = await fetchPages(url, 200, 4);
    whole(result);
    assert.deepEqual([...versions(result).keys()].sort(), ["v1", "v2", "v3"]);
  });

  it("answers every ClusterIP from each node and from pods, on the same node, another, and the pod itself", async () => {
    const [ratings] = await listPods("app=ratings");
    assert.ok(ratings !== undefined);
    for (const at of [
      ["--node", "node1"],
      ["--node", "node2"],
      ["--pod", ratings.metadata.name],
    ]) {
      for (const path of [
        "details:9080/details/0",
        "ratings:9080/ratings/0",
        "reviews:9080/reviews/0",
        "productpage:9080/productpage",
      ]) {
        const status = await cluster.run(
          "sh",
          ...at,
          "--",
          "curl",
          "-sS",
          "-m",
          "5",
          "-o",
          "/dev/null",
          "-w",
          "%{http_code}",
          `http://${path}`,
        );
        assert.equal(status, "200", `${path} from ${at.join(" ")}`);
      }
    }
  });

  it("rotates exactly over the endpoints of a ClusterIP", async () => {
    const loop =
      'for i in 1 2 3 4 5 6 7 8 9; do curl -sS -m 5 http://reviews:9080/reviews/0 | sed \'s/.*podname":"\\([^"]*\\).*/\\1/\'; echo; done';
    const names = (await cluster.run("sh", "--node", "node1", "--", "sh", "-c", loop))
      .split("\n")
      .filter((name) => name !== "");
    assert.equal(names.length, 9);
    assert.equal(new Set(names).size, 3);
    names.forEach((name, at) => assert.equal(name, names[at % 3], names.join(" ")));
  });

  it("sends a tenth of the calls to v3 while a canary route says so, without a failed request", async () => {
    const load = startLoad(url, rate);
    await cluster.run("apply", ...canaryFiles);
    await sleep(1000);
    const before = load.soFar();
    const result = await fetchPages(url, 2000, 8);
    whole(result);
    // The load shares the sidecar's rotation: of both together the share is exact to within what is in flight.
    const all = new Map(result.byPod);
    for (const [pod, count] of load.soFar()) all.set(pod, (all.get(pod) ?? 0) + count - (before.get(pod) ?? 0));
    const share = (versionsOf(all).get("v3") ?? 0) / [...all.values()].reduce((sum, count) => sum + count, 0);
    assert.ok(Math.abs(share - 0.1) <= 0.005, `share ${share}`);
    await cluster.run("delete", ...canaryFiles);
    await sleep(500);
    whole(await load.stop());
    const afterwards = await fetchPages(url, 60, 4);
    whole(afterwards);
    assert.equal(versions(afterwards).size, 3);
  });

  it("loses no request when a reviews process is killed, and its endpoint leaves meanwhile", async () => {
    const [pod] = await listPods("app=reviews,version=v2");
    assert.ok(pod !== undefined);
    const load = startLoad(url, rate);
    await sleep(1000);
    const target = findNode(cluster.name, "reviews.ts", ({ env }) => env["HOSTNAME"] === pod.metadata.name);
    assert.ok(target !== undefined);
    const left = watchLeaving(cluster, "reviews", pod.status.podIP);
    process.kill(target.pid, "SIGKILL");
    await left;
    await waitFor(async () => (await reviewsAddresses()).length === 3, "the endpoint to come back");
    await sleep(1000);
    whole(await load.stop());
  });

  it("loses no request when a reviews pod is deleted, and replaces it", async () => {
    const [pod] = await listPods("app=reviews,version=v3");
    assert.ok(pod !== undefined);
    const load = startLoad(url, rate);
    await sleep(500);
    const left = watchLeaving(cluster, "reviews", pod.status.podIP);
    const gone = watchGone(pod.metadata);
    await cluster.run("delete", "pod", pod.metadata.name, "--no-wait");
    assert.ok((await left).resourceVersion < (await gone), "the endpoint leaves before the pod does");
    await waitFor(async () => (await reviewsAddresses()).length === 3, "a new endpoint");
    whole(await load.stop());
  });

  it("counted no failed request in any sidecar so far", async () => {
    assert.deepEqual(await countedFailures(), []);
  });

  const isBack = async (): Promise<boolean> => {
    const { stdout } = await cluster.attempt("status", "-o", "json");
    const status = JSON.parse(stdout || "{}") as { nodes?: { ready: boolean }[]; pods?: { notReady: string[] } };
    return status.nodes?.every(({ ready }) => ready) === true && status.pods?.notReady.length === 0;
  };

  for (const [what, script] of [
    ["the control process", "cli/control.ts"],
    ["a node agent", "cli/agent.ts"],
  ] as const) {
    it(`loses no request when ${what} is killed, and it is back with its state`, async () => {
      const podsBefore = (await listPods("app")).map(({ metadata }) => metadata.uid).sort();
      const load = startLoad(url, rate);
      await sleep(500);
      const target = findNode(cluster.name, script);
      assert.ok(target !== undefined);
      process.kill(target.pid, "SIGKILL");
      await waitFor(() => {
        const now = findNode(cluster.name, script);
        return now !== undefined && now.pid !== target.pid;
      }, `${what} to run again`);
      await waitFor(isBack, "the cluster to be well");
      await sleep(500);
      whole(await load.stop());
      assert.deepEqual((await listPods("app")).map(({ metadata }) => metadata.uid).sort(), podsBefore);
    });
  }

  it("loses only what is in flight when a sidecar host is killed", async () => {
    const load = startLoad(url, rate);
    await sleep(500);
    const target = findNode(cluster.name, "cli/sidecar-host.ts");
    assert.ok(target !== undefined);
    process.kill(target.pid, "SIGKILL");
    await waitFor(() => {
      const now = findNode(cluster.name, "cli/sidecar-host.ts");
      return now !== undefined && now.pid !== target.pid;
    }, "the sidecar host to run again");
    await sleep(2000);
    const { failures } = await load.stop();
    // Sixteen connections at most, each with at most one request on the host that died.
    assert.ok(failures.length <= 16, failures.join("\n"));
    whole(await fetchPages(url, 60, 4));
  });

  it("leaves the host's links and firewall alone while it runs", () => {
    const now = readHost();
    assert.equal(now.links, host.links);
    assert.equal(now.rules, host.rules);
    assert.equal(now.mounts, host.mounts);
  });

  it("leaves nothing after down", async () => {
    const namespaces = clusterNamespaces(cluster.name);
    assert.ok(namespaces.size > 10);
    await cluster.run("down");
    assert.deepEqual(await remainingNamespaces(cluster.name, namespaces, 1000), []);
    assert.deepEqual(commandsLeft(), []);
    assert.deepEqual(readHost(), host);
  });

  it("comes up again with its state, and leaves nothing when the launcher is killed", async () => {
    await cluster.run("up", "--detach");
    const deployments = await cluster.run("get", "deploy", "-o", "name");
    assert.match(deployments, /reviews-v3/);
    const namespaces = clusterNamespaces(cluster.name);
    const launcher = findNode(cluster.name, "cli/launcher/main.ts");
    assert.ok(launcher !== undefined);
    process.kill(launcher.pid, "SIGKILL");
    assert.deepEqual(await remainingNamespaces(cluster.name, namespaces, 1000), []);
    await waitFor(() => commandsLeft().length === 0, "every process to end");
    assert.deepEqual(readHost(), host);
  });

  const commandsLeft = (): string[] => clusterProcesses(cluster.name).map(({ command }) => command.join(" "));
});
