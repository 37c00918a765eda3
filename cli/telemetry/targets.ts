/**
 * Objects → Prometheus' target groups, with the very labels that its Kubernetes service discovery gives. Pure.
 *
 *   Pods, Nodes, EndpointSlices ─▶ podTargets(), nodeTargets(), endpointSliceTargets() ─▶ discovery.ts
 *
 * Debian builds Prometheus without Kubernetes service discovery; what is here stands in for it, so that the same
 * relabelling works with either. Source: Prometheus' documentation of kubernetes_sd_config and http_sd_config.
 */
import type { Node } from "#api/core/node.ts";
import type { Pod } from "#api/core/pod.ts";
import type { EndpointSlice } from "#api/discovery/endpointslice.ts";
import { type KubeObject, controllerOf } from "#api/meta.ts";

/** One entry of an HTTP service discovery answer. */
export interface TargetGroup {
  readonly targets: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
}

const meta = "__meta_kubernetes";

/** Role `pod`: a target for each port that a container declares, one without a port where it declares none. */
export function podTargets(pods: readonly Pod[]): readonly TargetGroup[] {
  return pods.flatMap((pod) => {
    const { status, spec } = pod;
    if (status?.podIP === undefined) return [];
    const { podIP } = status;
    const labels = podLabels(pod);
    return spec.containers.flatMap((container) => {
      const own = {
        ...labels,
        [`${meta}_pod_container_name`]: container.name,
        [`${meta}_pod_container_image`]: container.image ?? "",
        [`${meta}_pod_container_init`]: "false",
      };
      const ports = container.ports ?? [];
      if (ports.length === 0) return [{ targets: [podIP], labels: own }];
      return ports.map(({ name = "", containerPort, protocol = "TCP" }) => ({
        targets: [`${podIP}:${containerPort}`],
        labels: {
          ...own,
          [`${meta}_pod_container_port_name`]: name,
          [`${meta}_pod_container_port_number`]: String(containerPort),
          [`${meta}_pod_container_port_protocol`]: protocol,
        },
      }));
    });
  });
}

/** Role `node`: its kubelet. */
export function nodeTargets(nodes: readonly Node[]): readonly TargetGroup[] {
  return nodes.flatMap((node) => {
    const addresses = node.status?.addresses ?? [];
    const host = addresses.find(({ type }) => type === "InternalIP")?.address;
    if (host === undefined) return [];
    const port = node.status?.daemonEndpoints?.kubeletEndpoint?.Port ?? 10_250;
    return [
      {
        targets: [`${host}:${port}`],
        labels: {
          instance: node.metadata.name,
          [`${meta}_node_name`]: node.metadata.name,
          ...objectLabels("node", node),
          ...Object.fromEntries(addresses.map(({ type, address }) => [`${meta}_node_address_${type}`, address])),
        },
      },
    ];
  });
}

/** Role `endpointslice`: a target for each address and port. */
export function endpointSliceTargets(slices: readonly EndpointSlice[]): readonly TargetGroup[] {
  return slices.flatMap((slice) =>
    (slice.ports ?? []).flatMap(({ name = "", port = 0, protocol = "TCP" }) =>
      slice.endpoints.map(({ addresses, conditions }) => ({
        targets: addresses.map((address) => `${address}:${port}`),
        labels: {
          [`${meta}_namespace`]: slice.metadata.namespace ?? "",
          [`${meta}_endpointslice_name`]: slice.metadata.name,
          [`${meta}_endpointslice_address_type`]: slice.addressType,
          [`${meta}_endpointslice_port_name`]: name,
          [`${meta}_endpointslice_port`]: String(port),
          [`${meta}_endpointslice_port_protocol`]: protocol,
          [`${meta}_endpointslice_endpoint_conditions_ready`]: String(conditions?.ready ?? true),
          ...objectLabels("endpointslice", slice),
        },
      })),
    ),
  );
}

function podLabels(pod: Pod): Readonly<Record<string, string>> {
  const { metadata, spec, status } = pod;
  const owner = controllerOf(pod);
  const ready = status?.conditions?.find(({ type }) => type === "Ready")?.status;
  return {
    [`${meta}_namespace`]: metadata.namespace ?? "",
    [`${meta}_pod_name`]: metadata.name,
    [`${meta}_pod_uid`]: metadata.uid ?? "",
    [`${meta}_pod_ip`]: status?.podIP ?? "",
    [`${meta}_pod_host_ip`]: status?.hostIP ?? "",
    [`${meta}_pod_node_name`]: spec.nodeName ?? "",
    [`${meta}_pod_phase`]: status?.phase ?? "",
    [`${meta}_pod_ready`]: ready === undefined ? "unknown" : ready.toLowerCase(),
    ...(owner === undefined
      ? {}
      : { [`${meta}_pod_controller_kind`]: owner.kind, [`${meta}_pod_controller_name`]: owner.name }),
    ...objectLabels("pod", pod),
  };
}

/** Labels and annotations, each with the one that says that it is there, for empty values exist. */
function objectLabels(role: string, { metadata }: KubeObject): Readonly<Record<string, string>> {
  const found: Record<string, string> = {};
  const add = (kind: "label" | "annotation", values: Readonly<Record<string, string>> | undefined): void => {
    for (const [name, value] of Object.entries(values ?? {})) {
      const safe = name.replaceAll(/[^a-zA-Z0-9_]/g, "_");
      found[`${meta}_${role}_${kind}_${safe}`] = value;
      found[`${meta}_${role}_${kind}present_${safe}`] = "true";
    }
  };
  add("label", metadata.labels);
  add("annotation", metadata.annotations);
  return found;
}
