/**
 * What does the HTTP engine hold and spend when there is much of everything?
 *
 * Memory of one sidecar with 10,000 idle keep-alive connections; memory and start with 1,000 clusters of 20 endpoints;
 * time of a route match among 1, 100 and 10,000 routes. Envoy with the same files beside it, where there is one
 * (WHERRY_ENVOY). Each connection has had a request, so that nothing of it is still to be made.
 */
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { type AddressInfo, type Socket, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { compileRoutes } from "../proxy/l7/config/route.ts";
import { parseRequestHead } from "../proxy/l7/http1/request.ts";
import { type Running, freePort, run as launch } from "./http-servers.ts";
import type { Measured } from "./measured.ts";
import { median } from "./measured.ts";

const connections = 10_000;
/** Connections that are opened at once. */
const batch = 200;
const clusters = 1000;
const endpointsOfOne = 20;
const request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const types = "type.googleapis.com/envoy.extensions.filters";
const envoy = process.env["WHERRY_ENVOY"];

/** What is measured: the command, with the configuration file behind it. */
const sidecars: ReadonlyArray<readonly [name: string, command: readonly string[], options: readonly string[]]> = [
  ["Wherry", [join(import.meta.dirname, "../wherry"), "sidecar", "-c"], ["--concurrency", "1"]],
  ...(envoy === undefined
    ? []
    : [["Envoy", [envoy, "-c"], ["--concurrency", "1", "-l", "off", "--use-dynamic-base-id"]] as const]),
];

export async function run(): Promise<readonly Measured[]> {
  const folder = mkdtempSync(join(tmpdir(), "wherry-scale-"));
  try {
    const rows: Measured[] = [];
    for (const [name, command, options] of sidecars) {
      const start = async (config: string, port: number): Promise<Running> =>
        launch([...command, config, ...options], { port, tlsPort: 0, core: 0 });
      rows.push(await idle(name, folder, start), ...(await many(name, folder, start)));
    }
    return [...rows, ...matches()];
  } finally {
    rmSync(folder, { recursive: true });
  }
}

type Start = (config: string, port: number) => Promise<Running>;

async function idle(name: string, folder: string, start: Start): Promise<Measured> {
  const upstream = createServer((_request, response) => response.end("ok"));
  upstream.listen(0, "127.0.0.1");
  await once(upstream, "listening");
  const port = await freePort();
  const config = join(folder, `${name}-idle.json`);
  writeFileSync(config, JSON.stringify(bootstrap(port, [(upstream.address() as AddressInfo).port], 1)));
  const sockets: Socket[] = [];
  try {
    await using running = await start(config, port);
    // What the first requests load is not theirs.
    sockets.push(...(await open(port, batch)));
    await sleep(1000);
    const before = running.pssBytes();
    while (sockets.length < connections + batch) sockets.push(...(await open(port, batch)));
    await sleep(1000);
    const held = running.pssBytes() - before;
    return {
      question: `${name}: ${connections} idle keep-alive connections`,
      measured: `${mb(held)}, ${(held / connections / 1024).toFixed(1)} KiB a connection; ${mb(before)} without`,
      budget: "",
    };
  } finally {
    for (const socket of sockets) socket.destroy();
    upstream.closeAllConnections();
    upstream.close();
  }
}

/** `count` connections, each with a request answered. */
async function open(port: number, count: number): Promise<readonly Socket[]> {
  return Promise.all(
    Array.from({ length: count }, async () => {
      const socket = connect(port, "127.0.0.1");
      await once(socket, "connect");
      socket.write(request);
      const [chunk] = (await once(socket, "data")) as [Buffer];
      if (!chunk.toString("latin1").startsWith("HTTP/1.1 200")) throw new Error(`Cannot open: ${chunk.toString()}`);
      return socket;
    }),
  );
}

async function many(name: string, folder: string, start: Start): Promise<readonly Measured[]> {
  const result = async (count: number): Promise<{ pss: number; startMs: number }> => {
    const found: { pss: number; startMs: number }[] = [];
    const config = join(folder, `${name}-${count}.json`);
    for (let round = 0; round < 3; round++) {
      const port = await freePort();
      const ports = Array.from({ length: endpointsOfOne }, (_, index) => 20_000 + index);
      writeFileSync(config, JSON.stringify(bootstrap(port, ports, count)));
      const startMs = performance.now();
      await using running = await start(config, port);
      const tookMs = performance.now() - startMs;
      await sleep(1000);
      found.push({ pss: running.pssBytes(), startMs: tookMs });
    }
    return { pss: median(found.map(({ pss }) => pss)), startMs: median(found.map((one) => one.startMs)) };
  };
  const one = await result(1);
  const all = await result(clusters);
  const share = ((all.pss - one.pss) / (clusters * endpointsOfOne) / 1024).toFixed(2);
  return [
    {
      question: `${name}: memory with ${clusters} clusters of ${endpointsOfOne} endpoints`,
      measured: `${mb(all.pss)}, ${mb(one.pss)} with one: ${share} KiB an endpoint`,
      budget: "",
    },
    {
      question: `${name}: start with ${clusters} clusters of ${endpointsOfOne} endpoints`,
      measured: `${Math.round(all.startMs)} ms, ${Math.round(one.startMs)} ms with one`,
      budget: "",
    },
  ];
}

/** One listener; `count` clusters with the same ports, each behind a prefix of its own. */
function bootstrap(port: number, ports: readonly number[], count: number): object {
  const names = Array.from({ length: count }, (_, index) => `cluster-${index}`);
  const address = (at: number): object => ({ socket_address: { address: "127.0.0.1", port_value: at } });
  const routes = [
    ...names.map((cluster) => ({ match: { prefix: `/${cluster}/` }, route: { cluster } })),
    { match: { prefix: "/" }, route: { cluster: names[0] } },
  ];
  const manager = {
    "@type": `${types}.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: "bench",
    route_config: { name: "routes", virtual_hosts: [{ name: "all", domains: ["*"], routes }] },
    http_filters: [{ name: "router", typed_config: { "@type": `${types}.http.router.v3.Router` } }],
  };
  const lb_endpoints = ports.map((at) => ({ endpoint: { address: address(at) } }));
  return {
    static_resources: {
      listeners: [
        {
          name: "plain",
          address: address(port),
          filter_chains: [{ filters: [{ name: "http", typed_config: manager }] }],
        },
      ],
      clusters: names.map((name) => ({
        name,
        type: "STATIC",
        connect_timeout: "5s",
        load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints }] },
      })),
    },
  };
}

/** A route's match, and the head of a request that it takes, for the number of a route. */
type Kind = (number: number) => { readonly match: object; readonly head: string };

const kinds: Readonly<Record<string, Kind>> = {
  "exact paths": (number) => ({ match: { path: `/item/${number}` }, head: `GET /item/${number} HTTP/1.1\r\n` }),
  prefixes: (number) => ({ match: { prefix: `/item-${number}/` }, head: `GET /item-${number}/x HTTP/1.1\r\n` }),
  "regular expressions": (number) => ({
    match: { safe_regex: { regex: `/item-${number}/[a-z]+` } },
    head: `GET /item-${number}/x HTTP/1.1\r\n`,
  }),
  "header matches": (number) => ({
    match: { prefix: "/", headers: [{ name: "x-tenant", string_match: { exact: `tenant-${number}` } }] },
    head: `GET / HTTP/1.1\r\nx-tenant: tenant-${number}\r\n`,
  }),
};

function matches(): readonly Measured[] {
  return Object.entries(kinds).map(([kind, make]) => ({
    question: `route match, 1, 100 and 10,000 ${kind}`,
    measured: `${[1, 100, 10_000].map((count) => matchNs(make, count)).join(", ")} ns`,
    budget: "no linear growth",
  }));
}

/** Nanoseconds of a match, the middle of nine rounds over up to 1,000 of the routes. */
function matchNs(make: Kind, count: number): number {
  const routes = Array.from({ length: count }, (_, number) => ({
    match: make(number).match,
    direct_response: { status: 200 },
  }));
  const table = compileRoutes({ name: "r", virtual_hosts: [{ name: "v", domains: ["*"], routes }] });
  const step = Math.max(1, Math.floor(count / 1000));
  const heads = Array.from({ length: Math.min(count, 1000) }, (_, index) =>
    parseRequestHead(`${make(index * step).head}Host: a\r\n\r\n`),
  );
  const rounds = Array.from({ length: 9 }, () => {
    const endMs = performance.now() + 50;
    const startMs = performance.now();
    let found = 0;
    let done = 0;
    while (performance.now() < endMs) {
      for (const head of heads) if (table.find(head) !== undefined) found++;
      done += heads.length;
    }
    if (found !== done) throw new Error(`Cannot measure routes: ${done - found} of ${done} were not found`);
    return ((performance.now() - startMs) * 1e6) / done;
  });
  return Math.round(median(rounds));
}

function mb(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
