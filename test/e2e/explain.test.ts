/**
 * `wherry explain` says what then happens, and `wherry bug-report` says no secret: on the demo, with a canary.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { CheckReport } from "../../cli/check.ts";
import type { Explanation } from "../../cli/diagnosis/explain/explanation.ts";
import type { ClusterStatus } from "../../cli/status.ts";
import { createTestCluster } from "./cluster.ts";

const bookinfo = join(import.meta.dirname, "..", "..", "examples", "bookinfo");
const password = "correct-horse-battery-staple";
const literal = "tr0ub4dor-and-3";

/** A pod without a sidecar that says its secret aloud, and one that has it in its environment. */
const extras = `apiVersion: v1
kind: Secret
metadata: { name: hush }
stringData: { password: ${password} }
---
apiVersion: v1
kind: ConfigMap
metadata: { name: hints }
data: { hint: the-first-pet-is-rex }
---
apiVersion: v1
kind: Service
metadata: { name: lonely }
spec: { selector: { app: nobody }, ports: [{ port: 80 }] }
---
apiVersion: v1
kind: Service
metadata: { name: ported }
spec:
  type: NodePort
  selector: { app: details }
  externalIPs: [198.51.100.7]
  ports: [{ port: 80, targetPort: 9080, nodePort: 30180 }]
---
apiVersion: v1
kind: Service
metadata: { name: headless }
spec: { clusterIP: None, selector: { app: alone }, ports: [{ port: 80, targetPort: 8080 }] }
---
apiVersion: v1
kind: Pod
metadata: { name: alone, labels: { app: alone, "sidecar.istio.io/inject": "false" } }
spec: { containers: [{ name: a, image: wherry.dev/pause }] }
---
apiVersion: v1
kind: Pod
metadata: { name: plain, labels: { app: plain, "sidecar.istio.io/inject": "false" } }
spec:
  containers:
    - name: a
      image: wherry.dev/pause
      command: [sh, -c, "echo $PASSWORD; sleep infinity"]
      env:
        - { name: PASSWORD, valueFrom: { secretKeyRef: { name: hush, key: password } } }
        - { name: API_TOKEN, value: ${literal} }
`;

describe("wherry explain and bug-report", () => {
  const cluster = createTestCluster();
  const folder = mkdtempSync(join(tmpdir(), "wherry-explain-"));

  before(async () => {
    await cluster.run("demo", "--detach", "-p", "0=gateway/default/bookinfo-gateway:80");
    const file = join(folder, "extras.yaml");
    writeFileSync(file, extras);
    const files = [file, join(bookinfo, "versions.yaml"), join(bookinfo, "canary-90-10.yaml")];
    await cluster.run("apply", ...files.flatMap((name) => ["-f", name]));
    for (const untilMs = performance.now() + 10_000; performance.now() < untilMs; await sleep(50)) {
      const { pods } = JSON.parse(await cluster.run("status", "-o", "json")) as ClusterStatus;
      const inForce = await Promise.all(
        ["productpage", "details"].map(async (from) => {
          const { route } = await explain("GET", "http://reviews:9080/reviews/0", "--from", from);
          return route?.name === "default/reviews/0";
        }),
      );
      if (pods?.notReady.length === 0 && inForce.every(Boolean)) return;
    }
    assert.fail("the canary is not in force");
  });

  after(async () => {
    await cluster[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  async function explain(...words: readonly string[]): Promise<Explanation> {
    return JSON.parse(await cluster.run("explain", "-o", "json", ...words)) as Explanation;
  }

  const versionOf = (pod: string): string => /reviews-v\d/.exec(pod)?.[0] ?? pod;

  it("tells the shares of a canary, which the next requests then have", async () => {
    // From a pod that the load does not pass, whose sidecar's turns are ours alone.
    const { shares, by, outcome } = await explain("GET", "http://reviews:9080/reviews/0", "--from", "details");
    const told = shares.map(({ share, endpoints = [] }) => [versionOf(endpoints[0]?.pod ?? ""), share]);
    assert.deepEqual(
      [by, outcome.kind, told],
      [
        "sidecar",
        "forwarded",
        [
          ["reviews-v1", 0.9],
          ["reviews-v3", 0.1],
        ],
      ],
    );
    const loop = "for i in $(seq 20); do curl -s http://reviews:9080/reviews/0; done";
    const text = await cluster.run("sh", "--pod", "deploy/details-v1", "--", "sh", "-c", loop);
    const seen = [...text.matchAll(/"podname":"([^"]+)"/g)].map(([, pod = ""]) => versionOf(pod));
    const count = (version: string): number => seen.filter((each) => each === version).length;
    assert.equal(seen.length, 20);
    assert.ok(Math.abs(count("reviews-v3") - 2) <= 1, seen.join(" "));
    assert.equal(count("reviews-v2"), 0);
  });

  it("names the Service, however much of its name was asked for", async () => {
    for (const host of ["ported", "ported.default", "ported.default.svc.cluster.local"]) {
      const { resolved, service } = await explain("GET", `http://${host}/`, "--from", "plain");
      assert.deepEqual([resolved?.name, service], ["ported.default.svc.cluster.local", "default/ported:80"]);
    }
  });

  it("tells what the rules of the node do where there is no sidecar", async () => {
    const { by, shares } = await explain("GET", "http://reviews:9080/", "--from", "plain");
    assert.equal(by, "node rules");
    assert.equal(shares[0]?.endpoints?.filter(({ serving, hasSidecar }) => serving && hasSidecar).length, 3);
  });

  for (const [what, words, outcome] of [
    [
      "a Service nobody is behind, through a sidecar",
      ["GET", "http://lonely/", "--from", "productpage"],
      /^answered 503 UH/,
    ],
    [
      "a Service nobody is behind, without one",
      ["GET", "http://lonely/", "--from", "plain"],
      /^fails .*no ready endpoint/,
    ],
    [
      "a port that the Service lacks",
      ["GET", "http://reviews:81/", "--from", "productpage"],
      /^fails .*no port 81, wanted one of 9080/,
    ],
    ["a node port", ["GET", "http://100.64.0.3:30180/", "--from", "plain"], /^forwarded/],
    ["an external address", ["GET", "http://198.51.100.7/", "--from", "plain"], /^forwarded/],
    ["a node's own port", ["GET", "http://100.64.0.2:30181/", "--from", "plain"], /^node/],
    [
      "a headless Service's port where nothing listens",
      ["GET", "http://headless/", "--from", "plain"],
      /^fails nothing listens on .*wanted 8080/,
    ],
    [
      "a name that does not exist",
      ["GET", "http://nowhere:80/", "--from", "plain"],
      /^fails .*nowhere does not resolve: ENOTFOUND/,
    ],
    [
      "an unknown path at the gateway",
      ["GET", "http://x/no", "--from", "gateway/bookinfo-gateway"],
      /^answered 404 NR/,
    ],
    ["a page at the gateway", ["GET", "http://x/productpage", "--from", "gateway/bookinfo-gateway"], /^forwarded/],
    ["an address outside", ["GET", "https://192.0.2.1/", "--from", "productpage"], /^leaves 192\.0\.2\.1:443/],
    [
      "an address of the cluster that nobody has",
      ["GET", "http://10.96.255.254/", "--from", "plain"],
      /^fails .*no Service has it/,
    ],
  ] as const) {
    it(`tells how ${what} ends`, async () => {
      const { outcome: end } = await explain(...words);
      const told = { status: "", flag: "", why: "", destination: "", ...end };
      const parts = [told.kind, told.status, told.flag, told.destination, told.why];
      assert.match(parts.filter((part) => part !== "").join(" "), outcome);
    });
  }

  it("refuses what cannot be explained", async () => {
    for (const [words, status, sentence] of [
      [["GET", "http://reviews/"], 64, /no sender, wanted --from POD/],
      [["GET", "reviews", "--from", "plain"], 64, /it is no URL/],
      [["Nonsense"], 64, /wanted METHOD URL, or a code/],
      [["GET", "http://reviews/", "--from", "nobody"], 1, /nothing of that name in namespace default/],
    ] as const) {
      const done = await cluster.attempt("explain", ...words);
      assert.match(done.stderr, sentence);
      assert.equal(done.status, status);
    }
    assert.match(await cluster.run("explain", "UH"), /^UH \(response flag\): No endpoint/);
  });

  it("is in sync everywhere, and check finds nothing but the Service that nobody is behind", async () => {
    const { clients = [], processes = [] } = JSON.parse(await cluster.run("status", "-o", "json")) as ClusterStatus;
    assert.deepEqual(
      clients.filter(({ state }) => state === "rejects"),
      [],
    );
    assert.equal(clients.filter(({ kind }) => kind === "proxy,dns").length, 2);
    assert.equal(clients.filter(({ kind }) => kind === "gateway").length, 1);
    assert.ok(clients.every(({ ackedVersion = 0 }) => ackedVersion > 0));
    assert.deepEqual(
      processes.map(({ state }) => state),
      ["ready", "ready", "ready", "ready", "ready"],
    );
    const { stdout, status } = await cluster.attempt("check", "-o", "json");
    const { cluster: found } = JSON.parse(stdout) as CheckReport;
    const codes = found.findings.filter(({ code }) => code !== "UpstreamBroken").map(({ code }) => code);
    assert.deepEqual(codes, ["SelectorMatchesNothing"]);
    assert.equal(status, 0);
  });

  it("writes a bug report with all that is needed and no secret", async () => {
    const file = join(folder, "report.tar.gz");
    assert.match(
      await cluster.run("bug-report", "--file", file),
      /Wrote .*report\.tar\.gz: \d+ files, secrets redacted/,
    );
    execFileSync("tar", ["-xzf", file, "-C", folder]);
    const top = join(folder, `wherry-bug-report-${cluster.name}`);
    const names = readdirSync(top, { recursive: true, encoding: "utf8" });
    for (const wanted of [
      "versions.json",
      "status.json",
      "findings.json",
      "sync.json",
      "objects/pods.json",
      "objects/events.json",
      "logs/control.log",
    ])
      assert.ok(names.includes(wanted), wanted);
    const text = execFileSync("tar", ["-xzOf", file], { maxBuffer: 64 * 1024 * 1024 }).toString();
    const pki = join(cluster.stateHome, "wherry", cluster.name, "pki");
    const keys = readdirSync(pki)
      .filter((name) => name.endsWith(".key"))
      .flatMap((name) =>
        readFileSync(join(pki, name), "utf8")
          .split("\n")
          .filter((line) => line.length > 30),
      );
    assert.ok(keys.length > 5);
    for (const secret of [password, literal, "the-first-pet-is-rex", ...keys]) {
      assert.ok(!text.includes(secret), `${secret.slice(0, 12)}… is in the report`);
      assert.ok(!text.includes(Buffer.from(secret).toString("base64")), `${secret.slice(0, 12)}… is in the report`);
    }
    assert.doesNotMatch(text, /PRIVATE KEY|eyJ[\w-]+\.eyJ/);
  });
});
