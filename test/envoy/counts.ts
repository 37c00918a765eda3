/**
 * What the admin page counts of some groups of cases, by the name of the statistic.
 *
 *   countedGroups ─▶ runCounts(start) ─▶ counters of the connection manager ─▶ compared with counts.json
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
]);

const counted = ["downstream_rq_total", "rq_total", "rq_direct_response", "no_route", "no_cluster"];

export async function runCounts(start: Start): Promise<ReadonlyMap<string, number>> {
  let text = "";
  const groups = allCases.filter(({ name }) => countedGroups.has(name));
  await runCases(groups, async (bootstrap, dir) => {
    const proxy = await start(bootstrap, dir);
    const stop = async (): Promise<void> => {
      const url = `http://${proxy.admin}/stats?filter=^http\\.case\\.`;
      text = await (await fetch(url, { headers: { connection: "close" } })).text();
      await proxy.stop();
    };
    return { ...proxy, stop };
  });
  const all = new Map(text.split("\n").map((line) => line.split(": ", 2) as [string, string]));
  return new Map(counted.map((name) => [name, Number(all.get(`http.case.${name}`) ?? 0)]));
}
