/**
 * The node's sidecars as the kubelet sees them; who hosts them is not its business.
 */
import type { SidecarSpec } from "#api/wire/sidecar.ts";

export interface Sidecars {
  /** Makes the sidecar of a pod, or finds it; resolves when it listens. Rejects with the sentence why it cannot. */
  add(spec: SidecarSpec): Promise<void>;
  /** Ends it after its requests in flight, at most `drainMs`. */
  remove(podUid: string, drainMs: number): Promise<void>;
}
