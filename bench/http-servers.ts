/**
 * What the HTTP bench compares: an upstream, and one reverse proxy after the other in front of it, each with its own
 * configuration file for the same job, pinned to one core.
 *
 *   http.bench.ts ─▶ startUpstream(), contestants[].start() ─▶ { port, tlsPort, cpuMs() }
 *
 * nginx, HAProxy and Envoy (WHERRY_ENVOY, or `envoy` on the PATH) are left out loudly where they are not installed.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { copyFileSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer } from "node:net";
import { join } from "node:path";
import { pssOf } from "./memory.ts";

/** Ticks a second of the times in /proc (USER_HZ). */
const ticksPerSecond = 100;

export interface Running extends AsyncDisposable {
  /** Plaintext: HTTP/1.1, and HTTP/2 by prior knowledge where the proxy has it. */
  readonly port: number;
  /** TLS with ALPN. */
  readonly tlsPort: number;
  /** User and system time so far, in ms, of all its processes. */
  cpuMs(): number;
  /** Memory of all its processes, in bytes. */
  pssBytes(): number;
}

export interface Paths {
  /** A folder of the bench's own. */
  readonly folder: string;
  /** PEM, key and chain in one file, as HAProxy wants them. */
  readonly pem: string;
  readonly cert: string;
  readonly key: string;
}

export interface Contestant {
  readonly name: string;
  /** Undefined when it is not installed. */
  readonly command: readonly string[] | undefined;
  /** Its configuration; the arguments that name the file come back. */
  configure(ports: Ports, paths: Paths): readonly string[];
}

interface Ports {
  readonly upstream: number;
  readonly port: number;
  readonly tlsPort: number;
}

/** A port that is free now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return port;
}

/** nginx serving files of `bytes` each under its name. */
export async function startUpstream(paths: Paths, files: Readonly<Record<string, number>>): Promise<Running> {
  for (const [name, bytes] of Object.entries(files)) writeFileSync(join(paths.folder, name), Buffer.alloc(bytes, "x"));
  const port = await freePort();
  const config = join(paths.folder, "upstream.conf");
  writeFileSync(
    config,
    `worker_processes 1; daemon off; pid ${paths.folder}/upstream.pid; error_log stderr crit;
events { worker_connections 8192; }
http { access_log off; sendfile on; keepalive_requests 1000000000; keepalive_timeout 600s;
  server { listen 127.0.0.1:${port} backlog=8192; root ${paths.folder}; } }`,
  );
  return run(["nginx", "-c", config, "-p", paths.folder], { port, tlsPort: 0, core: 1 });
}

export async function start(contestant: Contestant, upstream: number, paths: Paths): Promise<Running> {
  const ports = { upstream, port: await freePort(), tlsPort: await freePort() };
  const args = contestant.configure(ports, paths);
  return run([...(contestant.command ?? []), ...args], { ...ports, core: 0 });
}

/** Starts a command on a core and waits until its port takes connections. */
export async function run(
  command: readonly string[],
  { port, tlsPort, core }: { port: number; tlsPort: number; core: number },
): Promise<Running> {
  const child = spawn("taskset", ["-c", String(core), ...command], { stdio: ["ignore", "ignore", "inherit"] });
  await Promise.race([listening(port), exited(child, command[0] ?? "")]);
  return {
    port,
    tlsPort,
    cpuMs: () => familyOf(child.pid ?? 0).reduce((sum, pid) => sum + ticksOf(pid), 0) * (1000 / ticksPerSecond),
    pssBytes: () => familyOf(child.pid ?? 0).reduce((sum, pid) => sum + pssOf(pid), 0),
    async [Symbol.asyncDispose]() {
      const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), 2000);
      await gone;
      clearTimeout(timer);
    },
  };
}

async function listening(port: number): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    const isOpen = await new Promise<boolean>((resolve) => {
      const socket = connect(port, "127.0.0.1", () => resolve(true));
      socket.on("error", () => resolve(false));
      socket.on("connect", () => socket.destroy());
    });
    if (isOpen) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`Cannot start: nothing listens on port ${port}`);
}

async function exited(child: ChildProcess, name: string): Promise<never> {
  return new Promise((_resolve, reject) => {
    child.once("exit", (code) => reject(new Error(`Cannot start ${name}: it ended with ${code}`)));
    child.once("error", reject);
  });
}

/** A process and all below it. */
function familyOf(pid: number): number[] {
  const parents = new Map<number, number>();
  for (const entry of readdirSync("/proc")) {
    const id = Number(entry);
    if (Number.isInteger(id)) parents.set(id, Number(fieldsOf(id)[1] ?? 0));
  }
  const family = [pid];
  for (const member of family) for (const [id, parent] of parents) if (parent === member) family.push(id);
  return family;
}

function ticksOf(pid: number): number {
  const fields = fieldsOf(pid);
  return Number(fields[11] ?? 0) + Number(fields[12] ?? 0);
}

/** Of /proc/PID/stat behind the name, which may hold blanks: state is first. */
function fieldsOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.split(" ") ?? [];
  } catch {
    return []; // Ended meanwhile.
  }
}

function installed(command: string): readonly string[] | undefined {
  try {
    execFileSync("which", [command], { stdio: "ignore" });
    return [command];
  } catch {
    return undefined;
  }
}

/** In the order in which they are measured. */
export const contestants: readonly Contestant[] = [
  {
    name: "nginx",
    command: installed("nginx"),
    configure({ upstream, port, tlsPort }, { folder, cert, key }) {
      const config = join(folder, "nginx.conf");
      const location = `location / { proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; }`;
      writeFileSync(
        config,
        `worker_processes 1; daemon off; pid ${folder}/nginx.pid; error_log stderr crit;
events { worker_connections 8192; }
http { access_log off; keepalive_requests 1000000000; keepalive_timeout 600s;
  upstream up { server 127.0.0.1:${upstream}; keepalive 2000; keepalive_requests 1000000000; }
  server { listen 127.0.0.1:${port} backlog=8192; ${location} }
  server { listen 127.0.0.1:${tlsPort} ssl http2 backlog=8192;
    ssl_certificate ${cert}; ssl_certificate_key ${key}; ${location} } }`,
      );
      return ["-c", config, "-p", folder];
    },
  },
  {
    name: "HAProxy",
    command: installed("haproxy"),
    configure({ upstream, port, tlsPort }, { folder, pem }) {
      const config = join(folder, "haproxy.cfg");
      writeFileSync(
        config,
        `global
  nbthread 1
  maxconn 5000
defaults
  mode http
  http-reuse always
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend plain
  bind 127.0.0.1:${port} backlog 8192
  bind 127.0.0.1:${tlsPort} backlog 8192 ssl crt ${pem} alpn h2,http/1.1
  default_backend up
backend up
  server up 127.0.0.1:${upstream} pool-max-conn 2000
`,
      );
      return ["-q", "-db", "-f", config];
    },
  },
  {
    name: "Envoy",
    command: process.env["WHERRY_ENVOY"] === undefined ? installed("envoy") : [process.env["WHERRY_ENVOY"]],
    configure(ports, paths) {
      const config = join(paths.folder, "envoy.json");
      writeFileSync(config, JSON.stringify(bootstrap(ports, paths)));
      return ["-c", config, "--concurrency", "1", "-l", "off", "--use-dynamic-base-id"];
    },
  },
  {
    name: "http-proxy",
    command: [process.execPath, join(import.meta.dirname, "http-proxy-server.ts")],
    configure({ upstream, port, tlsPort }, { cert, key }) {
      return [upstream, port, tlsPort].map(String).concat(cert, key);
    },
  },
  {
    name: "Wherry",
    command: [join(import.meta.dirname, "../wherry"), "sidecar"],
    configure(ports, paths) {
      const config = join(paths.folder, "wherry.json");
      writeFileSync(config, JSON.stringify(bootstrap(ports, paths)));
      return ["-c", config, "--concurrency", "1"];
    },
  },
];

/** Wherry with an example filter in its chain, as a user writes one. */
export const withFilter: Contestant = {
  name: "Wherry with a filter",
  command: [join(import.meta.dirname, "../wherry"), "sidecar"],
  configure(ports, paths) {
    const config = join(paths.folder, "filter.json");
    copyFileSync(join(import.meta.dirname, "../examples/filters/add-header.ts"), join(paths.folder, "add-header.ts"));
    const typed_config = {
      "@type": "type.googleapis.com/wherry.v1.FilterModule",
      module: "add-header.ts",
      config: { request: { "x-team": "shop" }, response: { "x-served-by": "wherry" } },
    };
    writeFileSync(config, JSON.stringify(bootstrap(ports, paths, [{ name: "add-header", typed_config }])));
    return ["-c", config, "--concurrency", "1"];
  },
};

const types = "type.googleapis.com/envoy";

/** The same for Envoy and Wherry. */
function bootstrap({ upstream, port, tlsPort }: Ports, { cert, key }: Paths, filters: readonly object[] = []): object {
  const routes = {
    name: "routes",
    virtual_hosts: [{ name: "all", domains: ["*"], routes: [{ match: { prefix: "/" }, route: { cluster: "up" } }] }],
  };
  const hcm = {
    "@type": `${types}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: "bench",
    route_config: routes,
    http_filters: [
      ...filters,
      { name: "router", typed_config: { "@type": `${types}.extensions.filters.http.router.v3.Router` } },
    ],
  };
  const tls = {
    name: "envoy.transport_sockets.tls",
    typed_config: {
      "@type": `${types}.extensions.transport_sockets.tls.v3.DownstreamTlsContext`,
      common_tls_context: {
        alpn_protocols: ["h2", "http/1.1"],
        tls_certificates: [{ certificate_chain: { filename: cert }, private_key: { filename: key } }],
      },
    },
  };
  const listener = (name: string, at: number, transport: object): object => ({
    name,
    address: { socket_address: { address: "127.0.0.1", port_value: at } },
    filter_chains: [{ filters: [{ name: "http", typed_config: hcm }], ...transport }],
  });
  const endpoint = { address: { socket_address: { address: "127.0.0.1", port_value: upstream } } };
  return {
    static_resources: {
      listeners: [listener("plain", port, {}), listener("tls", tlsPort, { transport_socket: tls })],
      clusters: [
        {
          name: "up",
          type: "STATIC",
          connect_timeout: "5s",
          circuit_breakers: {
            thresholds: [{ max_connections: 10_000, max_pending_requests: 10_000, max_requests: 10_000 }],
          },
          load_assignment: { cluster_name: "up", endpoints: [{ lb_endpoints: [{ endpoint }] }] },
        },
      ],
    },
  };
}
