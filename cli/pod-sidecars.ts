/**
 * Gives each sidecar what it needs from outside: listening sockets in the pod's network namespace, a way to dial from
 * there, and its configuration over ADS.
 *
 * Invariant: every socket made here is kept by the launcher from its first moment, and taken over by the next host.
 */
import { type Server, type Socket, createServer } from "node:net";
import type { AdsChannel } from "#api/xds/channel.ts";
import { AdsClient } from "#api/xds/client.ts";
import { typeUrls } from "#api/xds/envoy.ts";
import { toNode } from "#api/xds/node-id.ts";
import type { SidecarSpec } from "#api/wire/sidecar.ts";
import { realClock as clock } from "#lib/clock.ts";
import {
  type DialOptions,
  type NetworkNamespace,
  connectTCP,
  descriptorOf,
  openNamespace,
  originalDestination,
} from "#lib/linux.ts";
import type { Logger } from "#lib/log.ts";
import { systemRandom as random } from "#lib/random.ts";
import type { SidecarHost } from "../sidecar/host.ts";
import type { ConfigSource } from "../sidecar/state.ts";
import { sidecarMark, sidecarPorts } from "../kubelet/pod-network.ts";
import { type Child, listenKept } from "./child.ts";
import type { SidecarHostConfig } from "./ipc.ts";
import type { PublishedPorts } from "./published-ports.ts";

export interface PodSidecarsOptions {
  readonly host: SidecarHost;
  readonly channel: AdsChannel;
  readonly child: Child<SidecarHostConfig>;
  readonly ports: PublishedPorts;
  readonly log: Logger;
}

/** Longest wait for the first configuration before connections are let through without it, in ms. */
const firstConfigMaxMs = 5000;

interface Pod {
  readonly namespace: NetworkNamespace;
  readonly stopped: AbortController;
  readonly detach: () => void;
}

export class PodSidecars {
  readonly #options: PodSidecarsOptions;
  readonly #pods = new Map<string, Pod>();

  constructor(options: PodSidecarsOptions) {
    this.#options = options;
  }

  /** Starts the sidecar of a pod; says `sidecarListening` when it does. A pod that has one is answered when that listens. */
  async add(spec: SidecarSpec): Promise<void> {
    const { host, child, ports } = this.#options;
    if (host.get(spec.podUid) === undefined) {
      const accept = await this.#start(spec);
      await this.#firstConfig(spec);
      if (host.get(spec.podUid) === undefined) return; // Removed meanwhile.
      await accept();
      this.#publish(spec, ports);
    }
    await host.get(spec.podUid)?.listening;
    if (host.get(spec.podUid) !== undefined) child.send({ kind: "sidecarListening", podUid: spec.podUid });
  }

  /**
   * Connections wait in the kernel until the first configuration is in force, so that none is routed by half of it.
   * When the control plane is away for longer, they pass through as without a mesh.
   */
  async #firstConfig({ podUid }: SidecarSpec): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = clock.after(firstConfigMaxMs, resolve);
    await Promise.race([this.#options.host.get(podUid)?.listening, promise]);
    timer.cancel();
  }

  #publish({ podUid, gateway }: SidecarSpec, ports: PublishedPorts): void {
    const sidecar = this.#options.host.get(podUid);
    const pod = this.#pods.get(podUid);
    if (gateway === undefined || sidecar === undefined || pod === undefined) return;
    const detach = ports.attachGateway(gateway, (socket, port) => sidecar.acceptPublished(socket, port));
    this.#pods.set(podUid, { ...pod, detach });
  }

  /** Makes the sidecar; the result starts to accept what is intercepted. */
  async #start(spec: SidecarSpec): Promise<() => Promise<void>> {
    const namespace = openNamespace(spec.netnsPath);
    const stopped = new AbortController();
    this.#pods.set(spec.podUid, { namespace, stopped, detach: () => undefined });
    const listen = (server: Server, name: string, port: number, address = "0.0.0.0"): Promise<void> =>
      listenKept(this.#options.child, server, `${spec.podUid}/${name}`, { namespace, address, port });
    const [metrics, admin, outbound, inbound] = [makeServer(), makeServer(), makeServer(), makeServer()];
    const isGateway = spec.gateway !== undefined;
    try {
      this.#options.host.add(spec, {
        sockets: { metrics, admin, ...(isGateway ? {} : { outbound, inbound }) },
        config: this.#configSource(spec, stopped.signal),
        dial: (address, port, { onread }) => dial(namespace, { address, port, onread }),
        originalDst: destinationOf,
        async listen(port) {
          const server = makeServer();
          await listen(server, `port-${port}`, port);
          return server;
        },
      });
      await listen(metrics, "metrics", sidecarPorts.metrics);
      await listen(admin, "admin", sidecarPorts.admin, "127.0.0.1");
    } catch (error) {
      await this.#options.host.remove(spec.podUid, { drainMs: 0 });
      // Whoever tries again makes new ones.
      for (const name of ["metrics", "admin"])
        this.#options.child.send({ kind: "drop", name: `${spec.podUid}/${name}` });
      this.#pods.delete(spec.podUid);
      namespace.close();
      throw error;
    }
    return async () => {
      if (isGateway) return;
      await listen(outbound, "outbound", sidecarPorts.outbound);
      await listen(inbound, "inbound", sidecarPorts.inbound);
    };
  }

  #configSource(spec: SidecarSpec, signal: AbortSignal): ConfigSource {
    const { channel, log } = this.#options;
    const { podIP, namespace, podName, gateway } = spec;
    const place = { podIP, namespace, podName };
    const node = toNode(gateway === undefined ? { kind: "sidecar", ...place } : { kind: "router", ...place, gateway });
    return {
      subscribe(consumer) {
        const ads = new AdsClient({ target: channel, node, log: log.with({ pod: podName }), clock, random });
        for (const typeUrl of [typeUrls.cluster, typeUrls.endpoint, typeUrls.listener, typeUrls.route]) {
          const isWildcard = typeUrl === typeUrls.cluster || typeUrl === typeUrls.listener;
          ads.subscribe(typeUrl, isWildcard ? "*" : [], {
            apply: (updated, removed) => consumer.apply(typeUrl, updated, removed),
          });
        }
        const closed = new AbortController();
        void ads.run(AbortSignal.any([signal, closed.signal]));
        return { setNames: (typeUrl, names) => ads.setNames(typeUrl, names), close: () => closed.abort() };
      },
    };
  }

  /** Ends a sidecar after its requests in flight; says `sidecarRemoved`. */
  async remove(podUid: string, drainMs: number): Promise<void> {
    const { host, child } = this.#options;
    const pod = this.#pods.get(podUid);
    this.#pods.delete(podUid);
    pod?.detach();
    await host.remove(podUid, { drainMs });
    pod?.stopped.abort();
    pod?.namespace.close();
    child.send({ kind: "sidecarRemoved", podUid });
  }
}

function makeServer(): Server {
  return createServer({ allowHalfOpen: true, noDelay: true });
}

/** A connection from the pod's network that its interception rules let pass. */
function dial(namespace: NetworkNamespace, to: Omit<DialOptions, "namespace" | "mark">): Socket {
  const socket = connectTCP({ namespace, mark: sidecarMark, ...to });
  socket.setNoDelay(true);
  return socket;
}

function destinationOf(socket: Socket): { address: string; port: number } {
  const fd = descriptorOf(socket);
  const destination = fd === undefined ? undefined : originalDestination(fd);
  if (destination === undefined) throw new Error("Cannot find where the connection was going: it was not intercepted");
  return destination;
}
