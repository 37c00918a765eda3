/** Who a pod is, for metrics and for endpoint metadata: Pod + ReplicaSet → `wherry.v1.Workload`. Pure. */
import { isPodFinished, type Pod } from "#api/core/pod.ts";
import { controllerOf } from "#api/meta.ts";
import type { WorkloadPort, WorkloadResource } from "#api/wire/workload.ts";
import type { Objects } from "./objects.ts";

/** Our single cluster's ID, as Istio's default. */
const clusterID = "Kubernetes";

/** The workload of a pod that has an address and still runs, or undefined. */
export function workloadOf(pod: Pod, objects: Pick<Objects, "replicasets">): WorkloadResource | undefined {
  const address = pod.status?.podIP ?? "";
  // The address of a finished pod may belong to another pod already.
  if (address === "" || isPodFinished(pod)) return undefined;
  const labels = pod.metadata.labels ?? {};
  const workloadName = workloadNameOf(pod, objects);
  return {
    address,
    namespace: pod.metadata.namespace ?? "",
    podName: pod.metadata.name,
    workloadName,
    serviceAccount: pod.spec.serviceAccountName ?? pod.spec.serviceAccount ?? "default",
    app: labels["app"] ?? "",
    version: labels["version"] ?? "",
    canonicalService:
      labels["service.istio.io/canonical-name"] ?? labels["app.kubernetes.io/name"] ?? labels["app"] ?? workloadName,
    canonicalRevision:
      labels["service.istio.io/canonical-revision"] ??
      labels["app.kubernetes.io/version"] ??
      labels["version"] ??
      "latest",
    nodeName: pod.spec.nodeName ?? "",
    labels,
    namedPorts: pod.spec.containers.flatMap(({ ports = [] }) => ports.flatMap((port) => namedPortOf(port) ?? [])),
    hostNetwork: "hostNetwork" in pod.spec && pod.spec.hostNetwork === true,
  };
}

type ContainerPort = NonNullable<Pod["spec"]["containers"][number]["ports"]>[number];

function namedPortOf({ name, protocol = "TCP", containerPort }: ContainerPort): WorkloadPort | undefined {
  if (name === undefined || (protocol !== "TCP" && protocol !== "UDP" && protocol !== "SCTP")) return undefined;
  return { name, protocol, port: containerPort };
}

/** Endpoint metadata `istio.workload`. */
export function formatWorkload(workload: WorkloadResource): string {
  const { workloadName, namespace, canonicalService, canonicalRevision } = workload;
  return `${workloadName};${namespace};${canonicalService};${canonicalRevision};${clusterID}`;
}

/** The owning Deployment's name, else the controller's, else the pod's. */
function workloadNameOf(pod: Pod, { replicasets }: Pick<Objects, "replicasets">): string {
  const owner = controllerOf(pod);
  if (owner === undefined) return pod.metadata.name;
  if (owner.kind !== "ReplicaSet") return owner.name;
  const replicaSet = replicasets.get(`${pod.metadata.namespace}/${owner.name}`);
  return (replicaSet === undefined ? undefined : controllerOf(replicaSet)?.name) ?? owner.name;
}
