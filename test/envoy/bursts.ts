/**
 * Runs the bursts through one proxy: requests are held by their upstream until all are where they will stay, then all
 * are answered.
 *
 *   burst-cases.ts ─▶ runBursts(start) ─▶ outcome by name: statuses and flags, what the upstream saw, statistics
 */
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { realClock } from "#lib/clock.ts";
import { burstBootstrap } from "./burst-bootstrap.ts";
import type { BurstCase } from "./burst-cases.ts";
import { HoldingUpstream } from "./holding-upstream.ts";
import type { RunningProxy } from "./proxies.ts";
import type { Start } from "./run.ts";

/** What came of a burst. */
export interface BurstOutcome {
  /** "STATUS FLAGS" of each request, in the order in which they were sent. */
  readonly answers: readonly string[];
  /** Requests and connections that the upstream had while nothing was answered, and those that waited in the proxy. */
  readonly held: string;
  /** Statistics of the cluster behind it all. */
  readonly stats: readonly string[];
}

const statNames = [
  "upstream_rq_pending_overflow",
  "upstream_rq_pending_active",
  "upstream_rq_active",
  "upstream_rq_total",
  "upstream_rq_completed",
  "upstream_rq_503",
  "upstream_rq_200",
  "upstream_cx_total",
];

export async function runBursts(cases: readonly BurstCase[], start: Start): Promise<ReadonlyMap<string, BurstOutcome>> {
  const dir = mkdtempSync(join(tmpdir(), "wherry-burst-"));
  const upstreams = new Map<string, HoldingUpstream>();
  const running: Burst[] = [];
  try {
    for (const one of cases) upstreams.set(one.name, await HoldingUpstream.start(one));
    const logPath = (at: number): string => join(dir, `burst-${at}.log`);
    const proxy = await start(burstBootstrap(cases, { upstreams, logPath }), dir);
    try {
      for (const [at, one] of cases.entries())
        running.push(await Burst.run(one, { proxy, at, upstream: upstreams.get(one.name)!, high: one.high ?? [] }));
    } finally {
      await proxy.stop();
    }
    return new Map(running.map((burst, at) => [cases[at]!.name, burst.outcome(readFileSync(logPath(at), "utf8"))]));
  } finally {
    for (const upstream of upstreams.values()) upstream.close();
    rmSync(dir, { recursive: true });
  }
}

interface BurstOptions {
  readonly proxy: RunningProxy;
  /** Which of the cases it is. */
  readonly at: number;
  readonly upstream: HoldingUpstream;
  /** Which requests ask for priority HIGH. */
  readonly high: readonly number[];
}

class Burst {
  readonly #options: BurstOptions;
  #sent = 0;
  #answered = 0;
  #held = "";
  #last = "";
  #stats: readonly string[] = [];

  private constructor(options: BurstOptions) {
    this.#options = options;
  }

  static async run({ requests, later = 0 }: BurstCase, options: BurstOptions): Promise<Burst> {
    const burst = new Burst(options);
    const { upstream } = options;
    for (let at = 0; at < requests; at++) {
      burst.#send();
      await burst.#until(async () => burst.#isSettled(await burst.#waiting()));
    }
    const waiting = await burst.#waiting();
    burst.#held = `${upstream.holds} on ${upstream.connections} connections, ${waiting} waiting`;
    upstream.answerAll();
    await burst.#until(() => Promise.resolve(burst.#answered === requests));
    for (let at = 0; at < later; at++) burst.#send();
    await burst.#until(() => Promise.resolve(burst.#answered === requests + later));
    const stats = await burst.#readStats();
    burst.#stats = statNames.map((name) => `${name} ${stats.get(name) ?? 0}`);
    return burst;
  }

  outcome(log: string): BurstOutcome {
    const answers = log
      .trim()
      .split("\n")
      .sort((a, b) => Number.parseInt(a.slice(1), 10) - Number.parseInt(b.slice(1), 10))
      .map((line) => line.slice(line.indexOf(" ") + 1));
    return { answers, held: this.#held, stats: this.#stats };
  }

  /** Each request is somewhere, and was there the last time. */
  #isSettled(waiting: number): boolean {
    const { holds, connections } = this.#options.upstream;
    const now = `${holds} ${connections} ${waiting}`;
    const isSettled = this.#answered + holds + waiting === this.#sent && now === this.#last;
    this.#last = now;
    return isSettled;
  }

  #send(): void {
    const { proxy, at, high } = this.#options;
    const priority = high.includes(this.#sent) ? "x-priority: high\r\n" : "";
    const socket = connect({ host: "127.0.0.1", port: proxy.ports.get(`burst-${at}`)! });
    socket.on("error", () => socket.destroy()).resume();
    socket.write(`GET /${this.#sent++} HTTP/1.1\r\nHost: burst\r\n${priority}Connection: close\r\n\r\n`);
    void once(socket, "close").then(() => this.#answered++);
  }

  async #until(isTrue: () => Promise<boolean>): Promise<void> {
    for (let turn = 0; turn < 500; turn++) {
      if (await isTrue()) return;
      await realClock.sleep(10);
    }
    const { holds } = this.#options.upstream;
    const now = `${this.#sent} sent, ${this.#answered} answered, ${holds} held, ${await this.#waiting()} waiting`;
    throw new Error(`Burst ${this.#options.at} does not go on: ${now}`);
  }

  async #waiting(): Promise<number> {
    return (await this.#readStats()).get("upstream_rq_pending_active") ?? 0;
  }

  async #readStats(): Promise<ReadonlyMap<string, number>> {
    const prefix = `cluster.burst-${this.#options.at}.`;
    const url = `http://${this.#options.proxy.admin}/stats?filter=^${prefix.replaceAll(".", "\\.")}`;
    const text = await (await fetch(url, { headers: { connection: "close" } })).text();
    const lines = text.trim().split("\n");
    return new Map(lines.map((line) => [line.slice(prefix.length, line.indexOf(": ")), Number(line.split(": ")[1])]));
  }
}
