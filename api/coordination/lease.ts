/** Lease: who holds something, until when. Nodes renew theirs to show that they live. */
import type { KubeObject } from "../meta.ts";
import type { Kind } from "../schema/kind.ts";
import { int, object, string, time } from "../schema/schema.ts";

export interface Lease extends KubeObject {
  readonly spec?: {
    readonly holderIdentity?: string;
    readonly leaseDurationSeconds?: number;
    /** RFC 3339 with microseconds. */
    readonly acquireTime?: string;
    readonly renewTime?: string;
    readonly leaseTransitions?: number;
  };
}

/** Where nodes renew their Leases. */
export const nodeLeaseNamespace = "kube-node-lease";

export const leases: Kind<Lease> = {
  group: "coordination.k8s.io",
  version: "v1",
  kind: "Lease",
  plural: "leases",
  singular: "lease",
  shortNames: [],
  namespaced: true,
  nameFormat: "dnsSubdomain",
  schema: object({
    spec: object(
      {
        holderIdentity: string(),
        leaseDurationSeconds: int({ min: 1 }),
        acquireTime: time(),
        renewTime: time(),
        leaseTransitions: int({ min: 0 }),
        strategy: string({ unsupported: true }),
        preferredHolder: string({ unsupported: true }),
      },
      { default: {} },
    ),
  }),
};
