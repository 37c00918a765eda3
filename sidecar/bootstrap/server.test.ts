/** A stand-alone sidecar on loopback: its configuration from a control plane, over both forms of ADS. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Server, type ServerDuplexStream, ServerCredentials } from "@grpc/grpc-js";
import { encodeResource } from "#api/xds/codec.ts";
import { adsMethods, decodeRequest, encodeResponse, encodeWireResource } from "#api/xds/discovery.ts";
import { decodeMessage } from "#api/xds/decode.ts";
import { encodeMessage } from "#api/xds/encode.ts";
import { typeUrls } from "#api/xds/envoy.ts";
import { ManualClock } from "#lib/clock.ts";
import { silentLogger } from "#lib/log.ts";
import { type FilterModule, FilterModules } from "#proxy/l7/filters/modules.ts";
import { raw, startAnswering } from "#proxy/l7/fixture.ts";
import { type BootstrapConfig, parseBootstrap } from "./config.ts";
import { createStandalone, startStandalone } from "./fixture.ts";

const at = (port_value: number): object => ({ socket_address: { address: "127.0.0.1", port_value } });
const ads = { ads: {}, resource_api_version: "V3" };
const prefix = "type.googleapis.com/envoy.extensions.filters";

const getClose = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/** What the control plane has, by type URL and name. */
function resourcesTo(port: number): Readonly<Record<string, Readonly<Record<string, object>>>> {
  const manager = {
    "@type": `${prefix}.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: "x",
    rds: { config_source: ads, route_config_name: "routes" },
    http_filters: [{ name: "router", typed_config: { "@type": `${prefix}.http.router.v3.Router` } }],
  };
  const filters = [{ name: "http", typed_config: manager }];
  const route = { match: { prefix: "/" }, route: { cluster: "up" } };
  const lb_endpoints = [{ endpoint: { address: at(port) } }];
  return {
    [typeUrls.listener]: { main: { name: "main", address: at(0), filter_chains: [{ filters }] } },
    [typeUrls.cluster]: { up: { name: "up", type: "EDS", eds_cluster_config: { eds_config: ads } } },
    [typeUrls.route]: { routes: { name: "routes", virtual_hosts: [{ name: "v", domains: ["*"], routes: [route] }] } },
    [typeUrls.endpoint]: { up: { cluster_name: "up", endpoints: [{ locality: {}, lb_endpoints }] } },
  };
}

type Stream = ServerDuplexStream<Buffer, Buffer>;

interface WorldRequest {
  readonly type_url: string;
  readonly resource_names?: readonly string[];
  readonly response_nonce?: string;
  readonly error_detail?: { readonly message: string };
}

/** Answers each subscription once, with what it has of it. */
async function startControlPlane(
  resources: Readonly<Record<string, Readonly<Record<string, object>>>>,
): Promise<{ server: Server; port: number; errors: string[] }> {
  const errors: string[] = [];
  const bytes = (value: Buffer): Buffer => value;
  const serve = (stream: Stream): void => {
    stream.on("data", (message: Buffer) => {
      const { typeUrl, subscribe, error } = decodeRequest(message);
      if (error !== undefined) errors.push(error.message);
      const all = resources[typeUrl] ?? {};
      const names = subscribe.includes("*") ? Object.keys(all) : subscribe.filter((name) => all[name] !== undefined);
      if (subscribe.length === 0) return;
      const encodedResources = names.map((name) =>
        encodeWireResource({ name, version: "1", typeUrl, value: encodeResource(typeUrl, all[name]!) }),
      );
      stream.write(encodeResponse({ typeUrl, nonce: typeUrl, systemVersion: "1", encodedResources, removed: [] }));
    });
    stream.on("end", () => stream.end());
  };
  const serveWorld = (stream: Stream): void => {
    stream.on("data", (message: Buffer) => {
      const request = decodeMessage("envoy.service.discovery.v3.DiscoveryRequest", message) as unknown as WorldRequest;
      const { type_url, resource_names = [], response_nonce = "", error_detail } = request;
      if (error_detail !== undefined) errors.push(error_detail.message);
      const known = resources[type_url] ?? {};
      const names = resource_names.length === 0 ? Object.keys(known) : resource_names;
      // An acknowledgement; names are asked for once here.
      if (response_nonce !== "") return;
      stream.write(
        encodeMessage("envoy.service.discovery.v3.DiscoveryResponse", {
          version_info: "1",
          resources: names.flatMap((name) =>
            known[name] === undefined ? [] : [{ "@type": type_url, ...known[name] }],
          ),
          type_url,
          nonce: "a",
        }),
      );
    });
    stream.on("end", () => stream.end());
  };
  const server = new Server();
  const codec = { requestSerialize: bytes, requestDeserialize: bytes };
  const method = { requestStream: true, responseStream: true, ...codec };
  const definition = { ...method, responseSerialize: bytes, responseDeserialize: bytes };
  server.addService(
    { delta: { path: adsMethods.delta, ...definition }, world: { path: adsMethods.stateOfTheWorld, ...definition } },
    { delta: serve, world: serveWorld },
  );
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    ),
  );
  return { server, port, errors };
}

test("StandaloneSidecar refuses a route to a cluster that is not there, unless it is told not to look", async () => {
  const bootstrap = (more: object): BootstrapConfig => {
    const routes = [{ match: { prefix: "/" }, route: { cluster: "nope" } }];
    const manager = {
      "@type": `${prefix}.network.http_connection_manager.v3.HttpConnectionManager`,
      stat_prefix: "x",
      route_config: { virtual_hosts: [{ name: "v", domains: ["*"], routes }], ...more },
      http_filters: [{ name: "router", typed_config: { "@type": `${prefix}.http.router.v3.Router` } }],
    };
    const filters = [{ name: "http", typed_config: manager }];
    const listeners = [{ name: "web", address: at(0), filter_chains: [{ filters }] }];
    return parseBootstrap([JSON.stringify({ static_resources: { listeners } })]);
  };
  const refused = {
    code: "BAD_BOOTSTRAP",
    message:
      /^Cannot use static_resources\.listeners\[0\].*\.virtual_hosts\[0\]\.routes\[0\].*"nope" is not there \(listener "web", /,
  };
  assert.throws(() => createStandalone(bootstrap({})), refused);
  assert.throws(() => createStandalone(bootstrap({ validate_clusters: true })), refused);
  // Nobody can send it: nothing waits for it, on a clock that stands still.
  const sidecar = createStandalone(bootstrap({ validate_clusters: false }), { clock: new ManualClock() });
  await sidecar.start();
  assert.match(await raw(sidecar.addresses.get("web")!.port, getClose), /^HTTP\/1\.1 503 /);
  await sidecar.shutDown({ drainMs: 0 });
});

test("StandaloneSidecar does not start with an access log that cannot be written", async () => {
  const typed_config = {
    "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
    path: "/no/such/folder/log",
  };
  const manager = { access_log: [{ name: "log", typed_config }] };
  const routes = [{ match: { prefix: "/" }, direct_response: { status: 200 } }];
  const message = /^Cannot write static_resources\..*\.path \(\/no\/such\/folder\/log\): ENOENT.*\(listener "main"\)$/;
  await assert.rejects(startStandalone({ manager, routes, clusters: [] }), { code: "BAD_BOOTSTRAP", message });
});

test("StandaloneSidecar serves HTTP/1.0 where its listener says so, and else asks for HTTP/1.1", async () => {
  const routes = [{ match: { prefix: "/" }, direct_response: { status: 200 } }];
  for (const [http_protocol_options, status] of [
    [{}, 426],
    [{ accept_http_10: false }, 426],
    [{ accept_http_10: true }, 200],
  ] as const) {
    await using standalone = await startStandalone({ manager: { http_protocol_options }, routes, clusters: [] });
    const answer = await raw(standalone.port, "GET / HTTP/1.0\r\n\r\n");
    assert.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `));
  }
});

test("StandaloneSidecar loads filter modules before their first request, and says what is wrong with one", async () => {
  const typed_config = { "@type": "type.googleapis.com/wherry.v1.FilterModule", module: "x.ts", config: { a: 1 } };
  const router = { name: "router", typed_config: { "@type": `${prefix}.http.router.v3.Router` } };
  const manager = { http_filters: [{ name: "x", typed_config }, router] };
  const routes = [{ match: { prefix: "/" }, direct_response: { status: 200 } }];
  const configured: unknown[] = [];
  const fine: FilterModule = {
    configure(config) {
      configured.push(config);
      return () => ({});
    },
  };
  const modulesOf = (module: unknown): FilterModules =>
    new FilterModules({ folder: "/", log: silentLogger, load: async () => module });
  {
    const filterModules = modulesOf({ default: fine });
    await using standalone = await startStandalone({ manager, routes, clusters: [], deps: { filterModules } });
    await filterModules.ready("x.ts");
    assert.deepEqual(configured, [{ a: 1 }]);
    await standalone.sidecar.checkModules();
  }
  const wrong = { configure: () => "filter" };
  for (const [module, message] of [
    [
      { default: wrong },
      /^Cannot use static_resources\.listeners\[0\]: .* configure\(\) gave something of type string, wanted a function.*\(listener "main"\)$/,
    ],
    [{}, /^Cannot use static_resources\.listeners\[0\]: Cannot load filter module x.ts: .* has no configure/],
  ] as const) {
    const deps = { filterModules: modulesOf(module) };
    await using standalone = await startStandalone({ manager, routes, clusters: [], deps });
    await assert.rejects(standalone.sidecar.checkModules(), { code: "BAD_BOOTSTRAP", message });
  }
});

for (const api_type of ["DELTA_GRPC", "GRPC"])
  test(`StandaloneSidecar serves what a control plane sends over ADS of type ${api_type}`, async () => {
    await using upstream = await startAnswering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    const { server, port, errors } = await startControlPlane(resourcesTo(upstream.port));
    const load_assignment = {
      cluster_name: "xds",
      endpoints: [{ lb_endpoints: [{ endpoint: { address: at(port) } }] }],
    };
    const config = parseBootstrap([
      JSON.stringify({
        node: { id: "one", cluster: "two" },
        static_resources: { clusters: [{ name: "xds", type: "STATIC", http2_protocol_options: {}, load_assignment }] },
        dynamic_resources: {
          ads_config: { api_type, grpc_services: [{ envoy_grpc: { cluster_name: "xds" } }] },
          cds_config: ads,
          lds_config: ads,
        },
      }),
    ]);
    const sidecar = createStandalone(config);
    try {
      await sidecar.start();
      const bound = sidecar.addresses.get("main")!.port;
      const answer = await raw(bound, getClose);
      assert.match(answer, /^HTTP\/1\.1 200 OK\r\n[^]*ok$/);
      assert.deepEqual(errors, []);
    } finally {
      await sidecar.shutDown({ drainMs: 0 });
      server.forceShutdown();
    }
  });
