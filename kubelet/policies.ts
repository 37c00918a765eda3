/**
 * The node's NetworkPolicies as the kubelet sees them; who enforces them is not its business.
 */
import type { Pod } from "#api/core/pod.ts";

export interface Policies {
  /**
   * Resolves once what the pod at `podIP` calls, and is called by, is judged by the policies that select it: at once when
   * none does. Rejects with the sentence why it is not. Can be repeated.
   */
  admit(pod: Pod, podIP: string): Promise<void>;
  /** The address is not the pod's any more. */
  release(podUid: string): void;
}

/** Where nobody enforces any. */
export const noPolicies: Policies = { admit: () => Promise.resolve(), release: () => undefined };
