/**
 * What was seen of a running cluster at one moment: plain values, so that what they mean can be decided without
 * effects.
 *
 *   observe.ts (effects) ─▶ Observation ─▶ diagnose.ts (findings), status.ts (state), bug-report.ts
 */
import type { DaemonSet } from "#api/apps/daemonset.ts";
import type { Deployment } from "#api/apps/deployment.ts";
import type { Job } from "#api/batch/job.ts";
import type { Event } from "#api/core/event.ts";
import type { Namespace } from "#api/core/namespace.ts";
import type { Node } from "#api/core/node.ts";
import type { Pod } from "#api/core/pod.ts";
import type { Service } from "#api/core/service.ts";
import type { EndpointSlice } from "#api/discovery/endpointslice.ts";
import type { Gateway } from "#api/gateway/gateway.ts";
import type { HTTPRoute } from "#api/gateway/httproute.ts";
import type { Ingress } from "#api/networking/ingress.ts";
import type { IngressClass } from "#api/networking/ingress-class.ts";
import type { NetworkPolicy } from "#api/networking/network-policy.ts";
import type { LauncherRecord } from "../launcher/state-dir.ts";
import type { ProcessState } from "../launcher/process-states.ts";
import type { SyncPage } from "./sync-page.ts";

export interface ClusterObjects {
  readonly nodes: readonly Node[];
  readonly pods: readonly Pod[];
  readonly services: readonly Service[];
  readonly endpointSlices: readonly EndpointSlice[];
  readonly deployments: readonly Deployment[];
  readonly daemonSets: readonly DaemonSet[];
  readonly jobs: readonly Job[];
  readonly events: readonly Event[];
  readonly gateways: readonly Gateway[];
  readonly httpRoutes: readonly HTTPRoute[];
  readonly ingresses: readonly Ingress[];
  readonly ingressClasses: readonly IngressClass[];
  readonly networkPolicies: readonly NetworkPolicy[];
  readonly namespaces: readonly Namespace[];
}

export type APIState =
  | { readonly kind: "ready" }
  /** It answers, but not with its state. */
  | { readonly kind: "unready"; readonly message: string }
  | { readonly kind: "unreachable"; readonly message: string };

/** What a look from inside a node gave; undefined: as it should be, else why not. */
export interface NodeProbe {
  readonly node: string;
  readonly tables: { readonly missing: boolean; readonly problem: string | undefined };
  readonly service: string | undefined;
  readonly dns: string | undefined;
  readonly upstream: string | undefined;
}

/** What a sidecar's own admin page says. */
export interface SidecarProbe {
  readonly namespace: string;
  readonly pod: string;
  /** Undefined: it is live. */
  readonly problem: string | undefined;
}

export interface Certificate {
  readonly name: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

export interface Observation {
  readonly cluster: string;
  readonly nowMs: number;
  /** By how much the system's clock was set since the cluster started, in ms; positive: forward. */
  readonly clockShiftMs: number;
  readonly record: LauncherRecord;
  readonly processes: readonly ProcessState[];
  readonly api: APIState;
  /** Why a small write was refused; undefined: it was not, or not tried. */
  readonly writeProblem: string | undefined;
  readonly sync: SyncPage | undefined;
  readonly certificates: readonly Certificate[];
  readonly objects: ClusterObjects;
  readonly nodes: readonly NodeProbe[];
  readonly sidecars: readonly SidecarProbe[];
}

/** Of a cluster whose API does not answer. */
export const noObjects: ClusterObjects = {
  nodes: [],
  pods: [],
  services: [],
  endpointSlices: [],
  deployments: [],
  daemonSets: [],
  jobs: [],
  events: [],
  gateways: [],
  httpRoutes: [],
  ingresses: [],
  ingressClasses: [],
  networkPolicies: [],
  namespaces: [],
};
