/**
 * `wherry sidecar` as several processes: side by side (--concurrency), and one after the other (hot restart), without a
 * failed request; and with a filter that is a module beside its configuration, changed while it runs.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type Server, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, it } from "node:test";

const wherry = join(import.meta.dirname, "../../wherry");
const prefix = "type.googleapis.com/envoy.extensions.filters";

interface Line {
  readonly message: string;
  readonly port?: number;
}

/** A running `wherry sidecar`. */
class Sidecar {
  readonly child: ChildProcess;
  readonly ended: Promise<unknown>;
  readonly #lines: Line[] = [];
  #wake: () => void = () => undefined;

  constructor(...flags: readonly string[]) {
    this.child = spawn(wherry, ["sidecar", ...flags], { stdio: ["ignore", "inherit", "pipe"] });
    this.ended = once(this.child, "exit");
    createInterface({ input: this.child.stderr! }).on("line", (text) => {
      // What ends the command is a sentence of its own.
      this.#lines.push(text.startsWith("{") ? (JSON.parse(text) as Line) : { message: text });
      this.#wake();
    });
  }

  /** The line with this message, once it is there; `count`: so many of them. */
  async line(message: string, count = 1): Promise<Line> {
    for (;;) {
      const found = this.#lines.filter((line) => line.message === message);
      if (found.length >= count) return found.at(-1)!;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  /** The processes that it made. */
  get children(): readonly number[] {
    const { pid } = this.child;
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
    return text === "" ? [] : text.split(" ").map(Number);
  }
}

/** One request on a connection of its own. */
async function get(port: number): Promise<Response> {
  return fetch(`http://127.0.0.1:${port}/`, { headers: { connection: "close" } });
}

/** Requests one after the other until `until`; how many were not answered with 200. */
async function failuresUntil(port: number, until: Promise<unknown>): Promise<{ sent: number; failed: number }> {
  const state = { isOver: false };
  const over = until.finally(() => (state.isOver = true));
  const counts = { sent: 0, failed: 0 };
  while (!state.isOver) {
    counts.sent++;
    const isFine = await get(port).then(
      async (response) => (await response.text()) === "up" && response.status === 200,
      () => false,
    );
    if (!isFine) counts.failed++;
  }
  await over;
  return counts;
}

describe("wherry sidecar as processes", () => {
  const dir = mkdtempSync(join(tmpdir(), "wherry-processes-"));
  const config = join(dir, "envoy.json");
  const upstream: Server = createServer((_request, response) => void response.end("up"));
  const started: Sidecar[] = [];
  const start = (...flags: readonly string[]): Sidecar => {
    const sidecar = new Sidecar("-c", config, "--drain-time-s", "2", ...flags);
    started.push(sidecar);
    return sidecar;
  };

  before(async () => {
    upstream.listen(0, "127.0.0.1");
    await once(upstream, "listening");
    const at = (port_value: number): object => ({ socket_address: { address: "127.0.0.1", port_value } });
    const manager = {
      "@type": `${prefix}.network.http_connection_manager.v3.HttpConnectionManager`,
      stat_prefix: "x",
      route_config: {
        virtual_hosts: [
          { name: "all", domains: ["*"], routes: [{ match: { prefix: "/" }, route: { cluster: "up" } }] },
        ],
      },
      http_filters: [
        {
          name: "own",
          typed_config: { "@type": "type.googleapis.com/wherry.v1.FilterModule", module: "own.ts" },
        },
        { name: "router", typed_config: { "@type": `${prefix}.http.router.v3.Router` } },
      ],
    };
    const endpoint = { address: at((upstream.address() as AddressInfo).port) };
    const bootstrap = {
      admin: { address: at(0) },
      static_resources: {
        listeners: [
          { name: "main", address: at(0), filter_chains: [{ filters: [{ name: "http", typed_config: manager }] }] },
        ],
        clusters: [
          {
            name: "up",
            type: "STATIC",
            load_assignment: { cluster_name: "up", endpoints: [{ lb_endpoints: [{ endpoint }] }] },
          },
        ],
      },
    };
    writeFileSync(config, JSON.stringify(bootstrap));
    writeFilter("one");
  });

  after(async () => {
    for (const { child, ended } of started) {
      if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
      await ended;
    }
    upstream.close();
    rmSync(dir, { recursive: true });
  });

  function writeFilter(value: string, folder = dir): void {
    const text = `export default {
  configure: () => () => ({
    onResponseHeaders(context: { responseHeaders: { set(name: string, value: string): void } }) {
      context.responseHeaders.set("x-own", ${JSON.stringify(value)});
      return "continue";
    },
  }),
};
`;
    writeFileSync(join(folder, "own.ts"), text);
  }

  it("loads a filter from beside its configuration, and again when it changes", async () => {
    // The flags of many a container of Envoy's.
    const sidecar = start("--disable-hot-restart", "--drain-strategy", "immediate", "--log-format", "%v");
    const { port = 0 } = await sidecar.line("Listening");
    assert.equal((await get(port)).headers.get("x-own"), "one");
    writeFilter("two");
    await sidecar.line("Loaded filter module", 2);
    assert.equal((await get(port)).headers.get("x-own"), "two");
    sidecar.child.kill("SIGHUP");
    await sidecar.line("Ignoring SIGHUP: configuration is replaced by a hot restart (--base-id)");
    assert.equal((await get(port)).status, 200);
    sidecar.child.kill("SIGTERM");
    await sidecar.ended;
  });

  it("answers 500 while the folder of a filter is not there, and loads it when it comes", async () => {
    const later = join(dir, "later.json");
    writeFileSync(later, readFileSync(config, "utf8").replace("own.ts", "later/own.ts"));
    const sidecar = start("-c", later);
    const { port = 0 } = await sidecar.line("Listening");
    assert.equal((await get(port)).status, 500);
    mkdirSync(join(dir, "later"));
    writeFilter("late", join(dir, "later"));
    await sidecar.line("Loaded filter module");
    assert.equal((await get(port)).headers.get("x-own"), "late");
    sidecar.child.kill("SIGTERM");
    await sidecar.ended;
  });

  it("hands its sockets to the one that follows, and no request fails", async () => {
    const id = String(100_000 + (process.pid % 100_000));
    const first = start("--base-id", id);
    const { port = 0 } = await first.line("Listening");
    const admin = await first.line("Admin pages");
    const swap = async (): Promise<Sidecar> => {
      const second = start("--base-id", id, "--restart-epoch", "1");
      await first.ended;
      return second;
    };
    const swapped = swap();
    const { sent, failed } = await failuresUntil(port, swapped);
    const second = await swapped;
    assert.equal(first.child.exitCode, 0);
    assert.ok(sent > 0);
    assert.equal(failed, 0);
    assert.equal((await second.line("Listening")).port, port);
    assert.equal((await second.line("Admin pages")).port, admin.port);
    assert.equal((await get(port)).status, 200);
    const wrong = start("--base-id", id, "--restart-epoch", "0");
    await wrong.ended;
    assert.equal(wrong.child.exitCode, 1);
    second.child.kill("SIGTERM");
    await second.ended;
  });

  it("serves by several processes, starts one again that ends, and ends them all", async () => {
    const sidecar = start("--concurrency", "3");
    const { port = 0 } = await sidecar.line("Listening");
    await sidecar.line("Serving by several processes");
    assert.equal(sidecar.children.length, 2);
    const [victim = 0] = sidecar.children;
    process.kill(victim, "SIGKILL");
    await sidecar.line("Another process ended: starting it again");
    const { port: adminPort = 0 } = await sidecar.line("Admin pages");
    const stat = async (name: string): Promise<number> => {
      const text = await (await fetch(`http://127.0.0.1:${adminPort}/stats?filter=^${name}$`)).text();
      return Number(/: (\d+)\n/.exec(text)?.[1] ?? 0);
    };
    // The one in its place may still be starting.
    const before = await stat("http.x.downstream_rq_2xx");
    const answers = await Promise.all(Array.from({ length: 50 }, async () => (await get(port)).status));
    assert.deepEqual(new Set(answers), new Set([200]));
    assert.equal((await stat("http.x.downstream_rq_2xx")) - before, 50);
    assert.equal(await stat("cluster.up.upstream_rq_200"), before + 50);
    assert.equal(await stat("cluster.up.membership_total"), 1);
    await fetch(`http://127.0.0.1:${adminPort}/drain_listeners`, { method: "POST" });
    // The others hear of it a moment later.
    const isTaken = async (): Promise<boolean> => get(port).then(Boolean, () => false);
    for (let tries = 0; tries < 1000 && (await isTaken()); tries++);
    await assert.rejects(get(port));
    const counted = await stat("http.x.downstream_rq_2xx");
    for (const child of sidecar.children) process.kill(child, "SIGKILL");
    await sidecar.line("Starting no other process: no listener is left", 2);
    // What those that ended told last stays in the sums.
    assert.equal(await stat("http.x.downstream_rq_2xx"), counted);
    await fetch(`http://127.0.0.1:${adminPort}/reset_counters`, { method: "POST" });
    assert.equal(await stat("http.x.downstream_rq_2xx"), 0);
    await assert.rejects(get(port));
    sidecar.child.kill("SIGTERM");
    await sidecar.ended;
    assert.equal(sidecar.child.exitCode, 0);
    await assert.rejects(get(port));
  });
});
