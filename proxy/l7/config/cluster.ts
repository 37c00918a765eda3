/**
 * Envoy's Cluster and ClusterLoadAssignment → ClusterSpec and EndpointSpec[]. Pure.
 *
 *   CDS, EDS or a file ─▶ compileCluster(), compileEndpoints() ─▶ cluster.ts
 *
 * Source: envoy.config.cluster.v3.Cluster, envoy.config.endpoint.v3.ClusterLoadAssignment.
 */
import { isIP } from "node:net";
import type { ClusterSpec, DNSSpec, ServiceName } from "../cluster.ts";
import type { EndpointSpec } from "../endpoint.ts";
import { readUpstreamTLS } from "../tls/config.ts";
import { type HashKeys, metadataTexts, readBalancing } from "./balancing.ts";
import { readMetadata } from "./metadata.ts";
import { Reader } from "./reader.ts";
import { readAccrual, readHealthChecks, readOutlier, readThresholds } from "./resilience.ts";
import { readUpstream } from "./upstream.ts";

const connectTimeoutMsDefault = 5000;
const portMax = 65_535;

/** `path`: where it stands, for messages. */
export function compileCluster(resource: unknown, path = "Cluster"): ClusterSpec {
  const reader = new Reader(resource, path);
  const name = reader.wantText("name");
  const types = ["EDS", "STATIC", "STRICT_DNS", "LOGICAL_DNS", "ORIGINAL_DST"] as const;
  const type = reader.oneOf("type", types) ?? "STATIC";
  const dns = type === "STRICT_DNS" || type === "LOGICAL_DNS" ? readDNS(reader, type) : undefined;
  const { hashKeys, ...balancing } = readBalancing(reader, type === "ORIGINAL_DST");
  const connectTimeoutMs = reader.durationMs("connect_timeout") ?? connectTimeoutMsDefault;
  if (connectTimeoutMs === 0) throw reader.bad("connect_timeout", "it is zero, wanted more");
  const serviceName = type === "EDS" ? readEDSName(reader, name) : name;
  const assignment = reader.object("load_assignment");
  if (assignment !== undefined && type !== "STATIC" && dns === undefined)
    throw reader.bad("load_assignment", `it does not go with type ${type}`);
  const { endpoints, overprovisioning } =
    assignment === undefined
      ? { endpoints: [], overprovisioning: undefined }
      : readAssignment(assignment, { takesNames: dns !== undefined, hashKeys });
  if (type === "LOGICAL_DNS" && endpoints.length !== 1)
    throw reader.bad("load_assignment", "LOGICAL_DNS wants exactly one endpoint");
  const metadata = reader.object("metadata");
  const service = readService(metadata);
  const accrual = readAccrual(metadata?.object("filter_metadata")?.object("wherry.failure_accrual"));
  const socket = reader.object("transport_socket");
  const tls = socket === undefined ? undefined : readUpstreamTLS(socket);
  const upstream = readUpstream(reader, tls !== undefined);
  const resilience = {
    thresholds: readThresholds(reader),
    outlier: readOutlier(reader),
    healthChecks: readHealthChecks(reader, name),
    accrual,
  };
  // Statistics have their own names here.
  reader.ignore("alt_stat_name").done();
  return {
    name,
    type,
    serviceName,
    connectTimeoutMs,
    service,
    metadata: readMetadata(reader),
    endpoints,
    upstream,
    tls,
    dns,
    ...balancing,
    ...(overprovisioning === undefined ? {} : { overprovisioning }),
    ...resilience,
  };
}

const dnsRefreshMsDefault = 5000;

/** How often and for what the names of a DNS cluster are resolved. */
function readDNS(reader: Reader, type: "STRICT_DNS" | "LOGICAL_DNS"): DNSSpec {
  const families = ["AUTO", "V4_ONLY", "V6_ONLY", "V4_PREFERRED", "ALL"] as const;
  const refreshMs = reader.durationMs("dns_refresh_rate") ?? dnsRefreshMsDefault;
  if (refreshMs <= 0) throw reader.bad("dns_refresh_rate", "it is zero, wanted more");
  const failure = reader.object("dns_failure_refresh_rate");
  const failureMs = failure?.durationMs("base_interval") ?? refreshMs;
  failure
    ?.allow("max_interval", [`${failureMs / 1000}s`], "wanted base_interval: failures are retried at one rate")
    .done();
  reader.allow("respect_dns_ttl", [false], "the system's resolver tells no times to live (wanted dns_refresh_rate)");
  return { type, family: reader.oneOf("dns_lookup_family", families) ?? "AUTO", refreshMs, failureMs };
}

/** The endpoints of a ClusterLoadAssignment, in order. */
export function compileEndpoints(resource: unknown): readonly EndpointSpec[] {
  const options = { takesNames: false, hashKeys: { byHostname: false } };
  return readAssignment(new Reader(resource, "ClusterLoadAssignment"), options).endpoints;
}

function readEDSName(reader: Reader, name: string): string {
  const eds = reader.wantObject("eds_cluster_config");
  const source = eds.wantObject("eds_config");
  if (source.object("ads") === undefined) throw source.unsupported("ads", "only ADS is supported as a source");
  // What is waited for, and how long, is the same for all resources: see sidecar/state.ts.
  source.ignore("resource_api_version").allow("initial_fetch_timeout", ["15s"], "wanted 15s").done();
  const serviceName = eds.text("service_name");
  eds.done();
  return serviceName === undefined || serviceName === "" ? name : serviceName;
}

interface AssignmentOptions {
  /** Addresses may be host names, which are resolved later. */
  readonly takesNames: boolean;
  readonly hashKeys: HashKeys;
}

interface Assignment {
  readonly endpoints: readonly EndpointSpec[];
  /** Percent; undefined: the default. */
  readonly overprovisioning: number | undefined;
}

function readAssignment(reader: Reader, options: AssignmentOptions): Assignment {
  reader.wantText("cluster_name");
  const seen = new Set<string>();
  const endpoints: EndpointSpec[] = [];
  for (const locality of reader.list("endpoints")) {
    const priority = locality.integer("priority", 0) ?? 0;
    const localityWeight = locality.integer("load_balancing_weight", 1) ?? 0;
    const place = readLocality(locality.object("locality"));
    for (const entry of locality.list("lb_endpoints")) {
      const endpoint = readEndpoint(entry, options);
      const key = `${endpoint.address} ${endpoint.port}`;
      if (seen.has(key)) throw entry.bad("endpoint", `${key} is there twice`);
      seen.add(key);
      endpoints.push({ ...endpoint, priority, locality: place, localityWeight });
    }
    locality.done();
  }
  const policy = reader.object("policy");
  const overprovisioning = policy?.integer("overprovisioning_factor", 1);
  policy?.done();
  reader.done();
  return { endpoints, overprovisioning };
}

/** "region/zone/sub_zone"; empty for none. */
function readLocality(reader: Reader | undefined): string {
  if (reader === undefined) return "";
  const parts = ["region", "zone", "sub_zone"].map((name) => reader.text(name) ?? "");
  reader.done();
  return parts.join("/").replace(/\/+$/, "");
}

function readEndpoint(entry: Reader, { takesNames, hashKeys }: AssignmentOptions): Omit<EndpointSpec, "priority"> {
  const endpoint = entry.wantObject("endpoint");
  const socket = endpoint.wantObject("address").wantObject("socket_address");
  const address = socket.wantText("address");
  if (isIP(address) === 0 && !takesNames)
    throw socket.bad("address", `${JSON.stringify(address)} is not an IP address`);
  const port = socket.integer("port_value", 1) ?? 0;
  if (port < 1 || port > portMax) throw socket.bad("port_value", `${port} is not a port, wanted 1 to ${portMax}`);
  socket.allow("protocol", ["TCP"], "wanted TCP").done();
  const hostname = endpoint.text("hostname") || address;
  endpoint.done();
  const health = entry.oneOf("health_status", ["UNKNOWN", "HEALTHY", "UNHEALTHY", "DRAINING", "TIMEOUT", "DEGRADED"]);
  const weight = entry.integer("load_balancing_weight", 1) ?? 1;
  const metadata = entry.object("metadata")?.object("filter_metadata");
  const workload = metadata?.object("istio")?.text("workload") ?? "";
  const lb = metadata?.raw("envoy.lb");
  const filterMetadata = readMetadata(entry);
  entry.done();
  return {
    address,
    port,
    workload,
    isServing: health === undefined || health === "UNKNOWN" || health === "HEALTHY" || health === "DEGRADED",
    ...(health === "DEGRADED" ? { isDegraded: true } : {}),
    hostname,
    ...hashKeyOf(lb, hostname, hashKeys),
    weight,
    ...(lb === undefined ? {} : { metadata: metadataTexts(lb) }),
    ...(filterMetadata === undefined ? {} : { filterMetadata }),
  };
}

/** What consistent hashing knows the endpoint by, where it is not its address: its metadata say it, or its name is it. */
function hashKeyOf(lb: unknown, hostname: string, { byHostname }: HashKeys): { readonly hashKey?: string } {
  const named: unknown = typeof lb === "object" && lb !== null && "hash_key" in lb ? lb.hash_key : undefined;
  if (typeof named === "string" && named !== "") return { hashKey: named };
  return byHostname ? { hashKey: hostname } : {};
}

function readService(metadata: Reader | undefined): ServiceName | undefined {
  const first = metadata?.object("filter_metadata")?.object("istio")?.list("services")[0];
  if (first === undefined) return undefined;
  return {
    host: first.text("host") ?? "",
    name: first.text("name") ?? "",
    namespace: first.text("namespace") ?? "",
  };
}

/** Where something is to listen. */
export interface ListenAddress {
  readonly address: string;
  readonly port: number;
  /** At an IPv6 address: IPv4, too (Envoy's ipv4_compat). */
  readonly takesIPv4: boolean;
}

/** The address and port of a listener or the like. */
export function readSocketAddress(reader: Reader): ListenAddress {
  const socket = reader.wantObject("socket_address");
  const address = socket.wantText("address");
  const port = socket.integer("port_value", 0) ?? 0;
  const takesIPv4 = socket.flag("ipv4_compat") ?? false;
  socket.allow("protocol", ["TCP"], "wanted TCP").done();
  if (isIP(address) === 0) throw socket.bad("address", `${JSON.stringify(address)} is not an IP address`);
  if (port > portMax) throw socket.bad("port_value", `${port} is not a port, wanted 0 to ${portMax}`);
  return { address, port, takesIPv4 };
}
