/** `wherry check`: whether this system can run a cluster, and whether the cluster that runs is well. Exit 1 when not. */
import { messageOf } from "#lib/errors.ts";
import { checkClusterName, readRecord, stateDirOf } from "./launcher/state-dir.ts";
import { type Finding, probe, realSystem } from "./preflight.ts";
import { readStatus } from "./status.ts";

export async function check({ name, output }: { name: string; output: "text" | "json" }): Promise<void> {
  const cluster = checkClusterName(name);
  const system = probe(realSystem(process.env));
  const running = readRecord(stateDirOf(process.env, cluster)) !== undefined;
  const health = running ? await checkCluster(cluster) : [];
  if (output === "json") {
    process.stdout.write(`${JSON.stringify({ system, cluster: { name: cluster, running, findings: health } })}\n`);
  } else {
    process.stdout.write(section("system", system));
    process.stdout.write(running ? section(`cluster ${cluster}`, health) : `cluster ${cluster} is not running\n`);
  }
  if ([...system, ...health].some(({ ok }) => !ok)) process.exitCode = 1;
}

async function checkCluster(cluster: string): Promise<Finding[]> {
  try {
    const { nodes = [], pods, deployments } = await readStatus(cluster);
    const nodesDown = nodes.filter(({ ready }) => !ready).map(({ name }) => name);
    const short = (deployments?.total ?? 0) - (deployments?.available ?? 0);
    return [
      { what: "API server answers", ok: true, hint: "" },
      finding("every node is ready", nodesDown.length === 0, `${nodesDown.join(", ")} (see: wherry get nodes)`),
      finding(
        "every pod is ready",
        pods?.notReady.length === 0,
        `${pods?.notReady.join(", ")} (see: wherry get pods -A)`,
      ),
      finding("every deployment is available", short === 0, `${short} short of replicas (see: wherry get deploy -A)`),
    ];
  } catch (error) {
    return [finding("API server answers", false, messageOf(error))];
  }
}

function finding(what: string, ok: boolean, hint: string): Finding {
  return { what, ok, hint: ok ? "" : hint };
}

function section(title: string, findings: readonly Finding[]): string {
  const lines = findings.map(({ what, ok, hint }) => `  ${ok ? "√" : "×"} ${what}${ok ? "" : `: ${hint}`}\n`);
  return `${title}\n${lines.join("")}`;
}
