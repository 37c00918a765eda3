/**
 * One of Envoy's filters in a chain of its own, on loopback, for tests.
 *
 *   test ─▶ startFilterRig(upstream, { config, own }) ─▶ Rig: "/own…" has its own settings, "/off…" has it disabled
 */
import type { RouteConfiguration } from "#api/xds/envoy.ts";
import { compileListener } from "../config/listener.ts";
import { type Rig, startRig, staticCluster } from "../fixture.ts";

const extension = "type.googleapis.com/envoy.extensions.filters";

/** The type URL of an HTTP filter's message. */
export function filterType(name: string): string {
  return `${extension}.http.${name}`;
}

export interface FilterRigOptions {
  /** The filter's typed_config. */
  readonly config: object;
  /** What the route "/own" says to it. */
  readonly own: object;
  /** Of the routes' action, beside the cluster. */
  readonly route?: object;
  /** Of further filters, in front of it. */
  readonly before?: readonly object[];
}

export async function startFilterRig(ports: readonly number[], options: FilterRigOptions): Promise<Rig> {
  const { config, own, before = [] } = options;
  const route = (prefix: string, settings?: object): object => ({
    match: { prefix },
    route: { cluster: "c", ...options.route },
    ...(settings === undefined ? {} : { typed_per_filter_config: { f: settings } }),
  });
  const off = { "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", disabled: true };
  const routes = {
    name: "routes",
    virtual_hosts: [{ name: "all", domains: ["*"], routes: [route("/own", own), route("/off", off), route("/")] }],
  } as unknown as RouteConfiguration;
  const manager = {
    "@type": `${extension}.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: "s",
    route_config: routes,
    http_filters: [
      ...before.map((typed_config, at) => ({ name: `before${at}`, typed_config })),
      { name: "f", typed_config: config },
      { name: "envoy.filters.http.router", typed_config: { "@type": filterType("router.v3.Router") } },
    ],
  };
  const listener = compileListener({
    name: "l",
    address: { socket_address: { address: "127.0.0.1", port_value: 1 } },
    filter_chains: [{ filters: [{ name: "hcm", typed_config: manager }] }],
  });
  return startRig({ clusters: [staticCluster("c", ports)], listener });
}
