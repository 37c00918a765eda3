/**
 * `wherry sidecar -c envoy.yaml` as a process: it listens, forwards, tells of itself, drains and ends.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, type Server, connect, createServer } from "node:net";
import { createServer as createHTTPServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, it } from "node:test";

const wherry = join(import.meta.dirname, "../../wherry");
const dir = mkdtempSync(join(tmpdir(), "wherry-sidecar-"));

interface Line {
  readonly message: string;
  readonly listener?: string;
  readonly port?: number;
}

class Sidecar {
  readonly child: ChildProcess;
  readonly lines: Line[] = [];
  readonly #ended: Promise<unknown>;
  #wake: (() => void) | undefined;

  constructor(...flags: readonly string[]) {
    this.child = spawn(wherry, ["sidecar", ...flags], { stdio: ["ignore", "inherit", "pipe"] });
    this.#ended = once(this.child, "exit");
    createInterface({ input: this.child.stderr! }).on("line", (text) => {
      this.lines.push(JSON.parse(text) as Line);
      this.#wake?.();
    });
  }

  /** The port that a line tells: of a listener, or of the admin pages. */
  async port(message: string): Promise<number> {
    for (;;) {
      const line = this.lines.find((one) => one.message === message);
      if (line?.port !== undefined) return line.port;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  async end(signal: NodeJS.Signals): Promise<number | null> {
    if (this.child.exitCode === null) this.child.kill(signal);
    await this.#ended;
    return this.child.exitCode;
  }
}

const type = "type.googleapis.com/envoy.extensions.";

function bootstrap(upstreamPort: number, port = 0): string {
  return `
admin: { address: { socketAddress: { address: 127.0.0.1, portValue: 0 } } }
node: { id: one, cluster: two }
static_resources:
  listeners:
    - name: main
      address: { socket_address: { address: 127.0.0.1, port_value: ${port} } }
      filterChains:
        - filters:
            - name: http
              typedConfig:
                "@type": ${type}filters.network.http_connection_manager.v3.HttpConnectionManager
                statPrefix: ingress
                accessLog:
                  - name: file
                    typedConfig:
                      "@type": ${type}access_loggers.file.v3.FileAccessLog
                      path: ${join(dir, "access.log")}
                      logFormat: { jsonFormat: { code: "%RESPONSE_CODE%", path: "%REQ(:PATH)%", none: "%REQ(x)%" } }
                routeConfig:
                  virtualHosts:
                    - name: all
                      domains: ["*"]
                      routes:
                        - { match: { path: /direct }, directResponse: { status: 200, body: { inlineString: here } } }
                        - { match: { prefix: / }, route: { cluster: up, timeout: 2.5s } }
                httpFilters:
                  - name: fault
                    typedConfig:
                      "@type": ${type}filters.http.fault.v3.HTTPFault
                      delay: { headerDelay: {}, percentage: { numerator: 100 } }
                  - name: router
                    typedConfig: { "@type": ${type}filters.http.router.v3.Router }
  clusters:
    - name: up
      type: STRICT_DNS
      connectTimeout: 1s
      dnsLookupFamily: V4_ONLY
      loadAssignment:
        clusterName: up
        endpoints:
          - lbEndpoints:
              - endpoint: { address: { socketAddress: { address: localhost, portValue: "${upstreamPort}" } } }
`;
}

const get = async (port: number, path: string, method = "GET"): Promise<{ status: number; text: string }> => {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { method, headers: { connection: "close" } });
  return { status: response.status, text: await response.text() };
};

describe("wherry sidecar", () => {
  const upstream = createHTTPServer((request, response) => response.end(`up ${request.url ?? ""}`));
  const config = join(dir, "envoy.yaml");
  let sidecar: Sidecar;
  let port = 0;
  let admin = 0;

  before(async () => {
    upstream.listen(0, "127.0.0.1");
    await once(upstream, "listening");
    writeFileSync(config, bootstrap((upstream.address() as AddressInfo).port));
    sidecar = new Sidecar("-c", config, "--drain-time-s", "2", "--service-node", "three");
    port = await sidecar.port("Listening");
    admin = await sidecar.port("Admin pages");
  });

  after(async () => {
    await sidecar.end("SIGKILL");
    upstream.close();
    rmSync(dir, { recursive: true });
  });

  it("answers and forwards by its configuration", async () => {
    assert.deepEqual(await get(port, "/direct"), { status: 200, text: "here" });
    assert.deepEqual(await get(port, "/a?b"), { status: 200, text: "up /a?b" });
  });

  it("tells of itself on Envoy's admin pages", async () => {
    assert.deepEqual(await get(admin, "/ready"), { status: 200, text: "LIVE\n" });
    assert.equal((await get(admin, "/listeners")).text, `main::127.0.0.1:${port}\n`);
    assert.match((await get(admin, "/clusters")).text, /^up::127\.0\.0\.1:\d+::hostname::localhost$/m);
    assert.match((await get(admin, "/stats?filter=2xx")).text, /^cluster\.up\.upstream_rq_2xx: 1\n/);
    const exposition = await get(admin, "/stats/prometheus");
    assert.match(exposition.text, /^envoy_http_downstream_rq_xx\{envoy_response_code_class="2",.*\} 2$/m);
    const info = JSON.parse((await get(admin, "/server_info")).text) as { node: object };
    assert.deepEqual(info.node, { id: "three", cluster: "two", metadata: {} });
    const dump = JSON.parse((await get(admin, "/config_dump")).text) as { configs: { "@type": string }[] };
    const types = dump.configs.map((one) => one["@type"].split(".").at(-1));
    assert.deepEqual(types, ["BootstrapConfigDump", "ClustersConfigDump", "ListenersConfigDump", "RoutesConfigDump"]);
    for (const path of [
      "/certs",
      "/memory",
      "/runtime",
      "/help",
      "/listeners?format=json",
      "/clusters?format=json",
      "/",
    ])
      assert.equal((await get(admin, path)).status, 200, path);
    assert.equal((await get(admin, "/drain_listeners")).status, 405);
    assert.equal((await get(admin, "/nothing")).status, 404);
    assert.match((await get(admin, "/logging?level=warning", "POST")).text, /wherry: warning/);
    assert.equal((await get(admin, "/healthcheck/fail", "POST")).text, "OK\n");
    assert.deepEqual(await get(admin, "/ready"), { status: 503, text: "DRAINING\n" });
    assert.equal((await get(admin, "/healthcheck/ok", "POST")).text, "OK\n");
    assert.equal((await get(admin, "/reset_counters", "POST")).text, "OK\n");
  });

  it("says which address is taken", async () => {
    const taken: Server = createServer();
    taken.listen(0, "127.0.0.1");
    await once(taken, "listening");
    const { port: number } = taken.address() as AddressInfo;
    const text = bootstrap(1, number);
    const { status, stderr } = spawnSync(wherry, ["sidecar", "--config-yaml", text], {
      encoding: "utf8",
      timeout: 20_000,
    });
    taken.close();
    assert.equal(status, 1);
    assert.match(stderr, new RegExp(`Cannot bind listener "main" 127\\.0\\.0\\.1:${number}: EADDRINUSE`));
  });

  it("checks a configuration, and names the field that it refuses", () => {
    const run = (text: string): { status: number | null; stderr: string } =>
      spawnSync(wherry, ["sidecar", "--mode", "validate", "--config-yaml", text], {
        encoding: "utf8",
        timeout: 20_000,
      });
    assert.equal(run(bootstrap(1)).status, 0);
    const refused = run(
      bootstrap(1).replace("statPrefix: ingress", "statPrefix: ingress\n                addUserAgents: true"),
    );
    assert.equal(refused.status, 1);
    assert.match(refused.stderr, /static_resources\.listeners\[0\]\.filter.*typed.*addUserAgents/);
    const broken = join(dir, "broken.yaml");
    writeFileSync(broken, "a: [");
    const unread = spawnSync(wherry, ["sidecar", "--mode", "validate", "-c", broken], {
      encoding: "utf8",
      timeout: 20_000,
    });
    assert.match(unread.stderr, /Cannot read bootstrap .*broken\.yaml: /);
    const none = `{ filename: ${join(dir, "none.pem")} }`;
    const context = `"@type": ${type}transport_sockets.tls.v3.DownstreamTlsContext`;
    const pairs = `tlsCertificates: [{ certificateChain: ${none}, privateKey: ${none} }]`;
    const secured = `transportSocket: { name: tls, typedConfig: { ${context}, commonTlsContext: { ${pairs} } } }`;
    const unreadable = run(bootstrap(1).replace("- filters:", `- ${secured}\n          filters:`));
    assert.equal(unreadable.status, 1);
    assert.match(
      unreadable.stderr,
      /Cannot read static_resources\.listeners\[0\]\..*tls_certificates\[0\]\.certificate_chain \(.*none\.pem\): ENOENT.* \(listener "main"\)/,
    );
    const unwritable = run(bootstrap(1).replace(/path: .*access\.log/, `path: ${join(dir, "none", "a.log")}`));
    assert.equal(unwritable.status, 1);
    assert.match(unwritable.stderr, /Cannot write .*access_log\[0\]\.typed_config\.path \(.*a\.log\): ENOENT/);
    assert.equal(spawnSync(wherry, ["sidecar"]).status, 64);
  });

  it("waits in a drain for what nothing else keeps the process alive for", async () => {
    // No admin pages, no names to resolve, and a request that only a timer holds; the one behind it stops the reading.
    const left = [/^admin: .*$/m, /^.*route: \{ cluster.*$/m, /^ {2}clusters:[^]*/m];
    const text = left.reduce((whole, part) => whole.replace(part, ""), bootstrap(1));
    const alone = new Sidecar("--config-yaml", text);
    const to = await alone.port("Listening");
    const peer = connect(to, "127.0.0.1").setEncoding("latin1");
    let answers = "";
    peer.on("data", (part: string) => (answers += part));
    const ended = once(peer, "end");
    const delayed = "GET /direct HTTP/1.1\r\nHost: a\r\nx-envoy-fault-delay-request: 1500\r\n\r\n";
    for (let sent = 0; sent < 2; sent++) {
      await new Promise((resolve) => peer.write(delayed, resolve));
      // What came before this is read before this is answered.
      await get(to, "/direct");
    }
    assert.equal(await alone.end("SIGTERM"), 0);
    await ended;
    assert.match(answers, /^HTTP\/1\.1 200 .*\r\nConnection: close\r\n.*here$/s);
  });

  it("drains and ends with SIGTERM, its access log written", async () => {
    assert.equal(await sidecar.end("SIGTERM"), 0);
    const [first] = readFileSync(join(dir, "access.log"), "utf8").split("\n");
    assert.deepEqual(JSON.parse(first!), { code: 200, none: null, path: "/direct" });
  });
});
