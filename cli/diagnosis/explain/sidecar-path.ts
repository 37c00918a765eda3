/**
 * The way of a request through a sidecar or a gateway: by its own configuration and its own matcher. Pure.
 *
 *   /config_dump ─▶ ConfigDump ─▶ followSidecar() ─▶ listener, route, shares, outcome
 *
 * The configuration is compiled by the code that the sidecar compiled it with (proxy/l7), so that what is told here
 * and what happens there cannot differ.
 */
import { typeUrls } from "#api/xds/envoy.ts";
import { compileEndpoints } from "#proxy/l7/config/cluster.ts";
import { findChain } from "#proxy/l7/config/chain-match.ts";
import { type CompiledFilter, type CompiledListener, compileListener } from "#proxy/l7/config/listener.ts";
import { compileRoutes } from "#proxy/l7/config/route.ts";
import type { CompiledRoute, RouteTable } from "#proxy/l7/route/table.ts";
import type { EndpointSpec } from "#proxy/l7/endpoint.ts";
import type { Explanation, EndpointState, Outcome, Share } from "./explanation.ts";
import type { ExplainedRequest } from "./request.ts";

interface Named {
  readonly name: string;
  readonly resource: unknown;
}

/** What a sidecar's /config_dump answers. */
export interface ConfigDump {
  readonly configs: readonly { readonly "@type": string; readonly resources: readonly Named[] }[];
}

export interface Destination {
  readonly address: string;
  readonly port: number;
}

export type DescribeEndpoint = (endpoint: EndpointSpec) => EndpointState;

export type Followed = Pick<Explanation, "listener" | "route" | "shares" | "outcome">;

/** Where the sidecar would send it. `describe` adds what the API knows of an endpoint. */
export function followSidecar(
  dump: ConfigDump,
  request: ExplainedRequest,
  destination: Destination,
  describe: DescribeEndpoint,
): Followed {
  const listener = findListener(dump, destination);
  const end = (outcome: Outcome): Followed => ({ listener: listener?.name, route: undefined, shares: [], outcome });
  if (listener === undefined) return end({ kind: "fails", why: `no listener has port ${destination.port}` });
  const facts = {
    ...destination,
    serverName: request.isTLS ? request.hostname : "",
    transport: request.isTLS ? ("tls" as const) : ("raw_buffer" as const),
    protocols: request.isTLS ? [] : ["http/1.1"],
    sourceAddress: "",
    sourcePort: 0,
  };
  const chain = findChain(listener.chains, facts) ?? listener.defaultChain;
  if (chain === undefined) return end({ kind: "fails", why: `listener ${listener.name} has no filter chain for it` });
  if (chain.filter.kind === "tcp") {
    const shares = [shareOf(dump, chain.filter.cluster, 1, describe)];
    return { ...end(tcpOutcome(shares)), shares };
  }
  const table = routesOf(dump, chain.filter);
  const route = table?.find(request.head);
  if (table === undefined || route === undefined)
    return end({ kind: "answered", status: 404, flag: "NR", why: "no route matches its host and path" });
  return { listener: listener.name, ...followRoute(dump, route, describe) };
}

function followRoute(dump: ConfigDump, route: CompiledRoute, describe: DescribeEndpoint): Omit<Followed, "listener"> {
  const { name, timeoutMs, retry, target } = route;
  const matched = { name, timeoutMs, retriesMax: retry?.retriesMax ?? 0 };
  if (target.kind === "direct") {
    const why = target.body === "" ? "the route answers itself" : target.body.slice(0, 200);
    return { route: matched, shares: [], outcome: { kind: "answered", status: target.status, flag: "-", why } };
  }
  if (target.kind === "redirect") {
    const { status } = target.redirect;
    return { route: matched, shares: [], outcome: { kind: "answered", status, flag: "-", why: "the route redirects" } };
  }
  if (target.kind === "clusterHeader") {
    const why = `the request's header ${target.key} names the cluster`;
    return { route: matched, shares: [], outcome: { kind: "fails", why } };
  }
  const weights = target.kind === "cluster" ? [{ name: target.name, weight: 1 }] : weightsOf(dump, name, target.names);
  const total = weights.reduce((sum, { weight }) => sum + weight, 0);
  const shares = weights.map((entry) => shareOf(dump, entry.name, entry.weight / total, describe));
  return { route: matched, shares, outcome: routeOutcome(shares, route.unknownCluster ?? 503) };
}

/** What is wrong with some share is the outcome only when no share is well; otherwise the shares show it. */
function routeOutcome(shares: readonly Share[], unknownStatus: number): Outcome {
  const taken = shares.filter(({ share }) => share > 0);
  if (taken.some(isServing)) return { kind: "forwarded" };
  const unknown = taken.find(({ endpoints }) => endpoints === undefined);
  if (unknown !== undefined)
    return { kind: "answered", status: unknownStatus, flag: "NC", why: `there is no cluster ${unknown.cluster}` };
  return { kind: "answered", status: 503, flag: "UH", why: "no endpoint is ready" };
}

function tcpOutcome(shares: readonly Share[]): Outcome {
  if (shares.some((share) => share.endpoints?.length === 0 && !isPassthrough(share.cluster)) && !shares.some(isServing))
    return { kind: "fails", why: "no endpoint is ready: the connection is closed" };
  return { kind: "forwarded" };
}

function isServing({ endpoints }: Share): boolean {
  return endpoints?.some(({ serving }) => serving) === true;
}

/** Clusters that take the connection on to where it was going. */
export function isPassthrough(cluster: string): boolean {
  return cluster.endsWith("PassthroughCluster");
}

function resourcesOf(dump: ConfigDump, typeUrl: string): readonly Named[] {
  return dump.configs.find((config) => config["@type"] === typeUrl)?.resources ?? [];
}

/** As the sidecar looks: the address itself, any address, then what takes everything that goes out. */
function findListener(dump: ConfigDump, { address, port }: Destination): CompiledListener | undefined {
  const listeners = resourcesOf(dump, typeUrls.listener)
    .map(({ resource }) => compileListener(resource))
    .filter(({ direction }) => direction === "outbound");
  const at = (wanted: string): CompiledListener | undefined =>
    listeners.find((listener) => listener.address === wanted && listener.port === port);
  return at(address) ?? at("0.0.0.0") ?? listeners.find(({ name }) => name === "virtualOutbound");
}

function routesOf(dump: ConfigDump, filter: Extract<CompiledFilter, { kind: "http" }>): RouteTable | undefined {
  if (filter.routeName === undefined) return filter.inline;
  const found = resourcesOf(dump, typeUrls.route).find(({ name }) => name === filter.routeName);
  return found === undefined ? undefined : compileRoutes(found.resource);
}

interface RawRoute {
  readonly name?: string;
  readonly route?: {
    readonly weighted_clusters?: { readonly clusters: readonly { readonly name: string; readonly weight?: number }[] };
  };
}

/** Compiled weights are spent as they are picked; what was configured stands in the resource. */
function weightsOf(dump: ConfigDump, routeName: string, names: readonly string[]): { name: string; weight: number }[] {
  const raw = resourcesOf(dump, typeUrls.route).flatMap(({ resource }) => {
    const { virtual_hosts: hosts = [] } = resource as { virtual_hosts?: readonly { routes?: readonly RawRoute[] }[] };
    return hosts.flatMap(({ routes = [] }) => routes);
  });
  const configured = raw
    .filter(({ name = "" }) => name === routeName)
    .map(({ route }) => route?.weighted_clusters?.clusters ?? [])
    .find((clusters) => clusters.length === names.length && clusters.every(({ name }, at) => name === names[at]));
  return (configured ?? []).map(({ name, weight = 0 }) => ({ name, weight }));
}

function shareOf(dump: ConfigDump, cluster: string, share: number, describe: DescribeEndpoint): Share {
  const isThere = resourcesOf(dump, typeUrls.cluster).some(({ name }) => name === cluster);
  if (!isThere) return { cluster, share, endpoints: undefined };
  const found = resourcesOf(dump, typeUrls.endpoint).find(({ name }) => name === cluster);
  // A name that was asked for and does not exist is kept as an empty object.
  const isEmpty = found === undefined || Object.keys(found.resource as object).length === 0;
  return { cluster, share, endpoints: isEmpty ? [] : compileEndpoints(found.resource).map(describe) };
}
