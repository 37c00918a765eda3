/**
 * What the launcher and the processes it runs say to each other, over Node's IPC channel.
 *
 *   agent ─ sidecarAdd ─▶ launcher ─ sidecarAdd ─▶ sidecar host ─ sidecarListening ─▶ launcher ─▶ agent
 *   any process ─ keep ─▶ launcher (takes a duplicate of the listening socket, gives it to the successor at its start)
 *
 * The launcher outlives every other process, so it is the one that remembers: sockets, and which pods have sidecars.
 */
import type { HostPort, HostPortOutcome } from "#api/wire/host-port.ts";
import type { SidecarSpec } from "#api/wire/sidecar.ts";
import type { ImageMapEntry } from "#api/wire/image.ts";
import type { TracingConfig } from "../sidecar/tracing-config.ts";
import type { Timing } from "./timing.ts";

/** Addresses inside every cluster. */
export const addresses = {
  control: "100.64.0.1",
  apiPort: 6443,
  adsPort: 15010,
  /** Where nodes redirect what leaves the cluster, to their agent. */
  egressPort: 15002,
  /** Where they redirect what is balanced per request, to their agent. */
  requestPort: 15003,
  /** What `node` number n (from 1) has. */
  node: (index: number): string => `100.64.0.${index + 1}`,
  podCIDR: (index: number): string => `10.244.${index}.0/24`,
  podGateway: (index: number): string => `10.244.${index}.1`,
  podsCIDR: "10.244.0.0/16",
  nodesCIDR: "100.64.0.0/16",
  serviceCIDR: "10.96.0.0/16",
  kubernetesService: "10.96.0.1",
  dns: "10.96.0.10",
  /** The node's resolver, too: link-local, the same in each node, as NodeLocal DNSCache has it. */
  dnsLocal: "169.254.20.10",
  /** Stands for the host's loopback, as `host.wherry.internal`. */
  host: "100.64.255.253",
} as const;

/** A port on the host and what answers behind it. */
export interface PublishedPort {
  readonly hostAddress: string;
  readonly hostPort: number;
  readonly kind: "svc" | "gateway";
  readonly namespace: string;
  readonly name: string;
  readonly port: number;
}

export interface ControlConfig {
  readonly cluster: string;
  readonly stateDir: string;
  /** Where the API answers on the host, for the kubeconfig. */
  readonly apiAddress: string;
  readonly nodes: number;
  readonly timing: Timing;
}

export interface AgentConfig {
  readonly cluster: string;
  readonly stateDir: string;
  readonly nodeName: string;
  /** From 1. */
  readonly nodeIndex: number;
  readonly images: readonly ImageMapEntry[];
  readonly published: readonly PublishedPort[];
  readonly timing: Timing;
  /**
   * `ADDR:PORT` of the resolvers for outside names. The agent inherits UDP sockets of the host's network for them, as
   * `upstreamSocketName`.
   */
  readonly dnsUpstreams: readonly string[];
}

/** UDP sockets of the host's network that each agent has, so that a query's port is hard to guess. */
export const upstreamSockets = 4;
export const upstreamSocketName = (index: number): string => `dns-upstream-udp/${index}`;

export interface SidecarHostConfig {
  readonly cluster: string;
  readonly nodeName: string;
  readonly nodeIndex: number;
  readonly published: readonly PublishedPort[];
  /** Absent: nothing is traced. */
  readonly tracing?: TracingConfig | undefined;
}

/** First message to every process. `sockets` maps the names of kept sockets to descriptors that it inherited. */
export interface Start<Config> {
  readonly kind: "start";
  readonly config: Config;
  readonly sockets: Readonly<Record<string, number>>;
}

export type SidecarMessage =
  | { readonly kind: "sidecarAdd"; readonly spec: SidecarSpec }
  | { readonly kind: "sidecarRemove"; readonly podUid: string; readonly drainMs: number }
  | { readonly kind: "sidecarListening"; readonly podUid: string }
  | { readonly kind: "sidecarRemoved"; readonly podUid: string }
  | { readonly kind: "sidecarFailed"; readonly podUid: string; readonly message: string }
  /** Where the host relays a published `svc/` port to; absent address: nowhere yet. */
  | { readonly kind: "relay"; readonly hostPort: number; readonly address?: string; readonly port: number };

/** An agent asks for a connection to outside the cluster. */
export interface EgressRequest {
  readonly kind: "egressConnect";
  readonly id: number;
  /** Who it is for: the pod's address, or empty for the node's resolver, which may reach its upstreams alone. */
  readonly from: string;
  readonly address: string;
  readonly port: number;
}

/** Nobody waits for the answer to the request of that id any more. */
export interface EgressCancel {
  readonly kind: "egressCancel";
  readonly id: number;
}

/** The answer to the request of that id. `egressConnected` carries the connected socket. */
export type EgressAnswer =
  | { readonly kind: "egressConnected"; readonly id: number }
  | { readonly kind: "egressRefused"; readonly id: number; readonly reason: string };

/** The control process wants exactly these ports of the host; the answer has the same id. */
export interface HostPortsRequest {
  readonly kind: "hostPorts";
  readonly id: number;
  readonly ports: readonly HostPort[];
}

export interface HostPortsAnswer {
  readonly kind: "hostPortsDone";
  readonly id: number;
  readonly outcomes: readonly HostPortOutcome[];
}

/** To an agent, with an accepted connection of the host: connect it to this address of the cluster. */
export interface HostConnection {
  readonly kind: "hostConnection";
  readonly address: string;
  readonly port: number;
}

/** From a process to the launcher. */
export type ToLauncher =
  | { readonly kind: "ready" }
  /** Cannot run at all: the message is for the user, and a restart would not help. */
  | { readonly kind: "fatal"; readonly message: string }
  | { readonly kind: "keep"; readonly name: string; readonly fd: number }
  | { readonly kind: "drop"; readonly name: string }
  | EgressRequest
  | EgressCancel
  | HostPortsRequest
  | SidecarMessage;

/** From the launcher to an agent: everything it knows about the node's sidecars, sent once after `start`. */
export interface SidecarTable {
  readonly kind: "sidecarTable";
  readonly sidecars: readonly { readonly spec: SidecarSpec; readonly listening: boolean }[];
}

/** What comes after `start`. */
export type LaterMessage = SidecarMessage | SidecarTable | EgressAnswer | HostPortsAnswer | HostConnection;

export type FromLauncher<Config> = Start<Config> | LaterMessage;
