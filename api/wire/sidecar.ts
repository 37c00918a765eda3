/**
 * Agent ⇄ sidecar host: which pods get a sidecar, and when it listens. Carried by the launcher, which also keeps the
 * listening sockets, so that neither a crash of the agent nor of the host loses a connection.
 *
 *   kubelet (pod network made) ─▶ SidecarSpec + sockets ─▶ sidecar host ─▶ "listening" ─▶ kubelet starts the containers
 */

export interface SidecarSpec {
  readonly podUid: string;
  readonly namespace: string;
  readonly podName: string;
  readonly podIP: string;
  /** Absolute path of the pod's network namespace file, as seen inside the cluster's mount namespace. */
  readonly netnsPath: string;
  readonly serviceAccount: string;
  readonly labels: Readonly<Record<string, string>>;
  /** The owning Deployment's name, else the controller's, else the pod's. */
  readonly workloadName: string;
  /** "namespace/name" of the Gateway that this pod serves; absent for an application's sidecar. */
  readonly gateway?: string;
}

/** The listening sockets made in the pod's network namespace. A gateway has none of the first two. */
export type SidecarSocketName = "outbound" | "inbound" | "admin" | "metrics";
