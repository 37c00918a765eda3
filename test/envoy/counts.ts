/**
 * What the admin page counts of some groups of cases, by the name of the statistic.
 *
 *   countedGroups ─▶ runCounts(start) ─▶ counters of the manager and its clusters ─▶ compared with counts.json
 */
import { allCases } from "./cases/all.ts";
import { type Start, runCases } from "./run.ts";

/** Those in which requests end in many places: filters, routes, the router. */
const countedGroups: ReadonlySet<string> = new Set([
  "faults",
  "local-limits",
  "cors",
  "escaped-reject",
  "upgrades-named",
  "connect",
  "plain",
  "health-check",
  "retries",
  "timeouts",
  "hedges",
]);

/**
 * Requests that are left out: of a hedged request whose route's timeout passed Envoy counts each try, and a retry as a
 * success whose time had passed as well.
 */
const uncounted: ReadonlySet<string> = new Set(["hedges/route timeout", "hedges/first fails late"]);

const ofManager = [
  "downstream_rq_total",
  "downstream_rq_active",
  "rq_total",
  "rq_direct_response",
  "no_route",
  "no_cluster",
];
const ofCluster = ["retry", "retry_success", "retry_limit_exceeded", "per_try_timeout", "timeout"];
const counted: readonly string[] = [
  ...ofManager.map((name) => `http.case.${name}`),
  ...["a", "pair", "refused"].flatMap((cluster) => ofCluster.map((name) => `cluster.${cluster}.upstream_rq_${name}`)),
];

export async function runCounts(start: Start): Promise<ReadonlyMap<string, number>> {
  let text = "";
  const groups = allCases
    .filter(({ name }) => countedGroups.has(name))
    .map((group) => ({
      ...group,
      requests: group.requests.filter(({ name }) => !uncounted.has(`${group.name}/${name}`)),
    }));
  await runCases(groups, async (bootstrap, dir) => {
    const proxy = await start(bootstrap, dir);
    const stop = async (): Promise<void> => {
      const url = `http://${proxy.admin}/stats?filter=^(http|cluster)\\.`;
      text = await (await fetch(url, { headers: { connection: "close" } })).text();
      await proxy.stop();
    };
    return { ...proxy, stop };
  });
  const all = new Map(text.split("\n").map((line) => line.split(": ", 2) as [string, string]));
  return new Map(counted.map((name) => [name, Number(all.get(name) ?? 0)]));
}
