/**
 * Columns of `wherry get`, one function a kind; kinds without one show name and age. Pure.
 */
import type { Deployment } from "#api/apps/deployment.ts";
import type { ReplicaSet } from "#api/apps/replicaset.ts";
import type { Node } from "#api/core/node.ts";
import type { ContainerStatus, Pod } from "#api/core/pod.ts";
import type { Service } from "#api/core/service.ts";
import type { EndpointSlice } from "#api/discovery/endpointslice.ts";
import type { Gateway } from "#api/gateway/gateway.ts";
import type { HTTPRoute } from "#api/gateway/httproute.ts";
import type { KubeObject } from "#api/meta.ts";

export type Row = Readonly<Record<string, string>>;

/** The cells of an object between NAME and AGE; `wide` ones come after AGE. */
interface Columns {
  readonly cells: Row;
  readonly wide?: Row;
}

function podReason({ metadata, status }: Pod): string {
  if (metadata.deletionTimestamp !== undefined) return "Terminating";
  const states = (status?.containerStatuses ?? []).map(({ state }) => state);
  const waiting = states.find((state) => state.waiting !== undefined)?.waiting?.reason;
  const terminated = states.find((state) => state.terminated !== undefined)?.terminated?.reason;
  return waiting ?? terminated ?? status?.phase ?? "Pending";
}

const printers: Readonly<Record<string, (object: KubeObject) => Columns>> = {
  Pod: (object) => {
    const pod = object as Pod;
    const statuses: readonly ContainerStatus[] = pod.status?.containerStatuses ?? [];
    const ready = statuses.filter((status) => status.ready).length;
    const restarts = statuses.reduce((sum, status) => sum + status.restartCount, 0);
    return {
      cells: { READY: `${ready}/${pod.spec.containers.length}`, STATUS: podReason(pod), RESTARTS: String(restarts) },
      wide: { IP: pod.status?.podIP ?? "<none>", NODE: pod.spec.nodeName ?? "<none>" },
    };
  },
  Service: (object) => {
    const { spec } = object as Service;
    const ports = (spec.ports ?? []).map(
      ({ port, nodePort, protocol }) => `${port}${nodePort === undefined ? "" : `:${nodePort}`}/${protocol ?? "TCP"}`,
    );
    const selector = Object.entries(spec.selector ?? {}).map(([key, value]) => `${key}=${value}`);
    return {
      cells: {
        TYPE: spec.type ?? "ClusterIP",
        "CLUSTER-IP": spec.clusterIP || "<none>",
        "PORT(S)": ports.join(",") || "<none>",
      },
      wide: { SELECTOR: selector.join(",") || "<none>" },
    };
  },
  Deployment: (object) => {
    const { spec, status } = object as Deployment;
    return {
      cells: {
        READY: `${status?.readyReplicas ?? 0}/${spec.replicas ?? 1}`,
        "UP-TO-DATE": String(status?.updatedReplicas ?? 0),
        AVAILABLE: String(status?.availableReplicas ?? 0),
      },
      wide: { IMAGES: spec.template.spec.containers.map(({ image }) => image ?? "").join(",") },
    };
  },
  ReplicaSet: (object) => {
    const { spec, status } = object as ReplicaSet;
    return {
      cells: {
        DESIRED: String(spec.replicas ?? 1),
        CURRENT: String(status?.replicas ?? 0),
        READY: String(status?.readyReplicas ?? 0),
      },
    };
  },
  Node: (object) => {
    const { spec, status } = object as Node;
    const ready = status?.conditions?.find(({ type }) => type === "Ready")?.status === "True" ? "Ready" : "NotReady";
    const address = status?.addresses?.find(({ type }) => type === "InternalIP")?.address ?? "<none>";
    return {
      cells: {
        STATUS: spec?.unschedulable === true ? `${ready},SchedulingDisabled` : ready,
        VERSION: status?.nodeInfo?.["kubeletVersion"] ?? "",
      },
      wide: { "INTERNAL-IP": address, "POD-CIDR": spec?.podCIDR ?? "<none>" },
    };
  },
  Namespace: (object) => ({ cells: { STATUS: (object as { status?: { phase?: string } }).status?.phase ?? "Active" } }),
  EndpointSlice: (object) => {
    const { addressType, ports = [], endpoints } = object as EndpointSlice;
    const addresses = endpoints.flatMap((endpoint) => endpoint.addresses);
    return {
      cells: {
        ADDRESSTYPE: addressType,
        PORTS: ports.map(({ port }) => String(port)).join(",") || "<unset>",
        ENDPOINTS:
          addresses.slice(0, 3).join(",") + (addresses.length > 3 ? ` + ${addresses.length - 3} more...` : "") ||
          "<unset>",
      },
    };
  },
  Gateway: (object) => {
    const { spec, status } = object as Gateway;
    const programmed = status?.conditions?.find(({ type }) => type === "Programmed")?.status ?? "Unknown";
    return {
      cells: { CLASS: spec.gatewayClassName, ADDRESS: status?.addresses?.[0]?.value ?? "", PROGRAMMED: programmed },
    };
  },
  HTTPRoute: (object) => ({ cells: { HOSTNAMES: ((object as HTTPRoute).spec.hostnames ?? []).join(",") } }),
};

/** The row of an object. `ageMs` undefined: unknown. */
export function rowOf(
  object: KubeObject,
  ageMs: number | undefined,
  { wide, namespaced }: { wide: boolean; namespaced: boolean },
): Row {
  const { cells, wide: more = {} } = printers[object.kind]?.(object) ?? { cells: {} };
  return {
    ...(namespaced ? { NAMESPACE: object.metadata.namespace ?? "" } : {}),
    NAME: object.metadata.name,
    ...cells,
    AGE: ageMs === undefined ? "<unknown>" : formatAge(ageMs),
    ...(wide ? more : {}),
  };
}

/** As kubectl: two units where the first is small. */
export function formatAge(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 10) return seconds % 60 === 0 ? `${minutes}m` : `${minutes}m${seconds % 60}s`;
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 8) return minutes % 60 === 0 ? `${hours}h` : `${hours}h${minutes % 60}m`;
  if (hours < 48) return `${hours}h`;
  return `${Math.floor(hours / 24)}d`;
}

/** Rows under their heads, in columns three blanks apart. */
export function formatTable(rows: readonly Row[]): string {
  const [first] = rows;
  if (first === undefined) return "";
  const heads = Object.keys(first);
  const table = [heads, ...rows.map((row) => heads.map((head) => row[head] ?? ""))];
  const widths = heads.map((_, at) => Math.max(...table.map((cells) => cells[at]?.length ?? 0)));
  return table
    .map(
      (cells) =>
        `${cells
          .map((cell, at) => cell.padEnd((widths[at] ?? 0) + 3))
          .join("")
          .trimEnd()}\n`,
    )
    .join("");
}
