/**
 * Who is behind an address: one `wherry.v1.Workload` resource for each pod that has an address, named by the address.
 * Sidecar hosts label metrics with it (Istio's source_* and destination_* labels), and nodes find the pods that
 * NetworkPolicies mean.
 */

export const workloadTypeUrl = "type.googleapis.com/wherry.v1.Workload";

export interface WorkloadResource {
  readonly address: string;
  readonly namespace: string;
  readonly podName: string;
  /** The owning Deployment's name, else the controller's, else the pod's. */
  readonly workloadName: string;
  readonly serviceAccount: string;
  /** Label `app`, or empty. */
  readonly app: string;
  /** Label `version`, or empty. */
  readonly version: string;
  /** Label service.istio.io/canonical-name, app.kubernetes.io/name, app, else the workload's name. */
  readonly canonicalService: string;
  /** Label service.istio.io/canonical-revision, app.kubernetes.io/version, version, else "latest". */
  readonly canonicalRevision: string;
  readonly nodeName: string;
  /** The pod's labels, which NetworkPolicies select by. Always there in a push, as are the next two. */
  readonly labels?: Readonly<Record<string, string>>;
  /** Container ports that have a name. */
  readonly namedPorts?: readonly WorkloadPort[];
  /** Whether the address is the node's. */
  readonly hostNetwork?: boolean;
}

export interface WorkloadPort {
  readonly name: string;
  readonly protocol: "TCP" | "UDP" | "SCTP";
  readonly port: number;
}
