/**
 * `wherry check`: whether this system can run a cluster, and whether the cluster that runs is well. Exit 1 when not.
 *
 *   diagnosis/system.ts, diagnosis/observe.ts ─▶ diagnosis/diagnose.ts ─▶ text, JSON
 *
 * Warnings are told and leave the exit status as it is.
 */
import { diagnose } from "./diagnosis/diagnose.ts";
import { type Finding, count, formatFinding } from "./diagnosis/finding.ts";
import type { Observation } from "./diagnosis/observation.ts";
import { observe } from "./diagnosis/observe.ts";
import { type SystemReport, inspectSystem } from "./diagnosis/system.ts";
import { checkClusterName, readRecord, stateDirOf } from "./launcher/state-dir.ts";

/** What `-o json` prints. */
export interface CheckReport {
  /** No error was found. */
  readonly ok: boolean;
  readonly system: readonly Finding[];
  readonly cluster: { readonly name: string; readonly running: boolean; readonly findings: readonly Finding[] };
}

export async function check({ name, output }: { name: string; output: "text" | "json" }): Promise<void> {
  const cluster = checkClusterName(name);
  const system = inspectSystem(process.env, cluster);
  const record = readRecord(stateDirOf(process.env, cluster));
  const seen = record === undefined ? undefined : await observe(cluster, record, { isThorough: true });
  const findings = seen === undefined ? [] : diagnose(seen);
  const ok = ![...system.findings, ...findings].some(({ severity }) => severity === "error");
  const report: CheckReport = {
    ok,
    system: system.findings,
    cluster: { name: cluster, running: seen !== undefined, findings },
  };
  process.stdout.write(output === "json" ? `${JSON.stringify(report)}\n` : formatReport(report, system, seen));
  if (!ok) process.exitCode = 1;
}

function formatReport({ cluster }: CheckReport, system: SystemReport, seen: Observation | undefined): string {
  const met = system.requirements.filter(({ ok }) => ok).map(({ what }) => `  √ ${what}\n`);
  const about = ["system\n", ...met, ...system.findings.map(formatFinding)];
  if (seen === undefined) return [...about, `cluster ${cluster.name} is not running\n`].join("");
  const looked = `  √ looked at ${scopeOf(seen).join(", ")}\n`;
  return [...about, `cluster ${cluster.name}\n`, looked, ...cluster.findings.map(formatFinding)].join("");
}

/** What there was to look at: "nothing wrong" means little without it. */
function scopeOf({ processes, objects, sidecars, certificates }: Observation): string[] {
  const counts: readonly (readonly [number, string])[] = [
    [processes.length, "process"],
    [certificates.length, "certificate"],
    [objects.nodes.length, "node"],
    [objects.pods.length, "pod"],
    [sidecars.length, "sidecar"],
    [objects.services.length, "service"],
  ];
  return counts
    .filter(([number]) => number > 0)
    .map(([number, what]) => (what === "process" && number !== 1 ? `${number} processes` : count(number, what)));
}
