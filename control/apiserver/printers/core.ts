/** The columns of nodes, namespaces, configuration, accounts, events and leases. Pure. */
import type { Lease } from "#api/coordination/lease.ts";
import type { ConfigMap } from "#api/core/configmap.ts";
import type { Event } from "#api/core/event.ts";
import type { Namespace } from "#api/core/namespace.ts";
import type { Node } from "#api/core/node.ts";
import type { Secret } from "#api/core/secret.ts";
import type { KubeObject } from "#api/meta.ts";
import { ageOf, column, formatSince, orNone, type Printer, wide } from "./printer.ts";

const rolePrefix = "node-role.kubernetes.io/";

export const nodePrinter: Printer = {
  columns: [
    column("Name"),
    column("Status"),
    column("Roles"),
    column("Age"),
    column("Version"),
    wide("Internal-IP"),
    wide("External-IP"),
    wide("OS-Image"),
    wide("Kernel-Version"),
    wide("Container-Runtime"),
  ],
  cells: (object: KubeObject, nowMs: number) => {
    const { metadata, spec, status } = object as Node;
    const ready = status?.conditions?.find(({ type }) => type === "Ready")?.status;
    const words = [ready === undefined ? "Unknown" : ready === "True" ? "Ready" : "NotReady"];
    if (spec?.unschedulable === true) words.push("SchedulingDisabled");
    const roles = Object.keys(metadata.labels ?? {}).filter((label) => label.startsWith(rolePrefix));
    const addressOf = (type: string): string | undefined =>
      status?.addresses?.find((address) => address.type === type)?.address;
    const unknown = (text: string | undefined): string => (text === undefined || text === "" ? "<unknown>" : text);
    return [
      metadata.name,
      words.join(","),
      orNone(
        roles
          .map((label) => label.slice(rolePrefix.length))
          .sort()
          .join(","),
      ),
      ageOf(object, nowMs),
      status?.nodeInfo?.["kubeletVersion"] ?? "",
      orNone(addressOf("InternalIP")),
      orNone(addressOf("ExternalIP")),
      unknown(status?.nodeInfo?.["osImage"]),
      unknown(status?.nodeInfo?.["kernelVersion"]),
      unknown(status?.nodeInfo?.["containerRuntimeVersion"]),
    ];
  },
};

export const namespacePrinter: Printer = {
  columns: [column("Name"), column("Status"), column("Age")],
  cells: (object: KubeObject, nowMs: number) => [
    object.metadata.name,
    (object as Namespace).status?.phase ?? "",
    ageOf(object, nowMs),
  ],
};

export const configMapPrinter: Printer = {
  columns: [column("Name"), column("Data", "integer"), column("Age")],
  cells: (object: KubeObject, nowMs: number) => {
    const { metadata, data = {}, binaryData = {} } = object as ConfigMap;
    return [metadata.name, Object.keys(data).length + Object.keys(binaryData).length, ageOf(object, nowMs)];
  },
};

export const secretPrinter: Printer = {
  columns: [column("Name"), column("Type"), column("Data", "integer"), column("Age")],
  cells: (object: KubeObject, nowMs: number) => {
    const { metadata, type = "", data = {} } = object as Secret;
    return [metadata.name, type, Object.keys(data).length, ageOf(object, nowMs)];
  },
};

export const serviceAccountPrinter: Printer = {
  columns: [column("Name"), column("Secrets", "integer"), column("Age")],
  cells: (object: KubeObject, nowMs: number) => {
    const { secrets } = object as KubeObject & { readonly secrets?: unknown };
    return [object.metadata.name, Array.isArray(secrets) ? secrets.length : 0, ageOf(object, nowMs)];
  },
};

export const leasePrinter: Printer = {
  columns: [column("Name"), column("Holder"), column("Age")],
  cells: (object: KubeObject, nowMs: number) => [
    object.metadata.name,
    (object as Lease).spec?.holderIdentity ?? "",
    ageOf(object, nowMs),
  ],
};

export const eventPrinter: Printer = {
  columns: [
    column("Last Seen"),
    column("Type"),
    column("Reason"),
    column("Object"),
    wide("Subobject"),
    wide("Source"),
    column("Message"),
    wide("First Seen"),
    wide("Count", "integer"),
    wide("Name"),
  ],
  cells: (object: KubeObject, nowMs: number) => {
    const event = object as Event;
    const { involvedObject, source = {}, series, count } = event;
    const first = event.firstTimestamp ?? event.eventTime ?? event.metadata.creationTimestamp;
    const last = series?.lastObservedTime ?? event.lastTimestamp ?? first;
    const kind = (involvedObject.kind ?? "").toLowerCase();
    const component = source.component ?? event.reportingComponent ?? "";
    return [
      formatSince(last, nowMs),
      event.type ?? "",
      event.reason ?? "",
      involvedObject.name === undefined ? kind : `${kind}/${involvedObject.name}`,
      involvedObject.fieldPath ?? "",
      source.host === undefined ? component : `${component}, ${source.host}`,
      (event.message ?? "").trim(),
      formatSince(first, nowMs),
      series?.count ?? count ?? 1,
      event.metadata.name,
    ];
  },
};
