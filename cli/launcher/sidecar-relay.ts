/**
 * Remembers which pods of a node have sidecars, and carries that between the node's agent and its sidecar host.
 *
 * When the host starts again it is told every sidecar; when the agent starts again it is told what is listening. So the
 * crash of one never needs the other.
 */
import type { SidecarSpec } from "#api/wire/sidecar.ts";
import type { Logger } from "#lib/log.ts";
import type { SidecarMessage, SidecarTable, ToLauncher } from "../ipc.ts";
import type { DescriptorStore } from "./descriptors.ts";

interface Entry {
  readonly spec: SidecarSpec;
  readonly listening: boolean;
}

/** The part of a supervised process that the relay needs. */
export interface RelayPeer {
  readonly descriptors: DescriptorStore;
  send(message: SidecarMessage | SidecarTable): void;
}

export class SidecarRelay {
  readonly #log: Logger;
  readonly #sidecars = new Map<string, Entry>();
  readonly #relays = new Map<number, SidecarMessage>();
  #agent: Pick<RelayPeer, "send"> | undefined;
  #host: RelayPeer | undefined;

  constructor(log: Logger) {
    this.#log = log;
  }

  connect(agent: Pick<RelayPeer, "send">, host: RelayPeer): void {
    this.#agent = agent;
    this.#host = host;
  }

  /** Drops the sockets of pods that went while the host was down, so that a new one does not hold on to their networks. */
  hostStarts(): void {
    for (const [socket] of this.#host?.descriptors.entries() ?? []) {
      const owner = socket.slice(0, socket.indexOf("/"));
      if (owner !== "published" && !this.#sidecars.has(owner)) this.#host?.descriptors.drop(socket);
    }
  }

  /** Tells a new host everything. */
  hostStarted(): void {
    for (const { spec } of this.#sidecars.values()) this.#host?.send({ kind: "sidecarAdd", spec });
    for (const relay of this.#relays.values()) this.#host?.send(relay);
  }

  /** Tells a new agent what there is. */
  agentStarted(): void {
    this.#agent?.send({ kind: "sidecarTable", sidecars: [...this.#sidecars.values()] });
  }

  fromAgent(message: ToLauncher): void {
    if (message.kind === "sidecarAdd") {
      const known = this.#sidecars.get(message.spec.podUid);
      this.#sidecars.set(message.spec.podUid, { spec: message.spec, listening: known?.listening ?? false });
      this.#host?.send(message);
    } else if (message.kind === "sidecarRemove") {
      this.#sidecars.delete(message.podUid);
      this.#host?.send(message);
    } else if (message.kind === "relay") {
      this.#relays.set(message.hostPort, message);
      this.#host?.send(message);
    }
  }

  fromHost(message: ToLauncher): void {
    if (message.kind === "sidecarListening") {
      const entry = this.#sidecars.get(message.podUid);
      if (entry !== undefined) this.#sidecars.set(message.podUid, { ...entry, listening: true });
      this.#agent?.send(message);
    } else if (message.kind === "sidecarRemoved") {
      this.#host?.descriptors.dropAll(`${message.podUid}/`);
      this.#agent?.send(message);
    } else if (message.kind === "sidecarFailed") {
      this.#log.warn("Sidecar failed", { pod: message.podUid, error: message.message });
      this.#agent?.send(message);
    }
  }
}
