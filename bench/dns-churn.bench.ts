/**
 * What do 10,000 Services with 50,000 endpoints cost, and how soon does an answer follow a change?
 *
 *   set (100 a second, 20 s) ─▶ resolver of a node ◀─ the changed name, asked until the answer is the new one
 *                                                  ◀─ dnsperf, 5000 queries a second of other names
 *
 * A change counts from the moment it is written to the server's pipe. Stale is an answer to a question that was asked
 * after the server had said that it has the change.
 */
import { once } from "node:events";
import { createSocket, type Socket } from "node:dgram";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import dnsPacket from "dns-packet";
import { isInstalled, load, nameCount, type OurServer, startOurs, stop, warmUp, whenUp } from "./dns-load.ts";
import type { Measured } from "./measured.ts";

const services = 10_000;
const changesPerSecond = 100;
const seconds = 20;

interface Followed {
  readonly followedMs: readonly number[];
  readonly stale: number;
  readonly failed: number;
}

/** Asks one name after the other; answers by message id. */
class Asker {
  readonly #socket: Socket = createSocket("udp4");
  readonly #port: number;
  readonly #waiting = new Map<number, (answer: string) => void>();
  #id = 0;

  constructor(port: number) {
    this.#port = port;
    this.#socket.on("message", (bytes) => {
      const { id, rcode, answers = [] } = dnsPacket.decode(bytes);
      const [first] = answers;
      this.#waiting.get(id)?.(first?.type === "A" ? first.data : rcode);
      this.#waiting.delete(id);
    });
  }

  /** The address, or the rcode where there is none. */
  ask(name: string): Promise<string> {
    const id = (this.#id = (this.#id + 1) % 65_536);
    const query = dnsPacket.encode({ type: "query", id, questions: [{ name, type: "A" }] });
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      this.#socket.send(query, this.#port, "127.0.0.1");
    });
  }

  async close(): Promise<void> {
    const down = once(this.#socket, "close");
    this.#socket.close();
    await down;
  }
}

/** Changes Services at their rate, one after the other, and watches each until its answer has followed. */
async function churn({ port, ask }: OurServer): Promise<Followed> {
  const asker = new Asker(port);
  const followedMs: number[] = [];
  let stale = 0;
  let failed = 0;
  const startMs = performance.now();
  for (let change = 0; change < changesPerSecond * seconds; change++) {
    const dueMs = startMs + (change * 1000) / changesPerSecond - performance.now();
    if (dueMs > 0) await new Promise((resolve) => setTimeout(resolve, dueMs));
    // Names that dnsperf asks for, too: their answers are encoded already.
    const index = change % (2 * nameCount);
    const net = 97 + Math.floor(change / (2 * nameCount));
    const name = `svc${index}.default.svc.cluster.local`;
    const isNew = (answer: string): boolean => answer.startsWith(`10.${net}.`);
    const setMs = performance.now();
    const isSet = ask(`set ${index} ${net}`);
    for (let answer = ""; !isNew(answer);) {
      answer = await asker.ask(name);
      if (!answer.startsWith("10.")) failed++;
    }
    followedMs.push(performance.now() - setMs);
    await isSet;
    if (!isNew(await asker.ask(name))) stale++;
  }
  await asker.close();
  return { followedMs: followedMs.sort((a, b) => a - b), stale, failed };
}

export async function run(): Promise<readonly Measured[]> {
  if (!isInstalled("dnsperf")) {
    process.stderr.write("SKIP dns-churn: dnsperf is not installed (apt install dnsperf)\n");
    return [];
  }
  const folder = mkdtempSync(join(tmpdir(), "wherry-dns-"));
  const file = join(folder, "queries");
  const queries = Array.from({ length: nameCount }, (_, index) => `svc${index}.default.svc.cluster.local A`);
  writeFileSync(file, `${queries.join("\n")}\n`);
  await warmUp();
  const server = await startOurs(services);
  try {
    await whenUp(server.port);
    const [found, loaded] = await Promise.all([
      churn(server),
      load({ port: server.port, pid: server.child.pid, file, qps: 5000, seconds }),
    ]);
    const rss = await server.ask("rss");
    const { followedMs } = found;
    const p99Ms = followedMs[Math.floor(followedMs.length * 0.99)] ?? Number.NaN;
    const failed = found.failed + loaded.failed + loaded.lost;
    return [
      {
        question: `DNS with ${services} Services, ${5 * services} endpoints, ${changesPerSecond} changes/s for ${seconds} s`,
        measured: `${Math.round(rss / 2 ** 20)} MB RSS at ${Math.round(loaded.qps)} queries/s, ${failed} failed, ${found.stale} stale`,
        budget: "≤ 150 MB, none failed, none stale",
      },
      {
        question: "DNS, from a change to its answer, in that churn",
        measured: `p99 ${p99Ms.toFixed(2)} ms, most ${(followedMs.at(-1) ?? 0).toFixed(2)} ms, of ${followedMs.length}`,
        budget: "p99 ≤ 50 ms",
      },
    ];
  } finally {
    await stop(server.child);
    rmSync(folder, { recursive: true });
  }
}
