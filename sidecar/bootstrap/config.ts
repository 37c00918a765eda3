/**
 * An Envoy v3 bootstrap, YAML or JSON → BootstrapConfig. Pure.
 *
 *   envoy.yaml ─▶ parseBootstrap() ─▶ server.ts (static resources, ADS, admin)
 *
 * First every field is checked against Envoy's own messages (names in either case, durations, enums, wrappers), then
 * what is not supported is refused by its path. Invariant: nothing in the file is passed over in silence; what has no
 * effect here stands in a comment beside its name. Source: envoy.config.bootstrap.v3.Bootstrap.
 */
import { checkMessage } from "#api/xds/codec.ts";
import { messageOf } from "#lib/errors.ts";
import { readSocketAddress } from "#proxy/l7/config/cluster.ts";
import { Reader } from "#proxy/l7/config/reader.ts";
import type { SocketAddress } from "#proxy/l7/types.ts";
import { SidecarError } from "../errors.ts";
import type { NamedResource } from "../state.ts";
import { type NamedText, parseText } from "./text.ts";

export interface BootstrapConfig {
  readonly node: {
    readonly id: string;
    readonly cluster: string;
    readonly metadata: Readonly<Record<string, unknown>>;
  };
  readonly admin: SocketAddress | undefined;
  readonly listeners: readonly NamedResource[];
  readonly clusters: readonly NamedResource[];
  readonly ads: ADSConfig | undefined;
  /** The whole file as it was understood, for /config_dump. */
  readonly resource: Readonly<Record<string, unknown>>;
}

export interface ADSConfig {
  /** The static cluster that the control plane is reached by. */
  readonly cluster: string;
  /** By delta ADS, or by its older form. */
  readonly isDelta: boolean;
  /** Which of the two come from there. */
  readonly hasListeners: boolean;
  readonly hasClusters: boolean;
}

/** What the command line says besides the file. */
export interface NodeOverrides {
  readonly serviceNode?: string | undefined;
  readonly serviceCluster?: string | undefined;
}

/** Runtime features that change nothing here, because they name what Envoy itself changed. */
const harmlessRuntime = /^(envoy\.reloadable_features|re2|overload)\./;

/** `texts` are merged as Envoy merges -c and --config-yaml: the later one over the earlier. Throws SidecarError. */
export function parseBootstrap(texts: readonly (string | NamedText)[], overrides: NodeOverrides = {}): BootstrapConfig {
  const merged = texts.map(parseText).reduce<unknown>((under, over) => merge(under, over), {});
  const resource = check(merged);
  const reader = new Reader(resource, "");
  const statics = reader.object("static_resources");
  const listeners = named(statics, "listeners");
  const clusters = named(statics, "clusters");
  if (statics?.has("secrets") === true)
    throw statics.unsupported("secrets", "wanted certificates in the transport socket itself (tls_certificates)");
  statics?.done();
  const config: BootstrapConfig = {
    node: readNode(reader.object("node"), overrides),
    admin: readAdmin(reader.object("admin")),
    listeners,
    clusters,
    ads: readDynamic(reader.object("dynamic_resources"), clusters),
    resource,
  };
  readRuntime(reader);
  readHarmless(reader);
  reader.done();
  return config;
}

/** Objects field by field, lists one behind the other, as protobuf merges messages. */
function merge(under: unknown, over: unknown): unknown {
  if (Array.isArray(under) && Array.isArray(over)) return [...(under as unknown[]), ...(over as unknown[])];
  if (!isObject(under) || !isObject(over)) return over;
  const merged: Record<string, unknown> = { ...under };
  for (const [name, value] of Object.entries(over))
    merged[name] = Object.hasOwn(merged, name) ? merge(merged[name], value) : value;
  return merged;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function check(value: unknown): Readonly<Record<string, unknown>> {
  try {
    return checkMessage("envoy.config.bootstrap.v3.Bootstrap", value);
  } catch (error) {
    throw new SidecarError("BAD_BOOTSTRAP", `Cannot read ${messageOf(error)}`, { cause: error });
  }
}

function named(statics: Reader | undefined, field: "listeners" | "clusters"): readonly NamedResource[] {
  const raw = (statics?.raw(field) ?? []) as readonly unknown[];
  const seen = new Set<string>();
  return (statics?.list(field) ?? []).map((entry, at) => {
    const given = entry.text("name") ?? "";
    const name = given || (field === "listeners" ? `listener_${at}` : "");
    if (name === "") throw entry.bad("name", "it is empty");
    if (seen.has(name)) throw entry.bad("name", `${JSON.stringify(name)} is there twice`);
    seen.add(name);
    const title = given === "" ? undefined : `${field.slice(0, -1)} ${JSON.stringify(given)}`;
    return { name, resource: { ...(raw[at] as object), name }, place: { path: entry.path, title } };
  });
}

function readNode(node: Reader | undefined, { serviceNode, serviceCluster }: NodeOverrides): BootstrapConfig["node"] {
  const id = serviceNode ?? node?.text("id") ?? "";
  const cluster = serviceCluster ?? node?.text("cluster") ?? "";
  const metadata = node?.raw("metadata");
  // Where the proxy runs is for the control plane, which is told by its metadata.
  node?.ignore("id", "cluster", "locality", "user_agent_name").done();
  return { id, cluster, metadata: isObject(metadata) ? metadata : {} };
}

function readAdmin(admin: Reader | undefined): SocketAddress | undefined {
  if (admin === undefined) return undefined;
  const address = admin.object("address");
  // Profiles are not taken, and the admin is under no limit of connections anyway.
  admin.ignore("profile_path", "ignore_global_conn_limit").done();
  return address === undefined ? undefined : readSocketAddress(address);
}

function readDynamic(dynamic: Reader | undefined, clusters: readonly NamedResource[]): ADSConfig | undefined {
  if (dynamic === undefined) return undefined;
  const hasListeners = isFromADS(dynamic.object("lds_config"));
  const hasClusters = isFromADS(dynamic.object("cds_config"));
  const ads = dynamic.object("ads_config");
  dynamic.done();
  if (ads === undefined) {
    if (hasListeners || hasClusters)
      throw dynamic.bad("ads_config", "it is not there, but lds_config or cds_config uses it");
    return undefined;
  }
  const type = ads.oneOf("api_type", ["DELTA_GRPC", "GRPC", "AGGREGATED_DELTA_GRPC", "AGGREGATED_GRPC"]);
  ads.oneOf("transport_api_version", ["V3"]);
  const [service, second] = ads.list("grpc_services");
  if (service === undefined || second !== undefined) throw ads.bad("grpc_services", "wanted exactly one");
  const grpc = service.object("envoy_grpc");
  if (grpc === undefined) throw service.unsupported("google_grpc", "wanted envoy_grpc with a static cluster");
  const cluster = grpc.wantText("cluster_name");
  grpc.done();
  // Time limits of single calls do not go with a stream.
  service.ignore("timeout").done();
  // A stream names its node once, whatever is asked for.
  ads.ignore("set_node_on_first_message_only").done();
  if (!clusters.some(({ name }) => name === cluster))
    throw grpc.bad("cluster_name", `${JSON.stringify(cluster)} is not among static_resources.clusters`);
  return { cluster, isDelta: type !== "GRPC" && type !== "AGGREGATED_GRPC", hasListeners, hasClusters };
}

function isFromADS(source: Reader | undefined): boolean {
  if (source === undefined) return false;
  if (!source.isSet("ads")) throw source.unsupported("ads", "only ADS is supported as a source");
  source.ignore("ads", "resource_api_version").allow("initial_fetch_timeout", ["15s"], "wanted 15s").done();
  return true;
}

/** Static layers may only say what has no effect here; there is no runtime to look values up in. */
function readRuntime(reader: Reader): void {
  const runtime = reader.object("layered_runtime");
  for (const layer of runtime?.list("layers") ?? []) {
    layer.ignore("name", "admin_layer");
    for (const source of ["disk_layer", "rtds_layer"])
      if (layer.isSet(source)) throw layer.unsupported(source, "wanted static_layer or admin_layer");
    const values = layer.raw("static_layer");
    for (const key of flatKeys(isObject(values) ? values : {}, ""))
      if (!harmlessRuntime.test(key))
        throw layer.unsupported("static_layer", `runtime key ${key} is not supported (values stand in the fields)`);
    layer.done();
  }
  runtime?.done();
}

function flatKeys(values: Readonly<Record<string, unknown>>, prefix: string): readonly string[] {
  return Object.entries(values).flatMap(([key, value]) =>
    isObject(value) ? flatKeys(value, `${prefix}${key}.`) : [`${prefix}${key}`],
  );
}

function readHarmless(reader: Reader): void {
  // Statistics are read when they are asked for, so there is nothing to flush; watchdogs look after Envoy's threads,
  // the memory allocator is of its process; tags of statistics and buckets are those of Envoy's defaults.
  reader.ignore("stats_flush_interval", "watchdog", "watchdogs", "memory_allocator_manager");
  const stats = reader.object("stats_config");
  stats?.flag("use_all_default_tags");
  stats?.done();
  const manager = reader.object("cluster_manager");
  // Clusters cost next to nothing before their first request, so that there is nothing to defer.
  manager?.ignore("enable_deferred_cluster_creation").done();
  const overload = reader.object("overload_manager");
  if (overload !== undefined) readOverload(overload);
}

const connectionsMonitor =
  "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig";

/** Only the limit of downstream connections, which is there without being asked for. */
function readOverload(reader: Reader): void {
  // Of no effect without monitors.
  reader.ignore("refresh_interval");
  for (const monitor of reader.list("resource_monitors")) {
    const type = monitor.ignore("name").wantObject("typed_config");
    type.oneOf("@type", [connectionsMonitor]);
    throw monitor.unsupported("typed_config", "limits are fixed: 16384 downstream connections");
  }
  reader.done();
}
