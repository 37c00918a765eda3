/**
 * Istio's own Bookinfo, byte for byte, by stock kubectl: applies, becomes ready, serves; also by an Ingress.
 */
import assert from "node:assert/strict";
import { type Server, createServer } from "node:net";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { createTestCluster, type TestCluster } from "./cluster.ts";
import { findKubectl } from "./kubectl/binary.ts";
import { findOrSkip, Kubectl, skipReason } from "./kubectl/kubectl.ts";
import { fetchPages } from "./load.ts";

const found = await findOrSkip(findKubectl);
const root = join(import.meta.dirname, "..", "..");
const manifest = join(root, "test", "fixtures", "istio", "bookinfo.yaml");
const images = join(root, "examples", "bookinfo", "images.yaml");

const ingress = `
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: gateway}
spec:
  rules:
    - http:
        paths:
          - {path: /productpage, pathType: Exact, backend: {service: {name: productpage, port: {name: http}}}}
          - {path: /static/, pathType: Prefix, backend: {service: {name: productpage, port: {number: 9080}}}}
`;

describe("Istio's Bookinfo", skipReason(found), () => {
  let cluster: TestCluster;
  let kubectl: Kubectl;
  let service = "";
  let gateway = "";

  before(async () => {
    cluster = createTestCluster();
    const publish = ["-p", "0=svc/default/productpage:9080", "-p", "0=gateway/kube-system/ingress:80"];
    const up = await cluster.run("up", "--detach", "-o", "json", "--images", images, ...publish);
    const { published } = JSON.parse(up) as { published: { kind: string; hostAddress: string; hostPort: number }[] };
    const urlOf = (kind: string): string => {
      const port = published.find((candidate) => candidate.kind === kind);
      return `http://${port?.hostAddress}:${port?.hostPort}`;
    };
    [service, gateway] = [urlOf("svc"), urlOf("gateway")];
    kubectl = new Kubectl(found, cluster);
  });

  after(async () => {
    await cluster[Symbol.asyncDispose]();
  });

  /** Pages once it serves: pods without probes are ready before they listen. */
  const whole = async (url: string): Promise<void> => {
    for (const untilMs = performance.now() + 20_000; (await fetchPages(url, 3, 1)).failures.length > 0;)
      assert.ok(performance.now() < untilMs, `${url} never served`);
    // Without a sidecar a kept connection keeps its pod: more at a time make more of them.
    const seen = new Set<string>();
    for (let connections = 4; seen.size < 3 && connections <= 64; connections *= 2) {
      const { failures, byPod } = await fetchPages(url, 15 * connections, connections);
      assert.deepEqual(failures, []);
      for (const pod of byPod.keys()) seen.add(pod);
    }
    assert.equal(seen.size, 3, "one pod a version");
  };

  it("applies unmodified and becomes ready", async () => {
    const said = await kubectl.run("apply", "-f", manifest);
    assert.equal(said.trim().split("\n").length, 14);
    assert.ok(
      said.split("\n").every((line) => line === "" || line.endsWith(" created")),
      said,
    );
    await kubectl.line("wait --for=condition=Available deployment --all --timeout=60s");
    await kubectl.line("wait --for=condition=Ready pod --all --timeout=60s");
    assert.match(await kubectl.run("apply", "-f", manifest), /^(\S+ unchanged\n)+$/);
  });

  it("serves whole pages from all versions of reviews", async () => {
    await whole(`${service}/productpage`);
  });

  it("is served by an Ingress, which says where", async () => {
    await kubectl.run("apply", "-f", kubectl.write("ingress.yaml", ingress));
    await kubectl.until(
      /^10\.96\.\d+\.\d+$/,
      20_000,
      "get",
      "ingress",
      "gateway",
      "-o",
      "jsonpath={.status.loadBalancer.ingress[0].ip}",
    );
    await whole(`${gateway}/productpage`);
    assert.equal((await fetch(`${gateway}/nowhere`)).status, 404);
    await kubectl.line("delete ingress gateway");
    await kubectl.run("wait", "--for=delete", "deployment/ingress-wherry", "-n", "kube-system", "--timeout=20s");
  });

  it("is served on a node port of the host, and says when a port is taken", async () => {
    const port = await freeNodePort();
    const expose = (name: string, nodePort: number): string =>
      `apiVersion: v1
kind: Service
metadata: {name: ${name}}
spec: {type: NodePort, selector: {app: productpage}, ports: [{port: 9080, nodePort: ${nodePort}}]}`;
    await kubectl.run("apply", "-f", kubectl.write("node-port.yaml", expose("on-host", port)));
    await whole(`http://127.0.0.1:${port}/productpage`);
    const taken = createServer();
    const other = await freeNodePort(taken);
    try {
      await kubectl.run("apply", "-f", kubectl.write("taken.yaml", expose("taken", other)));
      const events = ["events", "--for", "service/taken"];
      await kubectl.until(/HostPortNotPublished.*127\.0\.0\.1:\d+: another program listens there/, 10_000, ...events);
    } finally {
      taken.close();
    }
    await kubectl.line("delete service on-host taken");
    for (
      const untilMs = performance.now() + 10_000;
      await fetch(`http://127.0.0.1:${port}/`).then(Boolean, () => false);
    )
      assert.ok(performance.now() < untilMs, "the port was never given back");
  });

  it("goes as it came", async () => {
    await kubectl.run("delete", "-f", manifest);
    await kubectl.line("wait --for=delete pod --all --timeout=30s");
  });
});

/** A port of the range of node ports that nobody listens on but `server`, if there is one. */
async function freeNodePort(server?: Server): Promise<number> {
  const probe = server ?? createServer();
  // Not in order: tests of other clusters look for one, too.
  for (let port = 30_000 + (process.pid % 2000); port <= 32_767; port += 1) {
    const isFree = await new Promise<boolean>((resolve) => {
      probe.once("error", () => resolve(false));
      probe.listen({ host: "127.0.0.1", port }, () => resolve(true));
    });
    probe.removeAllListeners();
    if (!isFree) continue;
    if (server === undefined) await new Promise((resolve) => probe.close(resolve));
    return port;
  }
  throw new Error("No node port is free");
}
