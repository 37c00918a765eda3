/**
 * The measurements of l4.bench.ts, inside namespaces of its own. Prints one JSON object.
 *
 *   unshare … node l4-inside.ts SIZE,SIZE,… SECONDS
 *
 * Services have two endpoints each. The baseline is a table of kube-proxy's shape, a chain a Service and a chain an
 * endpoint, loaded by the same nft in transactions of the same size.
 */
import { spawnSync } from "node:child_process";
import { realClock as clock } from "#lib/clock.ts";
import { createLogger } from "#lib/log.ts";
import { systemRandom as random } from "#lib/random.ts";
import type { ServiceResource } from "#api/wire/service.ts";
import { systemExec } from "../proxy/l4/exec.ts";
import { endpoint, named, service } from "../proxy/l4/fixture.ts";
import { createNodeProxy, type NodeProxy } from "../proxy/state.ts";
import { median } from "./measured.ts";

/** What one size of a cluster cost, in ms. */
export interface SizeResult {
  readonly services: number;
  readonly fullMs: number;
  readonly oneMoreMs: number;
  readonly endpointMs: number;
  /** A table of kube-proxy's shape, as far as it came in `baselineMsMax`. */
  readonly baselineServices: number;
  readonly baselineMs: number;
  readonly baselineOneMoreMs: number;
}

export interface InsideResult {
  readonly sizes: readonly SizeResult[];
  /** A Service of 1,000 endpoints: from nothing, and one endpoint replaced. */
  readonly thousandMs: number;
  readonly thousandEndpointMs: number;
  /** Share of a core while 100 endpoint changes a second come: this process and nft together. */
  readonly churnCoreShare: number;
  /** 99th percentile from a change to its being programmed, meanwhile, in ms. */
  readonly churnP99Ms: number;
}

const facts = { serviceCIDRs: ["10.96.0.0/12"], dnsVIP: "", nodeName: "n1" };
const vip = (n: number): string => `10.${96 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}`;
const pod = (n: number): string => `10.${128 + (n >> 16)}.${(n >> 8) & 255}.${n & 255}`;

function make(n: number, shift = 0): ServiceResource {
  const endpoints = [endpoint(`${pod(2 * n)}:8080`), endpoint(`${pod(2 * n + 1 + 2_000_000 * shift)}:8080`)];
  return service(`web-${n}`, vip(n + 1), {
    endpoints: endpoints.map((each) => ({ ...each, nodeName: `n${n % 100}` })),
  });
}

const makeMany = (count: number): readonly ServiceResource[] => Array.from({ length: count }, (_, n) => make(n));

function start(services: readonly ServiceResource[]): NodeProxy {
  const log = createLogger("bench", "error");
  const proxy = createNodeProxy({ exec: systemExec(clock), clock, random, log, facts });
  proxy.apply(named(...services), []);
  return proxy;
}

async function time(action: () => Promise<void>): Promise<number> {
  const startMs = clock.monotonicMs();
  await action();
  return clock.monotonicMs() - startMs;
}

async function change(proxy: NodeProxy, ...services: readonly ServiceResource[]): Promise<void> {
  proxy.apply(named(...services), []);
  await proxy.programmed();
}

async function measureSize(services: number): Promise<SizeResult> {
  const many = makeMany(services);
  const startMs = clock.monotonicMs();
  const proxy = start(many);
  proxy.markSynced();
  await proxy.programmed();
  const fullMs = clock.monotonicMs() - startMs;
  const oneMore: number[] = [];
  const endpointChange: number[] = [];
  for (let turn = 0; turn < 7; turn++) {
    await clock.sleep(200);
    oneMore.push(await time(() => change(proxy, make(services + turn))));
    await clock.sleep(200);
    endpointChange.push(await time(() => change(proxy, make(turn, 1))));
  }
  proxy.close();
  nft("delete table ip wherry-proxy\n");
  const result = { services, fullMs, oneMoreMs: median(oneMore), endpointMs: median(endpointChange) };
  return { ...result, ...measureBaseline(services) };
}

function nft(text: string): void {
  const { status, stderr } = spawnSync("nft", ["-f", "-"], { input: text, encoding: "utf8" });
  if (status !== 0) throw new Error(`Cannot run nft: ${stderr.slice(0, 300)}`);
}

/** Its cost is quadratic: what is not done by then, in ms, is told by how far it came. */
const baselineMsMax = 60_000;

/** kube-proxy's layout (pkg/proxy/nftables/README.md), less its filter maps. */
function measureBaseline(services: number): Pick<SizeResult, "baselineServices" | "baselineMs" | "baselineOneMoreMs"> {
  const table = "ip kube-proxy";
  const chunk = 60;
  const piece = (from: number, count: number): string => {
    const all = Array.from({ length: count }, (_, at) => from + at);
    const name = (n: number): string => `service-ULMVA6XW-ns/web-${n}/tcp/80`;
    const endpointName = (n: number, which: number): string =>
      `endpoint-5OJB2KTY-ns/web-${n}/tcp/80__${pod(2 * n + which)}/8080`;
    return [
      ...all
        .flatMap((n) => [name(n), endpointName(n, 0), endpointName(n, 1)])
        .map((chain) => `add chain ${table} ${chain}`),
      ...all.flatMap((n) => [
        `add rule ${table} ${name(n)} ip daddr ${vip(n + 1)} tcp dport 80 ip saddr != 10.0.0.0/8 jump mark-for-masquerade`,
        `add rule ${table} ${name(n)} numgen random mod 2 vmap { 0 : goto ${endpointName(n, 0)}, 1 : goto ${endpointName(n, 1)} }`,
        ...[0, 1].flatMap((which) => [
          `add rule ${table} ${endpointName(n, which)} ip saddr ${pod(2 * n + which)} jump mark-for-masquerade`,
          `add rule ${table} ${endpointName(n, which)} meta l4proto tcp dnat to ${pod(2 * n + which)}:8080`,
        ]),
      ]),
      ...all.map((n) => `add element ${table} services { ${vip(n + 1)} . tcp . 80 : goto ${name(n)} }`),
      "",
    ].join("\n");
  };
  const startMs = clock.monotonicMs();
  nft(
    [
      `add table ${table}`,
      `add chain ${table} nat-prerouting { type nat hook prerouting priority -100 ; }`,
      `add chain ${table} nat-output { type nat hook output priority -100 ; }`,
      `add chain ${table} mark-for-masquerade`,
      `add rule ${table} mark-for-masquerade meta mark set meta mark | 0x4000`,
      `add map ${table} services { type ipv4_addr . inet_proto . inet_service : verdict ; }`,
      ...["nat-prerouting", "nat-output"].map(
        (chain) => `add rule ${table} ${chain} ip daddr . meta l4proto . th dport vmap @services`,
      ),
      "",
    ].join("\n"),
  );
  let done = 0;
  while (done < services && clock.monotonicMs() - startMs < baselineMsMax) {
    const count = Math.min(chunk, services - done);
    nft(piece(done, count));
    done += count;
  }
  const baselineMs = clock.monotonicMs() - startMs;
  const oneMoreMs = clock.monotonicMs();
  nft(piece(done, 1));
  const baselineOneMoreMs = clock.monotonicMs() - oneMoreMs;
  nft(`delete table ${table}\n`);
  return { baselineServices: done, baselineMs, baselineOneMoreMs };
}

/** CPU time of this process, of its children, and of theirs that have ended, in ms: /proc counts in 10 ms. */
async function cpuMs(): Promise<number> {
  const { readFile } = await import("node:fs/promises");
  // Of the thread that starts them: files are read in others.
  const text = await readFile(`/proc/self/task/${process.pid}/children`, "utf8");
  const children = text.trim() === "" ? [] : text.trim().split(" ");
  const times = ["self", ...children].map(async (pid) => {
    const fields = (await readFile(`/proc/${pid}/stat`, "utf8")).split(") ")[1]?.split(" ") ?? [];
    return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks) * 10, 0);
  });
  return (await Promise.all(times)).reduce((sum, ms) => sum + ms, 0);
}

/** 100 endpoint changes a second among 1,000 Services, as a push brings them: one each 10 ms. */
async function measureChurn(
  seconds: number,
): Promise<{ readonly churnCoreShare: number; readonly churnP99Ms: number }> {
  const proxy = start(makeMany(1000));
  proxy.markSynced();
  await proxy.programmed();
  const latencies: number[] = [];
  const pending: Promise<void>[] = [];
  const [startCpuMs, startMs] = [await cpuMs(), clock.monotonicMs()];
  for (let n = 0; n < seconds * 100; n++) {
    const sentMs = clock.monotonicMs();
    proxy.apply(named(make(n % 1000, 1 + Math.floor(n / 1000))), []);
    pending.push(proxy.programmed().then(() => void latencies.push(clock.monotonicMs() - sentMs)));
    await clock.sleep(Math.max(0, startMs + (n + 1) * 10 - clock.monotonicMs()));
  }
  await Promise.all(pending);
  const churnCoreShare = ((await cpuMs()) - startCpuMs) / (clock.monotonicMs() - startMs);
  proxy.close();
  const sorted = latencies.sort((a, b) => a - b);
  return { churnCoreShare, churnP99Ms: sorted[Math.floor(sorted.length * 0.99)] ?? 0 };
}

async function measureThousand(): Promise<{ readonly thousandMs: number; readonly thousandEndpointMs: number }> {
  const proxy = start(makeMany(1));
  proxy.markSynced();
  await proxy.programmed();
  const large = (shift: number): ServiceResource =>
    service("large", vip(1000), {
      endpoints: Array.from({ length: 1000 }, (_, n) => endpoint(`${pod(n === 500 ? 5000 + shift : n)}:80`)),
    });
  const thousandMs = await time(() => change(proxy, large(0)));
  const changes: number[] = [];
  for (let turn = 1; turn < 6; turn++) changes.push(await time(() => change(proxy, large(turn))));
  proxy.close();
  nft("delete table ip wherry-proxy\n");
  return { thousandMs, thousandEndpointMs: median(changes) };
}

// The proxy's timers alone keep no process alive.
setInterval(() => {}, 1000);
const [sizes = "1000", seconds = "10"] = process.argv.slice(2);
const results: SizeResult[] = [];
for (const size of sizes.split(",")) results.push(await measureSize(Number(size)));
const result: InsideResult = { sizes: results, ...(await measureThousand()), ...(await measureChurn(Number(seconds))) };
console.log(JSON.stringify(result));
process.exit(0);
