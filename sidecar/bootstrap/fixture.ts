/**
 * A stand-alone sidecar for tests, on loopback: one HTTP listener with routes of the test's, and its clusters.
 *
 *   test ─▶ startStandalone(options) ─▶ ports of the listener and of the admin pages
 */
import { connect } from "node:net";
import { AdsClient } from "#api/xds/client.ts";
import { StateOfTheWorld } from "#api/xds/sotw.ts";
import { realClock } from "#lib/clock.ts";
import { silentLogger } from "#lib/log.ts";
import { seededRandom } from "#lib/random.ts";
import { type BootstrapConfig, parseBootstrap } from "./config.ts";
import { LogLevels } from "./log-levels.ts";
import { type StandaloneDeps, StandaloneSidecar } from "./server.ts";

const prefix = "type.googleapis.com/envoy.extensions.filters";

export function createStandalone(config: BootstrapConfig, deps: Partial<StandaloneDeps> = {}): StandaloneSidecar {
  const shared = { clock: realClock, random: seededRandom(1), log: silentLogger };
  return new StandaloneSidecar(config, {
    ...shared,
    levels: new LogLevels("sidecar", "error"),
    dial: (address, to, options) => connect({ host: address, port: to, ...options }),
    lookup: () => Promise.reject(new Error("No names here")),
    originalDst: () => ({ address: "127.0.0.1", port: 1 }),
    createADS: (target, node, isDelta) =>
      new AdsClient({
        target,
        node,
        ...shared,
        ...(isDelta ? {} : { createDialect: () => new StateOfTheWorld() }),
      }),
    onQuit: () => undefined,
    ...deps,
  });
}

export interface StandaloneOptions {
  readonly routes?: readonly object[];
  readonly clusters?: readonly object[];
  /** Fields of the connection manager beside the least. */
  readonly manager?: object;
  /** Fields of the listener beside the least. */
  readonly listener?: object;
  /** The only network filter, instead of the connection manager. */
  readonly filter?: object;
  readonly deps?: Partial<StandaloneDeps>;
}

export interface Standalone extends AsyncDisposable {
  readonly sidecar: StandaloneSidecar;
  readonly port: number;
  /** The body of an admin page. */
  page(path: string, method?: string): Promise<{ readonly status: number; readonly text: string }>;
}

/** Routes default to everything to cluster "up". */
export async function startStandalone(options: StandaloneOptions): Promise<Standalone> {
  const address = { socket_address: { address: "127.0.0.1", port_value: 0 } };
  const routes = options.routes ?? [{ match: { prefix: "/" }, route: { cluster: "up" } }];
  const manager = {
    "@type": `${prefix}.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: "x",
    route_config: { virtual_hosts: [{ name: "v", domains: ["*"], routes }] },
    http_filters: [{ name: "router", typed_config: { "@type": `${prefix}.http.router.v3.Router` } }],
    ...options.manager,
  };
  const filters = [{ name: "only", typed_config: options.filter ?? manager }];
  const listeners = [{ name: "main", address, filter_chains: [{ filters }], ...options.listener }];
  const resource = { admin: { address }, static_resources: { listeners, clusters: options.clusters ?? [] } };
  const sidecar = createStandalone(parseBootstrap([JSON.stringify(resource)]), options.deps);
  try {
    await sidecar.start();
  } catch (error) {
    await sidecar.shutDown({ drainMs: 0 });
    throw error;
  }
  const admin = sidecar.adminAddress!;
  return {
    sidecar,
    port: sidecar.addresses.get("main")!.port,
    async page(path, method = "GET") {
      const response = await fetch(`http://127.0.0.1:${admin.port}${path}`, { method });
      return { status: response.status, text: await response.text() };
    },
    async [Symbol.asyncDispose]() {
      await sidecar.shutDown({ drainMs: 0 });
    },
  };
}
