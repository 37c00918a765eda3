/**
 * Wrong objects, refused input, killed processes and broken environments: each with its sentence and hint, found by
 * `wherry check`, while the rest of the cluster serves on. One cluster is shared by all that does not break it.
 */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createSocket } from "node:dgram";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ManualClock } from "#lib/clock.ts";
import { systemRandom } from "#lib/random.ts";
import type { CheckReport } from "../../../cli/check.ts";
import type { Finding, FindingCode } from "../../../cli/diagnosis/finding.ts";
import { makeLeaf } from "../../../control/identity/certificates.ts";
import { type Done, type TestCluster, createTestCluster, runCommand } from "../cluster.ts";
import { type Load, readReviews, startLoad } from "../load.ts";
import { clusterProcesses, findNode } from "../processes.ts";
import { insideCluster, readOnly, within, withoutNamespaces, withoutNft, withoutResolver } from "./broken.ts";
import { refusedInputs, wrongObjects } from "./objects.ts";

const wherry = join(import.meta.dirname, "..", "..", "..", "wherry");
const dayMs = 86_400_000;

/**
 * A Service that has nothing to do with what is broken, and must not notice. Its server closes no idle connections: one
 * that is used in the same moment would fail by the application's doing.
 */
const steady = `apiVersion: v1
kind: Service
metadata: { name: steady }
spec: { selector: { app: steady }, ports: [{ port: 80 }] }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: steady }
spec:
  replicas: 2
  selector: { matchLabels: { app: steady } }
  template:
    metadata: { labels: { app: steady } }
    spec:
      containers:
        - name: a
          image: wherry.dev/pause
          command: [node, -e, "require('http').createServer({ keepAliveTimeout: 0 }, (q, s) => s.end(JSON.stringify({ podname: 'steady' }))).listen(80)"]
          readinessProbe: { tcpSocket: { port: 80 }, periodSeconds: 1 }
`;

async function readCheck(cluster: TestCluster): Promise<CheckReport> {
  const { stdout, stderr } = await cluster.attempt("check", "-o", "json");
  assert.notEqual(stdout, "", stderr);
  return JSON.parse(stdout) as CheckReport;
}

/** The response to a query: the same with QR set and rcode 3 (RFC 1035, 4.1.1). */
function toNXDOMAIN(query: Buffer): Buffer {
  const response = Buffer.from(query);
  response.writeUInt8((response[2] ?? 0) | 0x80, 2);
  response.writeUInt8(((response[3] ?? 0) & 0xf0) | 3, 3);
  return response;
}

const all = ({ system, cluster }: CheckReport): Finding[] => [...system, ...cluster.findings];

/** The finding, as soon as `check` has it; fails after 20 s with what it has instead. */
async function findingOf(cluster: TestCluster, code: FindingCode, about: RegExp): Promise<Finding> {
  let findings: Finding[] = [];
  for (const untilMs = performance.now() + 20_000; performance.now() < untilMs;) {
    findings = all(await readCheck(cluster));
    const found = findings.find((finding) => finding.code === code && about.test(finding.about));
    if (found !== undefined) return found;
    await sleep(100);
  }
  assert.fail(`no ${code} about ${about} among ${findings.map(({ code, about }) => `${code} ${about}`).join(", ")}`);
}

/** One sentence on standard error with a hint or a field, and the exit status. */
function refuses({ status, stderr }: Done, wanted: number, sentence: RegExp): void {
  assert.match(stderr, sentence);
  assert.equal(status, wanted, stderr);
}

describe("a cluster with everything wrong", () => {
  const cluster = createTestCluster();
  const state = join(cluster.stateHome, "wherry", cluster.name);
  const folder = mkdtempSync(join(tmpdir(), "wherry-wrong-"));
  const rival = createServer();
  const upstream = createSocket("udp4");
  let url = "";
  let load: Load | undefined;
  let report: CheckReport;

  const apply = (yaml: string): Promise<Done> => {
    const file = join(folder, "input.yaml");
    writeFileSync(file, yaml);
    return cluster.attempt("apply", "-f", file);
  };

  before(async () => {
    await new Promise<void>((resolve) => rival.listen(0, "127.0.0.1", resolve));
    // A resolver that knows no name: that is an answer.
    upstream.on("message", (query, { address, port }) => upstream.send(toNXDOMAIN(query), port, address));
    await new Promise<void>((resolve) => upstream.bind(0, "127.0.0.1", resolve));
    const resolver = ["--dns-upstream", `127.0.0.1:${upstream.address().port}`];
    const published = ["-p", "0=svc/steady:80", "-p", "0=svc/missing-target:80", ...resolver];
    const up = await cluster.run("up", "--detach", "--nodes", "2", "-o", "json", ...published);
    const [port] = (JSON.parse(up) as { published: { hostPort: number }[] }).published;
    url = `http://127.0.0.1:${port?.hostPort}/`;
    const { port: taken } = rival.address() as AddressInfo;
    const balanced = `apiVersion: v1\nkind: Service\nmetadata: { name: port-taken }\nspec: { type: LoadBalancer, selector: { app: steady }, ports: [{ port: ${taken}, targetPort: 80 }] }\n`;
    const wrong = wrongObjects.map(({ yaml }) => yaml).join("---\n");
    const done = await apply(`${steady}---\n${balanced}---\n${wrong}`);
    assert.equal(done.status, 0, done.stderr);
    await steadyIsServed();
    load = startLoad(url, 20, readReviews);
    report = await settledCheck();
  });

  after(async () => {
    await load?.stop();
    await cluster[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
    await new Promise((resolve) => rival.close(resolve));
    await new Promise<void>((resolve) => upstream.close(() => resolve()));
  });

  async function steadyIsServed(): Promise<void> {
    for (const untilMs = performance.now() + 20_000; performance.now() < untilMs; await sleep(50)) {
      const once = startLoad(url, 100, readReviews);
      await sleep(60);
      const { sent, failures } = await once.stop();
      if (sent > 0 && failures.length === 0) return;
    }
    assert.fail("the steady Service is not served");
  }

  async function untilGone(code: FindingCode): Promise<void> {
    for (const untilMs = performance.now() + 20_000; performance.now() < untilMs; await sleep(100))
      if (!all(await readCheck(cluster)).some((finding) => finding.code === code)) return;
    assert.fail(`check still finds ${code}`);
  }

  /** Until every row is found, or for 20 s: the rows then say which is not. */
  async function settledCheck(): Promise<CheckReport> {
    let last = await readCheck(cluster);
    for (const untilMs = performance.now() + 20_000; performance.now() < untilMs; await sleep(200)) {
      last = await readCheck(cluster);
      const findings = all(last);
      if (wrongObjects.every(({ code, about }) => findings.some((one) => one.code === code && about.test(one.about))))
        break;
    }
    return last;
  }

  for (const { what, code, about, sentence } of wrongObjects) {
    it(`finds ${what}`, () => {
      const found = all(report).find((finding) => finding.code === code && about.test(finding.about));
      assert.ok(
        found !== undefined,
        `no ${code}: ${JSON.stringify(all(report).filter((one) => about.test(one.about)))}`,
      );
      assert.match(found.sentence, sentence);
      assert.match(found.hint, /wherry|raise|create|correct/);
    });
  }

  it("finds a port of the host that another program has", async () => {
    const found = await findingOf(cluster, "HostPortTaken", /^service default\/port-taken$/);
    assert.match(found.sentence, /another program listens there/);
  });

  it("finds a published target that does not exist", () => {
    const found = all(report).find(({ code }) => code === "PublishedTargetMissing");
    assert.match(found?.sentence ?? "", /no svc default\/missing-target/);
  });

  it("says in text what it says in JSON, and exits with 1", async () => {
    const { status, stdout } = await cluster.attempt("check");
    assert.equal(status, 1);
    assert.match(stdout, /× pod default\/no-image: .*image map \(.*images\.yaml.*\) \[ImageUnknown\]\n/);
    const state = await cluster.run("status");
    assert.match(state, /not ready: default\/nowhere: No node fits a pod/);
    assert.match(state, /node1\/proxy,dns +proxy,dns +in sync/);
  });

  for (const { what, yaml, sentence } of refusedInputs)
    it(`refuses ${what}`, async () => refuses(await apply(yaml), 1, sentence));

  it("served all the while", async () => {
    const result = await load?.stop();
    assert.deepEqual(result?.failures, []);
    assert.ok((result?.sent ?? 0) > 20);
    load = undefined;
  });

  for (const [what, script, name, isLossless] of [
    ["the control process", "cli/control.ts", "control", true],
    ["a node agent", "cli/agent.ts", "agent-node[12]", true],
    ["a sidecar host", "cli/sidecar-host.ts", "sidecars-node[12]", false],
  ] as const) {
    it(`tells that ${what} was killed, and serves on`, async () => {
      const running = isLossless ? startLoad(url, 20, readReviews) : undefined;
      const target = findNode(cluster.name, script);
      assert.ok(target !== undefined);
      process.kill(target.pid, "SIGKILL");
      const found = await findingOf(cluster, "ProcessRestarts", new RegExp(`^process ${name}$`));
      assert.match(found.sentence, /last with (137|SIGKILL), 1 restart/);
      assert.equal(found.severity, "warning");
      assert.deepEqual((await running?.stop())?.failures ?? [], []);
      await steadyIsServed();
    });
  }

  it("finds that the API server hangs, and serves on", async () => {
    const target = findNode(cluster.name, "cli/control.ts");
    assert.ok(target !== undefined);
    process.kill(target.pid, "SIGSTOP");
    try {
      assert.match((await findingOf(cluster, "APIUnreachable", /^API https:/)).sentence, /no answer within \d+ s/);
      await steadyIsServed();
    } finally {
      process.kill(target.pid, "SIGCONT");
    }
  });

  it("puts back a table of the node proxy that somebody removed", async () => {
    const tables = (): string => insideCluster(cluster, "nft list tables", "node2");
    assert.match(tables(), /table ip wherry-proxy/);
    insideCluster(cluster, "nft delete table ip wherry-proxy", "node2");
    for (const untilMs = performance.now() + 10_000; !/table ip wherry-proxy/.test(tables());)
      assert.ok(performance.now() < untilMs, "the table did not come back");
    await untilGone("RulesMissing");
    await steadyIsServed();
  });

  it("finds that nft is gone, and serves on by the rules that are there", async () => {
    insideCluster(cluster, 'mount --bind /dev/null "$(command -v nft)"');
    assert.match((await findingOf(cluster, "RulesUnreadable", /^node node1$/)).hint, /apt-get install -y nftables/);
    await steadyIsServed();
  });

  it("finds that the upstream resolver is dead, and that the cluster's own names are none the worse", async () => {
    assert.ok(!all(await readCheck(cluster)).some(({ code }) => code === "UpstreamBroken"));
    upstream.removeAllListeners("message");
    assert.match((await findingOf(cluster, "UpstreamBroken", /^node node1$/)).hint, /--dns-upstream ADDR/);
    assert.ok(!all(await readCheck(cluster)).some(({ code }) => code === "DNSBroken"));
  });

  it("finds certificates that have expired, or are valid only later, by name", async () => {
    const pair = (name: string): { cert: string; key: string } => ({
      cert: readFileSync(join(state, "pki", `${name}.crt`), "utf8"),
      key: readFileSync(join(state, "pki", `${name}.key`), "utf8"),
    });
    for (const [days, file] of [
      [-800, "admin"],
      [400, "node1"],
    ] as const) {
      const clock = new ManualClock(performance.timeOrigin + days * dayMs);
      const { cert } = await makeLeaf(pair("ca"), { user: file }, { clock, random: systemRandom });
      writeFileSync(join(state, "pki", `${file}.crt`), cert);
    }
    assert.match((await findingOf(cluster, "CertificateExpired", /^certificate admin\.crt$/)).hint, /wherry down/);
    const early = await findingOf(cluster, "CertificateNotYetValid", /^certificate node1\.crt$/);
    assert.match(early.sentence, /the clock was set back/);
  });

  it("finds that the system's clock was set", async () => {
    // As it is seen when the clock was put forward by an hour: the system seems to have started later.
    const file = join(state, "launcher.json");
    const record = JSON.parse(readFileSync(file, "utf8")) as { bootMs: number };
    writeFileSync(file, JSON.stringify({ ...record, bootMs: record.bootMs - 3_600_000 }));
    const found = await findingOf(cluster, "ClockSet", /^clock/);
    assert.match(found.sentence, /by \+3600 s since the start/);
    writeFileSync(file, JSON.stringify(record));
    await steadyIsServed();
  });

  it("refuses another cluster of its name, and a change of itself", async () => {
    refuses(
      await cluster.attempt("up", "--detach", "--nodes", "3"),
      1,
      /Cannot change cluster .*: it runs with 2 nodes, wanted 3 \(stop it first: wherry down/,
    );
    refuses(
      await cluster.attempt("up", "--detach", "--outbound-traffic-policy", "registry-only"),
      1,
      /Cannot change cluster .*: it runs without --outbound-traffic-policy/,
    );
    refuses(
      await cluster.attempt("up", "--detach", "-p", "9=svc/default/steady:80"),
      1,
      /Cannot change cluster .*: it does not publish 127\.0\.0\.1:9 for svc\/default\/steady:80/,
    );
  });

  it("finds what is left of a killed launcher, and starts again with its state", async () => {
    const launcher = findNode(cluster.name, "launcher/main.ts") ?? findNode(cluster.name, "launcher/guardian.ts");
    assert.ok(launcher !== undefined);
    process.kill(launcher.pid, "SIGKILL");
    const found = await findingOf(cluster, "LauncherGone", new RegExp(`^cluster ${cluster.name}$`));
    assert.match(found.hint, /wherry up/);
    refuses(
      await cluster.attempt("get", "pods"),
      1,
      /Cannot reach cluster .*: it is not running \(start it: wherry up/,
    );
    await cluster.run("up", "--detach", "--nodes", "2");
    assert.match(await cluster.run("get", "svc", "steady"), /steady/);
  });
});

describe("an environment that is broken", () => {
  /** One command with a state folder of its own; nothing may be left running. */
  const attempt = async (
    args: readonly string[],
    { prefix = [], prepare }: { prefix?: readonly string[]; prepare?: (state: string) => void } = {},
  ): Promise<Done> => {
    const stateHome = mkdtempSync(join(tmpdir(), "wherry-test-"));
    const name = `wrong-${process.pid}`;
    try {
      const state = join(stateHome, "wherry", name);
      mkdirSync(state, { recursive: true });
      prepare?.(state);
      const env = { ...process.env, XDG_STATE_HOME: stateHome, XDG_CONFIG_HOME: stateHome };
      const [verb = "", ...rest] = args;
      const done = await runCommand([...prefix, wherry, verb, "--name", name, ...rest], env);
      assert.deepEqual(clusterProcesses(name), []);
      return done;
    } finally {
      rmSync(stateHome, { recursive: true, force: true });
    }
  };
  const findings = (done: Done): Finding[] => all(JSON.parse(done.stdout) as CheckReport);
  const found = (done: Done, code: FindingCode): Finding => {
    const one = findings(done).find((finding) => finding.code === code);
    assert.ok(one !== undefined, done.stdout);
    return one;
  };

  for (const { what, prefix, code, hint } of [
    { what: "nft is not installed", prefix: withoutNft, code: "ProgramMissing", hint: /apt-get install -y nftables/ },
    { what: "namespaces are refused", prefix: withoutNamespaces, code: "NamespacesRefused", hint: /sysctl/ },
  ] as const) {
    it(`says in check that ${what}, and up starts nothing`, async () => {
      const checked = await attempt(["check", "-o", "json"], { prefix });
      assert.equal(checked.status, 1);
      assert.match(found(checked, code).hint, hint);
      const started = await attempt(["up", "--detach"], { prefix });
      refuses(started, 1, hint);
    });
  }

  it("says that the system names no resolver", async () => {
    const one = found(await attempt(["check", "-o", "json"], { prefix: withoutResolver }), "ResolvConfUnusable");
    assert.match(one.hint, /--dns-upstream/);
    assert.equal(one.severity, "warning");
  });

  it("says that the state folder cannot be written", async () => {
    const folder = mkdtempSync(join(tmpdir(), "wherry-readonly-"));
    const env = { ...process.env, XDG_STATE_HOME: folder };
    try {
      const run = (...args: readonly string[]): Promise<Done> =>
        runCommand([...readOnly(folder), wherry, ...args], env);
      assert.match(found(await run("check", "-o", "json"), "StateFolderUnusable").hint, /XDG_STATE_HOME/);
      refuses(await run("up", "--detach"), 1, /Cannot make state folder .*: .*\(set XDG_STATE_HOME\)/);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it("refuses a store that is damaged, with the way out", async () => {
    const prepare = (state: string): void => writeFileSync(join(state, "wherry.db"), "not a database".repeat(100));
    refuses(
      await attempt(["up", "--detach", "--nodes", "1"], { prepare }),
      1,
      /Cannot open store .*wherry\.db: .*\(move the file away to start empty, or restore a copy of it\)/,
    );
  });

  it("refuses a store of another application", async () => {
    const prepare = (state: string): void => {
      const database = new DatabaseSync(join(state, "wherry.db"));
      database.exec("CREATE TABLE theirs (a TEXT)");
      database.close();
    };
    refuses(await attempt(["up", "--detach", "--nodes", "1"], { prepare }), 1, /a database of another application/);
  });

  it("refuses a port of the host that is taken", async () => {
    const rival = createServer();
    await new Promise<void>((resolve) => rival.listen(0, "127.0.0.1", resolve));
    const { port } = rival.address() as AddressInfo;
    try {
      refuses(
        await attempt(["up", "--detach", "-p", `${port}=svc/x:80`]),
        1,
        /Cannot publish 127\.0\.0\.1:\d+: .*EADDRINUSE/,
      );
    } finally {
      await new Promise((resolve) => rival.close(resolve));
    }
  });

  for (const { what, args, sentence } of [
    {
      what: "an upstream that is no address",
      args: ["--dns-upstream", "dns.example.org"],
      sentence: /wanted ADDR or ADDR:PORT/,
    },
    {
      what: "a policy that there is not",
      args: ["--outbound-traffic-policy", "open"],
      sentence: /Allowed choices are/,
    },
  ])
    it(`refuses ${what}`, async () => refuses(await attempt(["up", "--detach", ...args]), 64, sentence));

  it("serves on with a full disk, refuses writes with the reason, and goes on when there is room", async () => {
    const script = [
      'mount -t tmpfs -o size=12m none "$XDG_STATE_HOME"',
      'w() { verb=$1; shift; "$WHERRY" "$verb" --name "$NAME" "$@"; }',
      "trap 'w down >/dev/null 2>&1' EXIT",
      "w up --detach --nodes 1 >/dev/null",
      'head -c 20m /dev/zero >"$XDG_STATE_HOME/filler" 2>/dev/null',
      "i=0; while [ $i -lt 30 ]; do i=$((i+1)); printf 'apiVersion: v1\\nkind: ConfigMap\\nmetadata: { name: big%s }\\ndata: { a: %s }\\n' $i \"$(head -c 200000 /dev/zero | tr '\\0' x)\" | w apply -f - >/dev/null 2>\"$OUT/refused\" || break; done",
      'w get nodes >"$OUT/nodes"; w check -o json >"$OUT/check"',
      'rm "$XDG_STATE_HOME/filler"',
      "sleep 0.3; printf 'apiVersion: v1\\nkind: ConfigMap\\nmetadata: { name: fits }\\n' | w apply -f - >\"$OUT/after\" 2>&1",
    ].join("\n");
    const folder = mkdtempSync(join(tmpdir(), "wherry-full-"));
    const out = join(folder, "out");
    const stateHome = join(folder, "state");
    mkdirSync(out);
    mkdirSync(stateHome);
    const name = `full-${process.pid}`;
    const env = {
      ...process.env,
      XDG_STATE_HOME: stateHome,
      XDG_CONFIG_HOME: stateHome,
      WHERRY: wherry,
      NAME: name,
      OUT: out,
    };
    try {
      const read = (file: string): string => readFileSync(join(out, file), "utf8");
      await runCommand([...within("true"), "sh", "-c", script], env);
      assert.match(read("refused"), /disk is full/);
      assert.match(read("nodes"), /node1 +Ready/);
      const codes = all(JSON.parse(read("check")) as CheckReport).map(({ code }) => code);
      assert.ok(codes.includes("DiskFull"), codes.join(", "));
      assert.ok(codes.includes("StoreRefusesWrites"), codes.join(", "));
      assert.equal(read("after"), "configmap/fits created\n");
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
