/** When an endpoint leaves: watched as a proxy would watch it. */
import { endpointSlices } from "#api/discovery/endpointslice.ts";
import type { TestCluster } from "./cluster.ts";

export interface Leaving {
  /** Resource version of the slice in which the address is no longer ready. */
  readonly resourceVersion: bigint;
  /** Milliseconds since the watch was begun. */
  readonly ms: number;
}

/** Waits until `address` is no longer ready among the endpoints of a Service of the default namespace. */
export async function watchLeaving(cluster: TestCluster, service: string, address: string): Promise<Leaving> {
  const startMs = performance.now();
  const stopped = new AbortController();
  const client = cluster.connect();
  try {
    const labelSelector = `kubernetes.io/service-name=${service}`;
    const options = { namespace: "default", labelSelector, resourceVersion: "0" };
    for await (const { type, object } of client.watch(endpointSlices, options, stopped.signal)) {
      if (type !== "ADDED" && type !== "MODIFIED") continue;
      const isReady = object.endpoints.some(
        ({ addresses, conditions }) => addresses.includes(address) && conditions?.ready === true,
      );
      if (isReady) continue;
      return { resourceVersion: BigInt(object.metadata.resourceVersion ?? ""), ms: performance.now() - startMs };
    }
    throw new Error(`the watch of ${service} ended while ${address} was ready`);
  } finally {
    stopped.abort();
    await client.close();
  }
}
