/**
 * The Node object: registered at start, kept alive by a heartbeat, registered again when somebody deleted it.
 */
import { arch, cpus, release, totalmem } from "node:os";
import type { KubeClient } from "#api/client/client.ts";
import { type Node, nodes } from "#api/core/node.ts";
import { type Condition, formatTime } from "#api/meta.ts";
import { isAlreadyExists, isNotFound } from "#api/status.ts";
import type { Clock } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";

export interface NodeFacts {
  readonly name: string;
  readonly internalIP: string;
  readonly podCIDR: string;
  /** Where the kubelet's API listens. */
  readonly kubeletPort: number;
}

const heartbeatMs = 10_000;
const podsMax = 110;

/** Registers the node and keeps its heartbeat until `signal` aborts. The first registration is retried until it works. */
export async function keepNode(
  facts: NodeFacts,
  { client, clock, log, signal }: { client: KubeClient; clock: Clock; log: Logger; signal: AbortSignal },
): Promise<void> {
  let delayMs = 100;
  while (!signal.aborted) {
    try {
      await beat(facts, client, clock.nowMs());
      delayMs = heartbeatMs;
    } catch (error) {
      log.debug("Node heartbeat failed", { node: facts.name, error: messageOf(error) });
      delayMs = Math.min(delayMs * 2, 1000);
    }
    await clock.sleep(delayMs, signal).catch(() => undefined); // Aborted: the loop's condition sees it.
  }
}

async function beat(facts: NodeFacts, client: KubeClient, nowMs: number): Promise<void> {
  const status = nodeStatus(facts, nowMs);
  try {
    await client.patchStatus(nodes, { name: facts.name }, { status });
  } catch (error) {
    if (!isNotFound(error)) throw error;
    await register(facts, client);
    await client.patchStatus(nodes, { name: facts.name }, { status });
  }
}

async function register({ name, podCIDR }: NodeFacts, client: KubeClient): Promise<void> {
  const platform = arch() === "x64" ? "amd64" : arch();
  const labels = { "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": platform };
  const node: Node = {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name, labels },
    spec: { podCIDR, podCIDRs: [podCIDR] },
  };
  try {
    await client.create(nodes, node);
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
  }
}

function nodeStatus({ name, internalIP, kubeletPort }: NodeFacts, nowMs: number): NonNullable<Node["status"]> {
  const memory = `${Math.floor(totalmem() / 1024)}Ki`;
  const resources = { cpu: String(cpus().length), memory, pods: String(podsMax) };
  const ready: Condition & { lastHeartbeatTime: string } = {
    type: "Ready",
    status: "True",
    reason: "KubeletReady",
    message: "kubelet is posting ready status",
    lastHeartbeatTime: formatTime(nowMs),
  };
  return {
    capacity: resources,
    allocatable: resources,
    conditions: [ready],
    addresses: [
      { type: "InternalIP", address: internalIP },
      { type: "Hostname", address: name },
    ],
    daemonEndpoints: { kubeletEndpoint: { Port: kubeletPort } },
    nodeInfo: {
      architecture: arch() === "x64" ? "amd64" : arch(),
      operatingSystem: "linux",
      kernelVersion: release(),
      kubeletVersion: "v1.35.0+wherry",
      containerRuntimeVersion: "wherry://0.1.0",
      osImage: "linux",
    },
  };
}
