/**
 * Envoy's RouteConfiguration → RouteTable. Pure.
 *
 *   RDS, a listener's inline route_config or a file ─▶ compileRoutes() ─▶ route/table.ts
 *
 * Source: envoy.config.route.v3.RouteConfiguration. Invariant: domains are unique over all virtual hosts, lower case.
 */
import type { HeaderMutations, PerFilter, RetryPolicy } from "../route/types.ts";
import { type CompiledVirtualHost, RouteTable } from "../route/table.ts";
import { readMutations } from "./headers.ts";
import { readCorsPolicy, readPerFilter } from "./per-filter.ts";
import { readMirrors } from "./mirrors.ts";
import { readRateLimits } from "./rate-limits.ts";
import { readMetadata } from "./metadata.ts";
import { Reader } from "./reader.ts";
import { readHedge, readRetryPolicy } from "./retry.ts";
import { type HostContext, readRoute } from "./route-entry.ts";

/** `path`: of a listener's inline route_config. */
export function compileRoutes(resource: unknown, path?: string): RouteTable {
  const reader = new Reader(resource, path ?? "RouteConfiguration");
  const name = reader.text("name") ?? "";
  const domains = new Set<string>();
  const table = {
    request: readMutations(reader, "request"),
    response: readMutations(reader, "response"),
    perFilter: readPerFilter(reader, new Map()),
    mostSpecificWins: reader.flag("most_specific_header_mutations_wins") ?? false,
    bodyBytesMax: reader.integer("max_direct_response_body_size_bytes", 0) ?? bodyBytesMaxDefault,
  };
  const hosts = reader.list("virtual_hosts").map((host) => readHost(host, domains, table));
  const ignoresPort = reader.flag("ignore_port_in_host_matching") ?? false;
  // By RDS, clusters may come later than the routes that name them: they are looked up for each request.
  if (path === undefined) reader.allow("validate_clusters", [false], "clusters are looked up for each request");
  const validatesClusters = path !== undefined && (reader.flag("validate_clusters") ?? true);
  reader.done();
  return new RouteTable(name, hosts, { path: reader.path, ignoresPort, validatesClusters });
}

/** Envoy's default for the body of a direct response, in bytes. */
const bodyBytesMaxDefault = 4096;

interface TableContext {
  readonly request: HeaderMutations | undefined;
  readonly response: HeaderMutations | undefined;
  readonly perFilter: PerFilter;
  readonly mostSpecificWins: boolean;
  readonly bodyBytesMax: number;
}

function readHost(reader: Reader, seen: Set<string>, table: TableContext): CompiledVirtualHost {
  const name = reader.wantText("name");
  const domains = readDomains(reader, seen);
  const requireTLS = reader.oneOf("require_tls", ["NONE", "EXTERNAL_ONLY", "ALL"]) ?? "NONE";
  const context = readHostContext(reader, name, table);
  const routes = reader.list("routes").map((route) => readRoute(route, context));
  // Virtual clusters are for statistics alone.
  reader.ignore("virtual_clusters").done();
  return { name, domains, routes, requireTLS };
}

function readHostContext(reader: Reader, name: string, table: TableContext): HostContext {
  const retry = reader.object("retry_policy");
  const hedge = reader.object("hedge_policy");
  const perFilter = new Map(readPerFilter(reader, table.perFilter));
  const cors = readCorsPolicy(reader, perFilter);
  if (cors !== undefined) perFilter.set(cors.filter, cors.policy);
  const policy: RetryPolicy | undefined = retry === undefined ? undefined : readRetryPolicy(retry);
  return {
    name,
    metadata: readMetadata(reader),
    table: { request: table.request, response: table.response },
    host: { request: readMutations(reader, "request"), response: readMutations(reader, "response") },
    mostSpecificWins: table.mostSpecificWins,
    bodyBytesMax: table.bodyBytesMax,
    perFilter,
    retry: policy,
    hedgesOnTimeout: hedge === undefined ? false : readHedge(hedge),
    mirrors: readMirrors(reader),
    rateLimits: readRateLimits(reader),
    countsAttempts: reader.flag("include_request_attempt_count") ?? false,
    tellsAttempts: reader.flag("include_attempt_count_in_response") ?? false,
    tellsTimeoutRetry: false,
  };
}

function readDomains(reader: Reader, seen: Set<string>): readonly string[] {
  const domains = reader.texts("domains").map((domain) => domain.toLowerCase());
  if (domains.length === 0) throw reader.bad("domains", "it is empty, wanted at least one");
  for (const domain of domains) {
    if (seen.has(domain)) throw reader.bad("domains", `${JSON.stringify(domain)} is there twice`);
    const star = domain.indexOf("*");
    const isWildcard = star === 0 || star === domain.length - 1;
    if (domain === "" || (star >= 0 && (!isWildcard || domain.lastIndexOf("*") !== star)))
      throw reader.bad("domains", `${JSON.stringify(domain)} has a * that is not alone at an end`);
    seen.add(domain);
  }
  return domains;
}
