/**
 * A sidecar host on loopback for tests: sockets instead of the pod's network, a configuration that the test feeds, and
 * an original destination that the test sets.
 */
import { type Server, type Socket, connect, createServer } from "node:net";
import type { SidecarSocketName, SidecarSpec } from "#api/wire/sidecar.ts";
import type { WorkloadResource } from "#api/wire/workload.ts";
import { typeUrls } from "#api/xds/envoy.ts";
import { type Clock, realClock } from "#lib/clock.ts";
import { silentLogger } from "#lib/log.ts";
import { seededRandom } from "#lib/random.ts";
import { listenOn } from "#proxy/l7/fixture.ts";
import type { SocketAddress } from "#proxy/l7/types.ts";
import { SidecarHost } from "./host.ts";
import type { Sidecar } from "./sidecar.ts";
import type { TracingConfig } from "./tracing-config.ts";
import type { ConfigConsumer, ConfigSource, NamedResource } from "./state.ts";

export const spec: SidecarSpec = {
  podUid: "uid-1",
  namespace: "default",
  podName: "reviews-1",
  podIP: "127.0.0.1",
  netnsPath: "/run/netns/x",
  serviceAccount: "reviews",
  labels: { app: "reviews", version: "v1" },
  workloadName: "reviews",
};

/** A control plane in the hands of the test. */
export class FakeConfig implements ConfigSource {
  readonly names: Map<string, readonly string[]> = new Map();
  isClosed: boolean = false;
  #consumer: ConfigConsumer | undefined;

  subscribe(consumer: ConfigConsumer): {
    setNames: (typeUrl: string, names: readonly string[]) => void;
    close: () => void;
  } {
    this.#consumer = consumer;
    return {
      setNames: (typeUrl, names) => void this.names.set(typeUrl, names),
      close: () => void (this.isClosed = true),
    };
  }

  apply(typeUrl: keyof typeof typeUrls, resources: readonly object[], removed: readonly string[] = []): void {
    const updated: NamedResource[] = resources.map((resource) => {
      const { name, cluster_name } = resource as { name?: string; cluster_name?: string };
      return { name: name ?? cluster_name ?? "", resource };
    });
    this.#consumer!.apply(typeUrls[typeUrl], updated, removed);
  }
}

export interface Pod extends AsyncDisposable {
  readonly host: SidecarHost;
  readonly sidecar: Sidecar;
  readonly config: FakeConfig;
  readonly ports: Readonly<Record<SidecarSocketName, number>>;
  readonly gatewayPorts: Map<number, number>;
  /** Where the next connections were going. */
  destination: SocketAddress;
}

export async function startPod(options: {
  readonly clock?: Clock;
  readonly gateway?: string;
  readonly workloads?: readonly WorkloadResource[];
  readonly tracing?: TracingConfig;
}): Promise<Pod> {
  const sockets: Record<SidecarSocketName, Server> = {
    outbound: createServer(),
    inbound: createServer(),
    admin: createServer(),
    metrics: createServer(),
  };
  const ports = { outbound: 0, inbound: 0, admin: 0, metrics: 0 };
  for (const name of Object.keys(sockets) as SidecarSocketName[]) ports[name] = await listenOn(sockets[name]);
  const config = new FakeConfig();
  const gatewayPorts = new Map<number, number>();
  const host = new SidecarHost({
    clock: options.clock ?? realClock,
    random: seededRandom(1),
    log: silentLogger,
    tracing: options.tracing,
    workloadOf: (address) => options.workloads?.find((workload) => workload.address === address),
  });
  const pod: { destination: SocketAddress } = { destination: { address: "127.0.0.1", port: 1 } };
  const sidecar = host.add(options.gateway === undefined ? spec : { ...spec, gateway: options.gateway }, {
    sockets,
    config,
    dial: (address, port, dialOptions) => connect({ host: address, port, ...dialOptions }),
    originalDst: (_socket: Socket) => pod.destination,
    listen: async (port) => {
      const server = createServer();
      gatewayPorts.set(port, await listenOn(server));
      return server;
    },
  });
  return Object.assign(pod, {
    host,
    sidecar,
    config,
    ports,
    gatewayPorts,
    async [Symbol.asyncDispose]() {
      await host.remove(spec.podUid, { drainMs: 0 });
      await host.close();
    },
  });
}

/** The text that a page answers a GET with. */
export async function page(port: number, path: string, method = "GET"): Promise<{ status: number; text: string }> {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { method, headers: { connection: "close" } });
  return { status: response.status, text: await response.text() };
}
