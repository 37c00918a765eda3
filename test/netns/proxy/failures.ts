/**
 * What the node proxy does when it is killed, refused or left without its programs. Run by proxy.test.ts inside
 * namespaces of its own, never directly.
 *
 *   node failures.ts           the tests
 *   node failures.ts serve     a proxy with one Service, to be killed
 *   node failures.ts probe     what is missing here, printed
 */
import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { after, test } from "node:test";
import { FakeKubeClient } from "#api/client/fake.ts";
import { services } from "#api/core/service.ts";
import { endpointSlices } from "#api/discovery/endpointslice.ts";
import { realClock as clock } from "#lib/clock.ts";
import { type Logger, silentLogger } from "#lib/log.ts";
import { systemRandom as random } from "#lib/random.ts";
import { parseConfiguration } from "../../../proxy/kube/configuration.ts";
import { type Exec, systemExec } from "../../../proxy/l4/exec.ts";
import { endpoint, named, service } from "../../../proxy/l4/fixture.ts";
import { StandaloneProxy } from "../../../proxy/main.ts";
import { probeNftables } from "../../../proxy/probe.ts";
import { createNodeProxy } from "../../../proxy/state.ts";
import { callTCP, dial, say, serveTCP } from "./endpoints.ts";
import { createNetwork, networks } from "./network.ts";

const vip = { address: "10.96.1.1", port: 80 };
const [second, third] = ["3", "4"].map((last) => `${networks.IPv4.pods[0]}${last}`);
const web = (address = ""): ReturnType<typeof named> =>
  named(service("web", vip.address, { endpoints: [endpoint(`${address}:8080`)] }));

async function serve(): Promise<void> {
  const proxy = createNodeProxy({ exec: systemExec(clock), clock, random, log: silentLogger });
  proxy.apply(web(second), []);
  proxy.markSynced();
  await proxy.programmed();
  process.stdout.write("programmed\n");
  setInterval(() => undefined, 1000);
}

/** A proxy that stands alone, for a Service on loopback: what it logs, and why it ended. */
async function standalone(mode: string): Promise<{ readonly said: string; readonly failure: string }> {
  const said: string[] = [];
  const note = (message: string, fields?: object): void => void said.push(message, JSON.stringify(fields ?? {}));
  const log = { ...silentLogger, info: note, warn: note, error: note, with: () => log } as Logger;
  const api = new FakeKubeClient();
  await api.create(services, {
    apiVersion: "v1",
    kind: "Service",
    metadata: { namespace: "default", name: "loop" },
    spec: { clusterIP: "127.0.1.1", ports: [{ port: 8081 }] },
  });
  await api.create(endpointSlices, {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { namespace: "default", name: "loop-1", labels: { "kubernetes.io/service-name": "loop" } },
    addressType: "IPv4",
    endpoints: [{ addresses: ["127.0.0.1"] }],
    ports: [{ name: "", protocol: "TCP", port: 8080 }],
  });
  const stopped = new AbortController();
  const address = "127.0.0.1:0";
  const config = parseConfiguration(undefined, {
    ...(mode === "" ? {} : { "proxy-mode": mode }),
    "healthz-bind-address": address,
    "metrics-bind-address": address,
  });
  const openWatch = (): undefined => undefined;
  const options = { config, client: api, nodeName: "node1", exec: systemExec(clock), openWatch, clock, random, log };
  const found = { failure: "" };
  const fail = (error: unknown): void => void (found.failure = String(error));
  const ended = new StandaloneProxy(options).run(stopped.signal).catch(fail);
  const isServed = (): Promise<boolean> =>
    callTCP({ address: "127.0.0.1" }, { address: "127.0.1.1", port: 8081 }).then(
      () => true,
      () => false,
    );
  for (let n = 0; n < 100 && found.failure === "" && !(await isServed()); n++) await clock.sleep(20);
  stopped.abort();
  await ended;
  return { said: said.join(" "), ...found };
}

/**
 * An nft before ours in PATH that answers as older ones do on older kernels: without interactive mode, and refusing
 * each text that has what `refuse` was given, with the kernel's own word for what it lacks. All else goes to the real one.
 */
function installOldNft(): { readonly refuse: (what: string) => void; readonly remove: () => void } {
  const [folder, path = ""] = ["/run/old-nft", process.env["PATH"]];
  const real = execFileSync("sh", ["-c", "command -v nft"], { encoding: "utf8" }).trim();
  mkdirSync(folder, { recursive: true });
  const refuse = (what: string): void => writeFileSync(`${folder}/refused`, what);
  const script = `#!/bin/sh
    if [ "$1" = -i ]; then echo "nft: invalid option -- 'i'" >&2; exit 1; fi
    if [ "$1" != -f ]; then exec ${real} "$@"; fi
    cat >${folder}/text.$$
    if grep -qF "$(cat ${folder}/refused)" ${folder}/text.$$; then
      echo "/dev/stdin:2:1-63: Error: Could not process rule: Operation not supported" >&2
      grep -F "$(cat ${folder}/refused)" ${folder}/text.$$ >&2
      rm ${folder}/text.$$
      exit 1
    fi
    ${real} -f ${folder}/text.$$; status=$?
    rm ${folder}/text.$$
    exit $status\n`;
  writeFileSync(`${folder}/nft`, script, { mode: 0o755 });
  process.env["PATH"] = `${folder}:${path}`;
  return { refuse, remove: () => (process.env["PATH"] = path) };
}

/** What no text has. */
const nothing = "nothing is refused";

async function runTests(): Promise<void> {
  const { node, pods } = createNetwork();
  const [caller = node] = pods;
  const closers: (() => void)[] = [];
  for (const place of [...pods, { address: "127.0.0.1" }]) closers.push(await serveTCP(place, 8080));
  const children: ChildProcess[] = [];
  after(() => {
    for (const child of children) child.kill("SIGKILL");
    for (const close of closers) close();
  });
  execFileSync("nft", ["-f", "-"], { input: "add table ip foreign\nadd chain ip foreign keep\n" });
  const foreign = (): string => execFileSync("nft", ["list", "table", "ip", "foreign"], { encoding: "utf8" });
  const foreignBefore = foreign();

  test("killed, its rules and what is connected stay; the next one takes them over", async () => {
    const child = spawn(process.execPath, [import.meta.filename, "serve"], { stdio: ["ignore", "pipe", "inherit"] });
    children.push(child);
    await once(child.stdout, "data");
    const socket = await dial(caller, vip);
    assert.equal((await say(socket)).by, second);
    child.kill("SIGKILL");
    await once(child, "close");
    assert.equal((await say(socket)).by, second);
    assert.equal((await callTCP(caller, vip)).by, second);
    const next = createNodeProxy({ exec: systemExec(clock), clock, random, log: silentLogger });
    next.apply(web(third), []);
    next.markSynced();
    await next.programmed();
    assert.equal((await say(socket)).by, second);
    assert.equal((await callTCP(caller, vip)).by, third);
    assert.equal(foreign(), foreignBefore);
    socket.destroy();
    next.close();
  });

  test("what an earlier proxy left of another family, and of policies, is gone", async () => {
    const left = ["ip6 wherry-proxy", "ip6 wherry-proxy-2", "ip wherry-policy", "ip6 wherry-policy"];
    execFileSync("nft", ["-f", "-"], {
      input: left.map((table) => `add table ${table}\nadd chain ${table} old\n`).join(""),
    });
    const next = createNodeProxy({ exec: systemExec(clock), clock, random, log: silentLogger });
    next.apply(web(second), []);
    next.setPolicies({ policies: [], pods: [], namespaces: new Map() });
    next.markSynced();
    await next.programmed();
    const ruleset = execFileSync("nft", ["list", "ruleset"], { encoding: "utf8" });
    assert.doesNotMatch(ruleset, /chain old/);
    next.close();
  });

  test("a transaction that is refused changes nothing; what is wanted is programmed once one is accepted", async () => {
    const run = systemExec(clock);
    let isRefused = false;
    const refusing: Exec = (command, input = "", onLine) =>
      run(command, isRefused ? `${input}add rule ip nothing nowhere drop\n` : input, onLine);
    const proxy = createNodeProxy({ exec: refusing, clock, random, log: silentLogger });
    proxy.apply(web(second), []);
    proxy.markSynced();
    await proxy.programmed();
    isRefused = true;
    proxy.apply(web(third), []);
    while (proxy.metrics.syncFailures < 2) await clock.sleep(10);
    assert.equal((await callTCP(caller, vip)).by, second);
    assert.match(proxy.metrics.collect(), /nftables_sync_failures_total\{ip_family="IPv4"\} [1-9]/);
    isRefused = false;
    await proxy.programmed();
    assert.equal((await callTCP(caller, vip)).by, third);
    assert.equal(foreign(), foreignBefore);
    proxy.close();
  });

  test("without a capability, what is missing is said by its name", () => {
    // Another user namespace: its root has nothing to say in this network.
    const command = ["--user", "--map-root-user", process.execPath, import.meta.filename, "probe"];
    const said = execFileSync("unshare", command, { encoding: "utf8" });
    assert.match(said, /Operation not permitted.*\(wanted CAP_NET_ADMIN in this network namespace\)/);
  });

  test("without nft, userspace serves, and says why; asked for nftables, it says what to install", async () => {
    const [folder, path] = ["/run/without-nft", process.env["PATH"]];
    mkdirSync(folder);
    for (const name of ["sh", "env", "ip"])
      symlinkSync(execFileSync("sh", ["-c", `command -v ${name}`], { encoding: "utf8" }).trim(), `${folder}/${name}`);
    process.env["PATH"] = folder;
    try {
      const { said, failure } = await standalone("");
      assert.equal(failure, "");
      assert.match(said, /Cannot use nftables, so connections are relayed in userspace .*apt-get install -y nftables/);
      assert.match((await standalone("nftables")).failure, /Cannot use nftables: .*apt-get install -y nftables/);
    } finally {
      process.env["PATH"] = path;
    }
    assert.doesNotMatch((await standalone("")).said, /userspace/);
  });

  test("a kernel without data maps of several fields is named, with what is wanted; userspace serves", async () => {
    const old = installOldNft();
    try {
      old.refuse("numgen inc mod 65536 : ip daddr . tcp dport");
      const { said, failure } = await standalone("");
      assert.equal(failure, "");
      const sentence = /Operation not supported: add map .*\(wanted nft >= 1.0 and kernel >= 5.15\)/;
      assert.match(said, /Cannot use nftables, so connections are relayed in userspace/);
      assert.match(said, sentence);
      const strict = await standalone("nftables");
      assert.match(strict.failure, /Cannot use nftables: /);
      assert.match(strict.failure, sentence);
      // The kernel is the same; what refused was nft.
      old.refuse(nothing);
      assert.doesNotMatch((await standalone("")).said, /userspace/);
    } finally {
      old.remove();
    }
  });

  test("what a kernel refuses at runtime is logged, the last good rules stay, and all is programmed without it", async () => {
    const old = installOldNft();
    const said: string[] = [];
    const note = (message: string, fields?: object): void => void said.push(message, JSON.stringify(fields ?? {}));
    const log = { ...silentLogger, error: note, with: () => log } as Logger;
    const [affinity, plain] = [{ affinitySeconds: 60 }, {}].map((given, at) =>
      service("web", vip.address, { endpoints: [endpoint(`${[third, second][at]}:8080`)], ...given }),
    );
    try {
      // Sets with a timeout, which session affinity needs and nothing else.
      old.refuse("dynamic");
      const proxy = createNodeProxy({ exec: systemExec(clock), clock, random, log });
      proxy.apply(named(plain!), []);
      proxy.markSynced();
      await proxy.programmed();
      assert.equal((await callTCP(caller, vip)).by, second);
      proxy.apply(named(affinity!), []);
      while (proxy.metrics.syncFailures < 2) await clock.sleep(10);
      const sentence =
        /Cannot program nftables .*Operation not supported: add set .*\(wanted nft .* and kernel >= 5.15\)/;
      assert.match(said.join(" "), sentence);
      assert.equal((await callTCP(caller, vip)).by, second, "the last good rules");
      proxy.apply(named({ ...affinity!, affinitySeconds: 0 }), []);
      await proxy.programmed();
      assert.equal((await callTCP(caller, vip)).by, third);
      assert.equal(foreign(), foreignBefore);
      proxy.close();
    } finally {
      old.remove();
    }
  });
}

const [role = ""] = process.argv.slice(2);
if (role === "serve") await serve();
else if (role === "probe") process.stdout.write((await probeNftables(systemExec(clock))) ?? "nothing is missing");
else await runTests();
if (role === "probe") process.exit(0);
