/**
 * Istio's labels: who called whom. Resolved once for each (peer, cluster, endpoint), never for each request.
 *
 *   SidecarSpec, WorkloadResource, cluster and endpoint metadata ─▶ Workload, Service ─▶ formatLabels() ─▶ metrics.ts
 *
 * Source: Istio standard metrics; names and order are those of a real sidecar (reference/l7.md section 2a).
 */
import type { SidecarSpec } from "#api/wire/sidecar.ts";
import type { WorkloadResource } from "#api/wire/workload.ts";
import type { Cluster, ServiceName } from "#proxy/l7/cluster.ts";
import type { Direction } from "#proxy/l7/context.ts";
import type { SpanOrigin } from "./tracing-span.ts";

/** How the user agent of a kubelet's probe starts. Probes are nobody's requests: not counted, and no reason for a trace. */
export const probeAgent = "kube-probe/";
const unknown = "unknown";
/** The one cluster's name in Istio's multi-cluster labels. */
const clusterName = "Kubernetes";

/** One side of a request. */
export interface Workload {
  readonly name: string;
  readonly namespace: string;
  readonly app: string;
  readonly version: string;
  readonly canonicalService: string;
  readonly canonicalRevision: string;
  readonly cluster: string;
}

export const unknownWorkload: Workload = {
  name: unknown,
  namespace: unknown,
  app: unknown,
  version: unknown,
  canonicalService: unknown,
  canonicalRevision: "latest",
  cluster: unknown,
};

export function workloadOfSpec(spec: SidecarSpec): Workload {
  const { labels } = spec;
  const app = labels["app"] ?? "";
  const version = labels["version"] ?? "";
  return {
    name: spec.workloadName,
    namespace: spec.namespace,
    app,
    version,
    canonicalService:
      labels["service.istio.io/canonical-name"] || labels["app.kubernetes.io/name"] || app || spec.workloadName,
    canonicalRevision:
      labels["service.istio.io/canonical-revision"] || labels["app.kubernetes.io/version"] || version || "latest",
    cluster: clusterName,
  };
}

/** Whose spans a sidecar's are: OpenTelemetry's resource conventions, and counters at zero. */
export function originOf(spec: SidecarSpec): SpanOrigin {
  const { canonicalService, canonicalRevision } = workloadOfSpec(spec);
  return {
    resource: {
      "service.name": canonicalService,
      "service.namespace": spec.namespace,
      "service.version": canonicalRevision,
      "service.instance.id": spec.podUid,
      "k8s.namespace.name": spec.namespace,
      "k8s.pod.name": spec.podName,
      "k8s.pod.uid": spec.podUid,
      "k8s.deployment.name": spec.workloadName,
    },
    counters: { exported: 0, dropped: 0, failed: 0 },
  };
}

export function workloadOfResource(resource: WorkloadResource | undefined): Workload {
  if (resource === undefined) return unknownWorkload;
  return {
    name: resource.workloadName,
    namespace: resource.namespace,
    app: resource.app,
    version: resource.version,
    canonicalService: resource.canonicalService,
    canonicalRevision: resource.canonicalRevision,
    cluster: clusterName,
  };
}

/**
 * From `istio.workload` metadata ("name;namespace;canonical service;canonical revision;cluster"), which has no app and
 * version.
 */
export function workloadOfMetadata(text: string): Workload {
  const [name, namespace, service, revision, cluster] = text.split(";");
  if (name === undefined || name === "") return unknownWorkload;
  return {
    name,
    namespace: namespace || unknown,
    app: service || unknown,
    version: revision || unknown,
    canonicalService: service || unknown,
    canonicalRevision: revision || "latest",
    cluster: cluster || clusterName,
  };
}

/** The service that a cluster stands for. A cluster without metadata (passthrough) goes by its own name. */
export function serviceOf(cluster: Cluster | undefined): ServiceName {
  const service = cluster?.spec.service;
  if (service !== undefined) return service;
  return { host: unknown, name: cluster?.name ?? unknown, namespace: unknown };
}

export interface LabelSet {
  readonly direction: Direction;
  readonly source: Workload;
  readonly destination: Workload;
  readonly service: ServiceName;
  readonly protocol: "http" | "grpc" | "tcp";
  /** HTTP only. */
  readonly status: number;
  /** gRPC only; empty: there was none. */
  readonly grpcStatus: string;
  readonly flag: string;
}

/** The label list between braces, in Istio's order. */
export function formatLabels(set: LabelSet): string {
  const { source, destination, service } = set;
  const isInbound = set.direction === "inbound";
  const isHTTP = set.protocol !== "tcp";
  const pairs: readonly (readonly [string, string])[] = [
    ["reporter", isInbound ? "destination" : "source"],
    ["source_workload", source.name],
    ["source_canonical_service", source.canonicalService],
    ["source_canonical_revision", source.canonicalRevision],
    ["source_workload_namespace", source.namespace],
    ["source_principal", unknown],
    ["source_app", source.app],
    ["source_version", source.version],
    ["source_cluster", source.cluster],
    ["destination_workload", destination.name],
    ["destination_workload_namespace", destination.namespace],
    ["destination_principal", unknown],
    ["destination_app", destination.app],
    ["destination_version", destination.version],
    ["destination_service", service.host],
    ["destination_canonical_service", destination.canonicalService],
    ["destination_canonical_revision", destination.canonicalRevision],
    ["destination_service_name", service.name],
    ["destination_service_namespace", service.namespace],
    ["destination_cluster", destination.cluster],
    ["request_protocol", set.protocol],
    ...(isHTTP
      ? ([
          ["response_code", String(set.status)],
          ["grpc_response_status", set.grpcStatus],
        ] as const)
      : []),
    ["response_flags", set.flag],
    // Only the destination can know; the source says unknown in Istio, too.
    ["connection_security_policy", isInbound ? "none" : unknown],
  ];
  return pairs.map(([name, value]) => `${name}="${escapeLabel(value)}"`).join(",");
}

function escapeLabel(value: string): string {
  return value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}
