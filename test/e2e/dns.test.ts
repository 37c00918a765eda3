/**
 * Cluster DNS as its users meet it: the node's resolver from inside, and `wherry dns` with a Corefile against the
 * same API server, over UDP, TCP, TLS and HTTPS, with dig, on one list of cases. Outside names come from a resolver
 * of the test's own.
 */
import assert from "node:assert/strict";
import { type ChildProcess, execFile, execFileSync, spawn, spawnSync } from "node:child_process";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import dnsPacket, { type Answer } from "dns-packet";
import { createTestCluster, type TestCluster } from "./cluster.ts";
import { type Case, cases, externalCases, manifest, unlikeCoreDNS } from "./dns-cases.ts";
import { askByCAres, askByLibrary, isForCAres } from "./dns-library.ts";

const run = promisify(execFile);

/** 192.0.2.1 for names under outside.test, NXDOMAIN for others. */
function answer(bytes: Buffer): Buffer {
  const { id, questions = [] } = dnsPacket.decode(bytes);
  const [question] = questions;
  const name = question?.name ?? "";
  const isKnown = name.toLowerCase().endsWith("outside.test");
  const numbers = { serial: 1, refresh: 1, retry: 1, expire: 1, minimum: 20 };
  const soa: Answer = {
    type: "SOA",
    name: "test",
    ttl: 20,
    data: { mname: "ns.test", rname: "host.test", ...numbers },
  };
  const address: Answer = { type: "A", name, ttl: 60, data: "192.0.2.1" };
  const isAnswered = isKnown && question?.type === "A";
  const sections = { answers: isAnswered ? [address] : [], authorities: isAnswered ? [] : [soa] };
  return dnsPacket.encode({ type: "response", id, flags: 0x180 | (isKnown ? 0 : 3), questions, ...sections });
}

/** dig's words for all cases at once. */
function digArgs(all: readonly Case[], options: readonly string[]): readonly string[] {
  const fixed = ["+time=5", "+tries=1", "+nocmd", "+nostats", "+noadditional", ...options];
  return all.flatMap(([query]) => [...fixed, ...query.split(" ")]);
}

/** What dig printed, one response a case: `RCODE data data`, sorted. */
function readDig(output: string): readonly string[] {
  return output
    .split(";; Got answer:")
    .slice(1)
    .map((text) => {
      const rcode = /status: ([A-Z]+)/.exec(text)?.[1] ?? "";
      const section = (name: string): readonly string[] =>
        (text.split(`;; ${name} SECTION:\n`)[1]?.split("\n\n")[0] ?? "")
          .split("\n")
          .filter((line) => line !== "" && !line.startsWith(";"));
      const data = section("ANSWER").map((line) => line.split(/\s+/).slice(4).join(" "));
      const isNegative = section("AUTHORITY").some((line) => /\sSOA\s/.test(line));
      return [rcode, ...(isNegative ? ["SOA"] : []), ...data.sort()].join(" ");
    });
}

function check(found: readonly string[], all: readonly Case[] = cases): void {
  const wanted = all.map(([query, ...rest]) => [query, rest.join(" ")]);
  assert.deepEqual(
    all.map(([query], index) => [query, found[index]]),
    wanted,
  );
}

/** What a resolver with a Corefile of the test's own is asked. */
const alone: readonly Case[] = [...cases, ...externalCases];

/** A CoreDNS to compare with: `coredns` in the path, or WHERRY_COREDNS. */
const coreDNS = process.env["WHERRY_COREDNS"] ?? "coredns";
const hasCoreDNS = spawnSync(coreDNS, ["-version"]).status === 0;

describe("cluster DNS", () => {
  let cluster: TestCluster;
  let upstream: Socket;
  let folder = "";
  let resolver: ChildProcess;
  const ports = new Map<string, string>();

  before(async () => {
    upstream = createSocket("udp4");
    upstream.on("message", (bytes, { port, address }) => upstream.send(answer(bytes), port, address));
    upstream.bind(0, "127.0.0.1");
    await once(upstream, "listening");
    const at = `127.0.0.1:${upstream.address().port}`;
    cluster = createTestCluster();
    await cluster.run("up", "--detach", "--nodes", "1", "--dns-upstream", at);
    folder = mkdtempSync(join(tmpdir(), "wherry-dns-e2e-"));
    writeFileSync(join(folder, "objects.yaml"), manifest);
    await cluster.run("apply", "-f", join(folder, "objects.yaml"));
    writeFileSync(join(folder, "kubeconfig"), await cluster.run("kubeconfig"));
    writeFileSync(join(folder, "Corefile"), corefile(at));
    const kind = [
      "-x509",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:prime256v1",
      "-nodes",
      "-days",
      "2",
      "-subj",
      "/CN=dns",
    ];
    execFileSync("openssl", ["req", ...kind, "-keyout", join(folder, "key.pem"), "-out", join(folder, "cert.pem")], {
      stdio: "ignore",
    });
    resolver = await startResolver(join(folder, "Corefile"), ports);
    // The last object of the list is there: so are those before it.
    await untilRunning(cluster);
    await untilAnswered(["-p", ports.get("dns") ?? "0", "@127.0.0.1"]);
  });

  after(async () => {
    resolver.kill("SIGKILL");
    upstream.close();
    await cluster[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  });

  for (const [transport, options] of [
    ["UDP", []],
    ["TCP", ["+tcp"]],
  ] as const) {
    it(`answers the cases on the node over ${transport}`, async () => {
      check(readDig(await cluster.run("sh", "--", "dig", ...digArgs(cases, options))));
    });
  }

  for (const [transport, scheme, options] of [
    ["UDP", "dns", []],
    ["TCP", "dns", ["+tcp"]],
    ["TLS", "tls", ["+tls"]],
    ["HTTPS", "https", ["+https"]],
  ] as const) {
    it(`answers the cases alone, with a Corefile, over ${transport}`, async () => {
      const at = ["@127.0.0.1", "-p", ports.get(scheme) ?? "0", ...options];
      check(readDig((await run("dig", [...digArgs(alone, at)])).stdout), alone);
    });
  }

  for (const [transport, scheme] of [
    ["tcp", "dns"],
    ["tls", "tls"],
    ["https", "https"],
  ] as const) {
    it(`answers the cases to a library over ${transport}`, async () => {
      check(await askByLibrary(transport, Number(ports.get(scheme)), alone), alone);
    });
  }

  it("answers the cases to c-ares over UDP", async () => {
    const some = cases.filter(isForCAres);
    assert.ok(some.length > 20);
    check(await askByCAres(Number(ports.get("dns")), some), some);
  });

  it(
    "says what CoreDNS says of the same cluster",
    { skip: hasCoreDNS ? false : `SKIP no ${coreDNS} here` },
    async () => {
      const at = `127.0.0.1:${upstream.address().port}`;
      const port = await freePort();
      writeFileSync(
        join(folder, "Corefile.coredns"),
        corefile(at).split("tls://")[0]?.replace(".:0", `.:${port}`) ?? "",
      );
      const child = spawn(coreDNS, ["-conf", "Corefile.coredns"], { cwd: folder, stdio: "ignore" });
      try {
        const args = ["-p", String(port), "@127.0.0.1"];
        await untilAnswered(args);
        const alike = alone.filter(([query]) => unlikeCoreDNS[query] === undefined);
        check(readDig((await run("dig", [...digArgs(alike, args)])).stdout), alike);
      } finally {
        child.kill("SIGKILL");
      }
    },
  );

  it("answers pods and the node on its link-local address, without conntrack", async () => {
    for (const options of [[], ["+tcp"]]) {
      const args = ["--", "dig", "@169.254.20.10", "+short", "+tries=1", ...options, "svc1.testns.svc.cluster.local"];
      assert.equal((await cluster.run("sh", "--node", "node1", ...args)).trim(), "10.96.7.1");
      assert.equal((await cluster.run("sh", "--pod", "asker", ...args)).trim(), "10.96.7.1");
    }
    const rules = await cluster.run("sh", "--node", "node1", "--", "nft", "list", "table", "ip", "wherry-egress");
    for (const way of ["daddr 169.254.20.10 udp dport 53", "saddr 169.254.20.10 udp sport 53"])
      assert.ok(rules.includes(`${way} notrack`), way);
  });

  it("is asked by commands with the search list of the namespace that is given", async () => {
    const place = ["-n", "testns", "--node", "node1"];
    assert.match(
      await cluster.run("sh", ...place, "--", "getent", "hosts", "svc1"),
      /^10\.96\.7\.1 +svc1\.testns\.svc/,
    );
    assert.match(await cluster.run("sh", "--", "cat", "/etc/resolv.conf"), /^search default\.svc/m);
    assert.equal((await cluster.attempt("sh", "-n", "no such", "--", "true")).status, 64);
  });

  it("knows the host, ends alias loops, and cuts for those without EDNS", async () => {
    const dig = (...args: readonly string[]): Promise<string> => cluster.run("sh", "--", "dig", "+tries=1", ...args);
    assert.equal((await dig("+short", "host.wherry.internal")).trim(), "100.64.255.253");
    assert.match(await dig("loop1.testns.svc.cluster.local"), /status: NOERROR/);
    assert.match(await dig("+noedns", "+ignore", "big.testns.svc.cluster.local"), /flags: qr aa tc/);
  });

  it("ends within its lameduck time on SIGTERM, serving on until then", async () => {
    resolver.kill("SIGTERM");
    const at = ["@127.0.0.1", "-p", ports.get("dns") ?? "0", "+short", "+tries=1"];
    assert.equal((await run("dig", [...at, "svc1.testns.svc.cluster.local"])).stdout.trim(), "10.96.7.1");
    const [status] = (await once(resolver, "exit")) as [number];
    assert.equal(status, 0);
  });
});

async function freePort(): Promise<number> {
  const socket = createSocket("udp4");
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  const { port } = socket.address();
  socket.close();
  await once(socket, "close");
  return port;
}

/** The stock plugins of Kubernetes, on ports of the test's own, and the other two transports. */
function corefile(upstream: string): string {
  const block = `{
  bind 127.0.0.1
  errors
  kubernetes cluster.local in-addr.arpa ip6.arpa {
    kubeconfig kubeconfig
    pods insecure
    fallthrough in-addr.arpa ip6.arpa
    ttl 30
  }
  k8s_external ext.test
  forward . ${upstream} {
    prefer_udp
    max_concurrent 1000
  }
  cache 30
  loadbalance
`;
  const plain =
    ".:0 " +
    block +
    "  health 127.0.0.1:0 {\n    lameduck 1s\n  }\n  ready 127.0.0.1:0\n  prometheus 127.0.0.1:0\n  loop\n  reload\n}\n";
  const tls = (scheme: string): string => `${scheme}://.:0 ${block}  tls cert.pem key.pem\n}\n`;
  return plain + tls("tls") + tls("https");
}

/** `wherry dns` on the file; resolves when it serves. */
async function startResolver(file: string, ports: Map<string, string>): Promise<ChildProcess> {
  const wherry = join(import.meta.dirname, "..", "..", "wherry");
  const child = spawn(wherry, ["dns", "-conf", file], { stdio: ["ignore", "ignore", "pipe"] });
  for await (const line of createInterface({ input: child.stderr })) {
    const entry = line.startsWith("{")
      ? (JSON.parse(line) as { message: string; addresses?: string })
      : { message: line };
    if (entry.message !== "Serving") continue;
    for (const [, scheme = "", port = ""] of (entry.addresses ?? "").matchAll(/([a-z]+):\/\/[^ ]*:([0-9]+)/g))
      ports.set(scheme, port);
    break;
  }
  child.stderr.resume();
  return child;
}

async function untilRunning(cluster: TestCluster): Promise<void> {
  for (const untilMs = performance.now() + 20_000; ;) {
    const { status } = JSON.parse(await cluster.run("get", "pod", "asker", "-o", "json")) as {
      status?: { phase?: string };
    };
    if (status?.phase === "Running") return;
    assert.ok(performance.now() < untilMs, "the pod never ran");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function untilAnswered(at: readonly string[]): Promise<void> {
  for (const untilMs = performance.now() + 20_000; ;) {
    const { stdout } = await run("dig", [...at, "+short", "+tcp", "big.testns.svc.cluster.local"]).catch(() => ({
      stdout: "",
    }));
    if (stdout.trim().split("\n").length === 60) return;
    assert.ok(performance.now() < untilMs, "the objects never had names");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
