/**
 * Whose turn it is, as a Cluster configures it → BalancingPolicy and its surroundings. Pure.
 *
 *   Reader of a Cluster ─▶ readBalancing() ─▶ cluster.ts
 *
 * Source: envoy.config.cluster.v3.Cluster (lb_policy, *_lb_config, common_lb_config, lb_subset_config) and
 * envoy.extensions.load_balancing_policies.
 */
import type { BalancingPolicy } from "../balance/balancer.ts";
import type { SlowStart } from "../balance/slow-start.ts";
import type { SubsetSpec } from "../balance/subsets.ts";
import type { ClusterSpec } from "../cluster.ts";
import type { Reader } from "./reader.ts";

export type Balancing = Required<Pick<ClusterSpec, "policy" | "panicThreshold" | "weighsLocalities">> &
  Pick<ClusterSpec, "subsets">;

/** How hosts are known to consistent hashing. */
export interface HashKeys {
  readonly byHostname: boolean;
}

/** Percent. */
const panicThresholdDefault = 50;
const extensionPrefix = "type.googleapis.com/envoy.extensions.load_balancing_policies.";

export function readBalancing(cluster: Reader, isOriginalDst: boolean): Balancing & { readonly hashKeys: HashKeys } {
  const names = [
    "ROUND_ROBIN",
    "LEAST_REQUEST",
    "RING_HASH",
    "RANDOM",
    "MAGLEV",
    "CLUSTER_PROVIDED",
    "LOAD_BALANCING_POLICY_CONFIG",
  ] as const;
  const name = cluster.oneOf("lb_policy", names) ?? "ROUND_ROBIN";
  if ((name === "CLUSTER_PROVIDED") !== isOriginalDst)
    throw cluster.bad("lb_policy", `${name} ${isOriginalDst ? "does not go" : "goes only"} with type ORIGINAL_DST`);
  const roundRobin = cluster.object("round_robin_lb_config");
  const leastRequest = cluster.object("least_request_lb_config");
  const ringHash = cluster.object("ring_hash_lb_config");
  const maglev = cluster.object("maglev_lb_config");
  const extensions = cluster.object("load_balancing_policy");
  const legacy = readLegacy(name, { roundRobin, leastRequest, ringHash, maglev });
  const policy = extensions === undefined ? legacy : readExtension(extensions);
  const common = cluster.object("common_lb_config");
  const panic = common?.object("healthy_panic_threshold");
  // There, and without a value, it is 0: proto3 does not send zeros.
  const panicThreshold = panic === undefined ? panicThresholdDefault : (panic.number("value", 0) ?? 0);
  const weighsLocalities = common?.object("locality_weighted_lb_config") !== undefined;
  const hashing = common?.object("consistent_hashing_lb_config");
  const byHostname = hashing?.flag("use_hostname_for_hashing") ?? false;
  hashing?.done();
  // Updates take effect at once here, and streams in flight keep their endpoint.
  common?.ignore("update_merge_window").done();
  return {
    policy,
    panicThreshold,
    weighsLocalities,
    subsets: readSubsets(cluster.object("lb_subset_config")),
    hashKeys: { byHostname },
  };
}

interface LegacyConfigs {
  readonly roundRobin: Reader | undefined;
  readonly leastRequest: Reader | undefined;
  readonly ringHash: Reader | undefined;
  readonly maglev: Reader | undefined;
}

function readLegacy(name: string, { roundRobin, leastRequest, ringHash, maglev }: LegacyConfigs): BalancingPolicy {
  switch (name) {
    case "LEAST_REQUEST":
      return readLeastRequest(leastRequest);
    case "RING_HASH":
      return readRingHash(ringHash);
    case "MAGLEV":
      return readMaglev(maglev);
    case "RANDOM":
      return { kind: "random" };
    default:
      return readRoundRobin(roundRobin);
  }
}

/** The first policy that is known, as Envoy takes it. */
function readExtension(reader: Reader): BalancingPolicy {
  const policies = reader.list("policies");
  reader.done();
  const names: string[] = [];
  for (const policy of policies) {
    const config = policy.wantObject("typed_extension_config").wantObject("typed_config");
    const type = config.text("@type") ?? "";
    names.push(type);
    switch (type) {
      case `${extensionPrefix}round_robin.v3.RoundRobin`:
        return readRoundRobin(config);
      case `${extensionPrefix}least_request.v3.LeastRequest`:
        return readLeastRequest(config);
      case `${extensionPrefix}random.v3.Random`:
        config.done();
        return { kind: "random" };
      case `${extensionPrefix}ring_hash.v3.RingHash`:
        return readRingHash(config);
      case `${extensionPrefix}maglev.v3.Maglev`:
        return readMaglev(config);
      case "type.googleapis.com/wherry.v1.PeakEWMA":
        config.done();
        return { kind: "peakEWMA" };
    }
  }
  throw reader.unsupported("policies", `${names.join(", ") || "it is empty"}, wanted a policy that is known`);
}

function readRoundRobin(reader: Reader | undefined): BalancingPolicy {
  const slowStart = readSlowStart(reader);
  reader?.done();
  return { kind: "roundRobin", slowStart };
}

function readLeastRequest(reader: Reader | undefined): BalancingPolicy {
  const choiceCount = reader?.integer("choice_count", 2) ?? 2;
  const bias = reader?.object("active_request_bias");
  const activeRequestBias = bias?.number("default_value", 0) ?? 1;
  bias?.ignore("runtime_key").done();
  const slowStart = readSlowStart(reader);
  reader?.done();
  return { kind: "leastRequest", slowStart, choiceCount, activeRequestBias };
}

function readSlowStart(reader: Reader | undefined): SlowStart | undefined {
  const config = reader?.object("slow_start_config");
  if (config === undefined) return undefined;
  const windowMs = config.durationMs("slow_start_window") ?? 0;
  const aggression = config.object("aggression")?.ignore("runtime_key").number("default_value", 0) ?? 1;
  if (aggression === 0) throw config.bad("aggression", "it is zero, wanted more");
  const weightMin = (config.object("min_weight_percent")?.number("value", 0) ?? 10) / 100;
  config.done();
  return windowMs === 0 ? undefined : { windowMs, aggression, weightMin };
}

const ringSizeMax = 8_388_608;

function readRingHash(reader: Reader | undefined): BalancingPolicy {
  const sizeMin = reader?.integer("minimum_ring_size", 1) ?? 1024;
  const sizeMax = reader?.integer("maximum_ring_size", 1) ?? ringSizeMax;
  if (sizeMin > sizeMax || sizeMax > ringSizeMax)
    throw reader?.bad("maximum_ring_size", `wanted ${sizeMin} to ${ringSizeMax}`) ?? new Error("no ring");
  reader?.oneOf("hash_function", ["DEFAULT_HASH", "XX_HASH"]);
  reader?.done();
  return { kind: "ringHash", sizeMin, sizeMax };
}

const tableSizeMax = 5_000_011;

function readMaglev(reader: Reader | undefined): BalancingPolicy {
  const tableSize = reader?.integer("table_size", 3) ?? 65_537;
  if (reader !== undefined && (tableSize > tableSizeMax || !isPrime(tableSize)))
    throw reader.bad("table_size", `${tableSize} is not a prime of at most ${tableSizeMax}`);
  reader?.done();
  return { kind: "maglev", tableSize };
}

function isPrime(number: number): boolean {
  for (let divisor = 2; divisor * divisor <= number; divisor++) if (number % divisor === 0) return false;
  return number > 1;
}

const fallbacks = { NO_FALLBACK: "none", ANY_ENDPOINT: "any", DEFAULT_SUBSET: "default" } as const;

function readSubsets(reader: Reader | undefined): SubsetSpec | undefined {
  if (reader === undefined) return undefined;
  const fallback = reader.oneOf("fallback_policy", ["NO_FALLBACK", "ANY_ENDPOINT", "DEFAULT_SUBSET"]) ?? "NO_FALLBACK";
  const selectors = reader.list("subset_selectors").map((selector) => {
    const keys = [...selector.texts("keys")].sort();
    selector.done();
    return keys;
  });
  const defaultSubset = metadataTexts(reader.raw("default_subset"));
  reader.done();
  return selectors.length === 0 ? undefined : { fallback: fallbacks[fallback], defaultSubset, selectors };
}

/** A Struct as key → JSON text, so that values are compared by what they say. */
export function metadataTexts(value: unknown): ReadonlyMap<string, string> {
  if (typeof value !== "object" || value === null) return new Map();
  return new Map(Object.entries(value).map(([key, each]) => [key, JSON.stringify(each)]));
}
