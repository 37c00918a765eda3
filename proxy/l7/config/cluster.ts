/**
 * Envoy's Cluster and ClusterLoadAssignment → ClusterSpec and EndpointSpec[]. Pure.
 *
 *   CDS, EDS or a file ─▶ compileCluster(), compileEndpoints() ─▶ cluster.ts
 *
 * Source: envoy.config.cluster.v3.Cluster, envoy.config.endpoint.v3.ClusterLoadAssignment.
 */
import { isIP } from "node:net";
import type { ClusterSpec, ServiceName } from "../cluster.ts";
import type { EndpointSpec } from "../endpoint.ts";
import { ConfigError, Reader } from "./reader.ts";

const connectTimeoutMsDefault = 5000;

export function compileCluster(resource: unknown): ClusterSpec {
  const reader = new Reader(resource, "Cluster");
  const name = reader.wantText("name");
  const type = reader.oneOf("type", ["EDS", "STATIC", "ORIGINAL_DST"]) ?? "STATIC";
  const policy = reader.oneOf("lb_policy", ["ROUND_ROBIN", "CLUSTER_PROVIDED"]) ?? "ROUND_ROBIN";
  if ((policy === "CLUSTER_PROVIDED") !== (type === "ORIGINAL_DST"))
    throw reader.bad("lb_policy", `${policy} does not go with type ${type}`);
  const connectTimeoutMs = reader.durationMs("connect_timeout") ?? connectTimeoutMsDefault;
  if (connectTimeoutMs === 0) throw reader.bad("connect_timeout", "it is zero, wanted more");
  const serviceName = type === "EDS" ? readEDSName(reader, name) : name;
  const assignment = reader.object("load_assignment");
  if (assignment !== undefined && type !== "STATIC")
    throw reader.bad("load_assignment", `it does not go with type ${type}`);
  const endpoints = assignment === undefined ? [] : readAssignment(assignment);
  const service = readService(reader.object("metadata"));
  // Statistics have their own names here.
  reader.ignore("alt_stat_name").done();
  return { name, type, serviceName, connectTimeoutMs, service, endpoints };
}

/** The endpoints of a ClusterLoadAssignment, in order. */
export function compileEndpoints(resource: unknown): readonly EndpointSpec[] {
  return readAssignment(new Reader(resource, "ClusterLoadAssignment"));
}

function readEDSName(reader: Reader, name: string): string {
  const eds = reader.wantObject("eds_cluster_config");
  const source = eds.wantObject("eds_config");
  if (source.object("ads") === undefined) throw source.unsupported("ads", "only ADS is supported as a source");
  source.ignore("resource_api_version", "initial_fetch_timeout").done();
  const serviceName = eds.text("service_name");
  eds.done();
  return serviceName === undefined || serviceName === "" ? name : serviceName;
}

function readAssignment(reader: Reader): readonly EndpointSpec[] {
  reader.wantText("cluster_name");
  const seen = new Set<string>();
  const endpoints: EndpointSpec[] = [];
  for (const locality of reader.list("endpoints")) {
    const priority = locality.integer("priority", 0) ?? 0;
    // Locality weights take effect with locality_weighted_lb_config alone, as in Envoy.
    locality.ignore("locality", "load_balancing_weight");
    for (const entry of locality.list("lb_endpoints")) {
      const endpoint = readEndpoint(entry, priority);
      const key = `${endpoint.address} ${endpoint.port}`;
      if (seen.has(key)) throw entry.bad("endpoint", `${key} is there twice`);
      seen.add(key);
      endpoints.push(endpoint);
    }
    locality.done();
  }
  reader.done();
  return endpoints;
}

function readEndpoint(entry: Reader, priority: number): EndpointSpec {
  const endpoint = entry.wantObject("endpoint");
  const socket = endpoint.wantObject("address").wantObject("socket_address");
  const address = socket.wantText("address");
  if (isIP(address) === 0) throw socket.bad("address", `${JSON.stringify(address)} is not an IP address`);
  const port = socket.integer("port_value", 1) ?? 0;
  if (port < 1 || port > 65_535) throw socket.bad("port_value", "it is not a port");
  socket.ignore("protocol").done();
  endpoint.ignore("hostname").done();
  const health = entry.oneOf("health_status", ["UNKNOWN", "HEALTHY", "UNHEALTHY", "DRAINING", "TIMEOUT", "DEGRADED"]);
  if ((entry.integer("load_balancing_weight", 0) ?? 1) > 1)
    throw entry.unsupported("load_balancing_weight", "endpoints of different weight are not supported, wanted 1");
  const workload = readWorkload(entry.object("metadata"));
  entry.done();
  const isServing = health === undefined || health === "UNKNOWN" || health === "HEALTHY";
  return { address, port, workload, isServing, priority };
}

/** Istio's `istio.workload`. Metadata of others is for others. */
function readWorkload(metadata: Reader | undefined): string {
  return metadata?.object("filter_metadata")?.object("istio")?.text("workload") ?? "";
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

/** The address and port of a listener or the like. */
export function readSocketAddress(reader: Reader): { address: string; port: number } {
  const socket = reader.wantObject("socket_address");
  const address = socket.wantText("address");
  const port = socket.integer("port_value", 0) ?? 0;
  socket.ignore("protocol").done();
  if (isIP(address) === 0 || port > 65_535)
    throw new ConfigError("BAD_VALUE", `Cannot read ${socket.path}: ${address}:${port} is not an address and a port`);
  return { address, port };
}
