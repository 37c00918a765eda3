/**
 * The node's Lease in kube-node-lease: renewed at a quarter of its duration, it says that the node lives. The node
 * lifecycle controller marks a node whose lease has run out.
 *
 * Follows: k8s.io/component-helpers apimachinery/lease/controller.go.
 */
import type { KubeClient } from "#api/client/client.ts";
import { type Lease, leases } from "#api/coordination/lease.ts";
import { type Node, nodes } from "#api/core/node.ts";
import { isNotFound } from "#api/status.ts";
import type { Clock } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";

const leaseNamespace = "kube-node-lease";

/** Life of a lease that is not renewed, in seconds. The kubelet's nodeLeaseDurationSeconds. */
export const leaseDurationSecondsDefault = 40;

const retryMinMs = 200;
const retryMaxMs = 7000;

export interface NodeLeaseOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly nodeName: string;
  /** In seconds, >= 1. Default 40. */
  readonly durationSeconds?: number | undefined;
}

/** Keeps the lease until `signal` aborts. What fails is tried again: after 200 ms, doubling to 7 s. */
export async function keepLease(options: NodeLeaseOptions, signal: AbortSignal): Promise<void> {
  const { clock, log, nodeName, durationSeconds = leaseDurationSecondsDefault } = options;
  let known: Lease | undefined;
  let failures = 0;
  while (!signal.aborted) {
    try {
      known = await renew(options, durationSeconds, known);
      failures = 0;
    } catch (error) {
      known = undefined;
      failures += 1;
      log.debug("Node lease not renewed", { node: nodeName, error: messageOf(error) });
    }
    const delayMs = failures === 0 ? durationSeconds * 250 : Math.min(retryMinMs * 2 ** (failures - 1), retryMaxMs);
    await clock.sleep(delayMs, signal).catch(() => undefined); // Aborted: the loop's condition sees it.
  }
}

async function renew(
  { client, clock, nodeName }: NodeLeaseOptions,
  durationSeconds: number,
  known: Lease | undefined,
): Promise<Lease> {
  const key = { namespace: leaseNamespace, name: nodeName };
  const lease = known ?? (await orUndefined(client.get(leases, key)));
  const spec = {
    ...lease?.spec,
    holderIdentity: nodeName,
    leaseDurationSeconds: durationSeconds,
    renewTime: formatMicroTime(clock.nowMs()),
  };
  const owner = lease?.metadata.ownerReferences === undefined ? await ownerOf(client, nodeName) : {};
  if (lease !== undefined) return client.update(leases, { ...lease, metadata: { ...lease.metadata, ...owner }, spec });
  const created: Lease = {
    apiVersion: "coordination.k8s.io/v1",
    kind: "Lease",
    metadata: { ...key, ...owner },
    spec,
  };
  return client.create(leases, created);
}

/** The lease goes with its node. Before the node is registered it has no owner, and gets one at a later renewal. */
async function ownerOf(client: KubeClient, nodeName: string): Promise<Pick<Lease["metadata"], "ownerReferences">> {
  const node = await orUndefined<Node>(client.get(nodes, { name: nodeName }));
  const uid = node?.metadata.uid;
  return uid === undefined ? {} : { ownerReferences: [{ apiVersion: "v1", kind: "Node", name: nodeName, uid }] };
}

async function orUndefined<T>(read: Promise<T>): Promise<T | undefined> {
  try {
    return await read;
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

/** RFC 3339 with microseconds, as Kubernetes writes MicroTime. */
export function formatMicroTime(nowMs: number): string {
  return new Date(nowMs).toISOString().replace("Z", "000Z");
}
