/** `wherry status`: which clusters run, and of one its nodes and pods. */
import { deployments } from "#api/apps/deployment.ts";
import { type Node, nodes } from "#api/core/node.ts";
import { isPodFinished, isPodReady, pods } from "#api/core/pod.ts";
import { connect } from "./connect.ts";
import { checkClusterName, readRecord, stateDirOf } from "./launcher/state-dir.ts";

export interface ClusterStatus {
  readonly name: string;
  readonly running: boolean;
  readonly api?: string;
  readonly published?: readonly string[];
  readonly nodes?: readonly { readonly name: string; readonly ready: boolean }[];
  readonly pods?: { readonly ready: number; readonly total: number; readonly notReady: readonly string[] };
  readonly deployments?: { readonly available: number; readonly total: number };
}

export async function status({ name, output }: { name: string; output: "text" | "json" }): Promise<void> {
  const found = await readStatus(checkClusterName(name));
  process.stdout.write(output === "json" ? `${JSON.stringify(found)}\n` : formatStatus(found));
  if (!found.running) process.exitCode = 1;
}

/** What can be seen of a cluster from outside. */
export async function readStatus(name: string): Promise<ClusterStatus> {
  const record = readRecord(stateDirOf(process.env, name));
  if (record === undefined) return { name, running: false };
  const client = connect(name);
  try {
    const [nodeList, podList, deploymentList] = await Promise.all([
      client.list(nodes),
      client.list(pods),
      client.list(deployments),
    ]);
    const live = podList.items.filter((pod) => !isPodFinished(pod) && pod.metadata.deletionTimestamp === undefined);
    const notReady = live
      .filter((pod) => !isPodReady(pod))
      .map(({ metadata }) => `${metadata.namespace}/${metadata.name}`);
    const available = deploymentList.items.filter(
      ({ spec, status }) => (status?.availableReplicas ?? 0) >= (spec.replicas ?? 1),
    );
    return {
      name,
      running: true,
      api: `https://${record.apiAddress}`,
      published: record.published.map(
        (port) => `${port.hostAddress}:${port.hostPort} → ${port.kind}/${port.namespace}/${port.name}:${port.port}`,
      ),
      nodes: nodeList.items.map((node) => ({ name: node.metadata.name, ready: isNodeReady(node) })),
      pods: { ready: live.length - notReady.length, total: live.length, notReady },
      deployments: { available: available.length, total: deploymentList.items.length },
    };
  } finally {
    await client.close();
  }
}

function isNodeReady(node: Node): boolean {
  return node.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") === true;
}

function formatStatus(found: ClusterStatus): string {
  if (!found.running) return `Cluster ${found.name} is not running (start it: wherry up --name ${found.name})\n`;
  const { nodes: nodeStates = [], pods: podStates, deployments: deploymentStates, published = [] } = found;
  const lines = [
    `Cluster ${found.name} runs, API on ${found.api}`,
    `  nodes        ${nodeStates.map(({ name, ready }) => `${name} ${ready ? "ready" : "NOT READY"}`).join(", ")}`,
    `  pods         ${podStates?.ready} of ${podStates?.total} ready`,
    ...(podStates?.notReady ?? []).map((pod) => `               not ready: ${pod}`),
    `  deployments  ${deploymentStates?.available} of ${deploymentStates?.total} available`,
    ...published.map((port) => `  published    ${port}`),
    "",
  ];
  return lines.join("\n");
}
