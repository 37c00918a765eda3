/**
 * Where published `svc/` ports lead: the ClusterIP of the Service they name, told to the sidecar host whenever it changes.
 */
import type { ServiceResource } from "#api/wire/service.ts";
import type { PublishedPort, SidecarMessage } from "./ipc.ts";

export class ServiceRelays {
  readonly #ports: readonly PublishedPort[];
  readonly #send: (message: SidecarMessage) => void;

  constructor(ports: readonly PublishedPort[], send: (message: SidecarMessage) => void) {
    this.#ports = ports.filter(({ kind }) => kind === "svc");
    this.#send = send;
  }

  apply(
    updated: readonly { readonly name: string; readonly resource: ServiceResource }[],
    removed: readonly string[],
  ): void {
    for (const { hostPort, namespace, name, port } of this.#ports) {
      const key = `${namespace}/${name}`;
      const service = updated.find((candidate) => candidate.name === key)?.resource;
      const [address] = service?.clusterIPs ?? [];
      if (address !== undefined) this.#send({ kind: "relay", hostPort, address, port });
      else if (removed.includes(key)) this.#send({ kind: "relay", hostPort, port });
    }
  }
}
