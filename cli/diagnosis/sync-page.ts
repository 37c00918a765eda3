/**
 * The control process's page /debug/sync: what it pushes, and how far each ADS client is with it.
 *
 *   cli/control.ts ─▶ SyncPage ─▶ GET /debug/sync (system:masters) ─▶ observe.ts
 */
import { parseNode } from "#api/xds/node-id.ts";
import type { ClientStatus } from "../../control/push/server.ts";

export interface SyncPage {
  /** Revision of the snapshot: what a client that is in sync was pushed last is not newer. */
  readonly revision: number;
  /** Whether every kind was listed once; nothing is pushed before. */
  readonly synced: boolean;
  /** Owner ("service:default/a") → why it cannot be translated. */
  readonly problems: Readonly<Record<string, string>>;
  readonly clients: readonly ClientStatus[];
}

/** A client with its types added up, named as people name it. */
export interface ClientSync {
  /** `node1/proxy,dns`, `node1/sidecars`, `default/productpage-v1-…` */
  readonly name: string;
  readonly kind: "proxy,dns" | "sidecars" | "sidecar" | "gateway";
  readonly state: "in sync" | "behind" | "rejects";
  /** Since when it is connected, in ms ago. */
  readonly connectedMs: number;
  /** Resources that it holds. */
  readonly resources: number;
  /** Names that wait to be told. */
  readonly pending: number;
  readonly nacks: number;
  /** Newest revision that it was pushed and that it acknowledged, any type. */
  readonly pushedVersion?: number;
  readonly ackedVersion?: number;
  /** Time of the last push, in ms ago. */
  readonly pushedAgoMs?: number;
  /** What it says is wrong; empty when nothing is. */
  readonly rejection: string;
}

const serviceType = /wherry\.v1\.Service$/;

/** The clients of the page, by name. */
export function clientsOf(page: SyncPage): readonly ClientSync[] {
  return page.clients.map(toClient).sort((a, b) => (a.name < b.name ? -1 : 1));
}

function toClient(client: ClientStatus): ClientSync {
  const { types, connectedMs, nodeId } = client;
  const sum = (read: (type: ClientStatus["types"][number]) => number): number =>
    types.reduce((total, type) => total + read(type), 0);
  const newest = (values: readonly (number | undefined)[], pick: (...all: number[]) => number): number | undefined => {
    const known = values.filter((value) => value !== undefined);
    return known.length === 0 ? undefined : pick(...known);
  };
  const pending = sum((type) => type.pending);
  const rejection = types.map(({ nackMessage }) => nackMessage).find((message) => message !== "") ?? "";
  const isBehind = pending > 0 || types.some(({ outstanding }) => outstanding);
  const pushedVersion = newest(
    types.map((type) => type.pushedVersion),
    Math.max,
  );
  const ackedVersion = newest(
    types.map((type) => type.ackedVersion),
    Math.max,
  );
  const pushedAgoMs = newest(
    types.map((type) => type.pushedAgoMs),
    Math.min,
  );
  return {
    ...nameOf(
      nodeId,
      types.some(({ typeUrl }) => serviceType.test(typeUrl)),
    ),
    state: rejection !== "" ? "rejects" : isBehind ? "behind" : "in sync",
    connectedMs,
    resources: sum((type) => type.resources),
    pending,
    nacks: sum((type) => type.nacks),
    ...(pushedVersion === undefined ? {} : { pushedVersion }),
    ...(ackedVersion === undefined ? {} : { ackedVersion }),
    ...(pushedAgoMs === undefined ? {} : { pushedAgoMs }),
    rejection,
  };
}

/** The two streams of a node ask for different types: Services for proxy and DNS, workloads for the sidecar host. */
function nameOf(nodeId: string, asksForServices: boolean): Pick<ClientSync, "name" | "kind"> {
  // A router's identifier is whole only with metadata, which the page does not have; its name is in the third part.
  const [role = "", , pod = ""] = nodeId.split("~");
  if (role === "node") {
    const id = parseNode({ id: nodeId, cluster: "" });
    const kind = asksForServices ? "proxy,dns" : "sidecars";
    return { name: `${id.kind === "node" ? id.nodeName : nodeId}/${kind}`, kind };
  }
  const dot = pod.lastIndexOf(".");
  const name = `${pod.slice(dot + 1)}/${pod.slice(0, dot)}`;
  return { name, kind: role === "router" ? "gateway" : "sidecar" };
}
