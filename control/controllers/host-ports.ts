/**
 * NodePort and LoadBalancer Services on the host, so that people reach them from outside the cluster.
 *
 *   Services ─▶ wantedHostPorts (pure) ─▶ publish (launcher) ─▶ outcomes ─▶ status.loadBalancer, Warning events
 *
 * A node port is the same port of 127.0.0.1; a load balancer has its own ports there. A port that is taken is told
 * in an event and leaves the load balancer pending, as a cloud without addresses does; it is tried again. Of a
 * Gateway's own Service only the node ports are there: its listeners are published by `-p`. Follows Kubernetes' service controller;
 * ipMode Proxy is KEP-1860's.
 */
import { type Service, services } from "#api/core/service.ts";
import { gatewayNameLabel } from "#api/gateway/gateway.ts";
import { keyOf } from "#api/meta.ts";
import { isEqual } from "#api/schema/read.ts";
import { isNotFound } from "#api/status.ts";
import type { HostPort, HostPortOutcome } from "#api/wire/host-port.ts";
import { type Context, type Controller, createQueue } from "./context.ts";

/** How soon a port that was taken is tried again, in ms. */
const retryMs = 15_000;

/** Binds exactly these ports, and says what became of each. */
export type PublishHostPorts = (wanted: readonly HostPort[]) => Promise<readonly HostPortOutcome[]>;

export interface HostPortsOptions {
  readonly publish: PublishHostPorts;
}

/** The ports that Services of these types have on the host. Of two that want one, the older Service comes first. Pure. */
export function wantedHostPorts(all: readonly Service[]): readonly HostPort[] {
  const age = ({ metadata }: Service): string => `${metadata.creationTimestamp ?? ""} ${metadata.uid ?? ""}`;
  return [...all].sort((a, b) => compare(age(a), age(b))).flatMap(portsOf);
}

function portsOf({ metadata, spec }: Service): HostPort[] {
  const address = spec.clusterIP ?? "";
  const isPublished = spec.type === "NodePort" || spec.type === "LoadBalancer";
  if (!isPublished || address === "" || address === "None") return [];
  const isGateway = metadata.labels?.[gatewayNameLabel] !== undefined;
  const { name, namespace = "" } = metadata;
  return (spec.ports ?? []).flatMap(({ port, protocol = "TCP", nodePort = 0 }): HostPort[] => {
    if (protocol !== "TCP") return [];
    const common = { namespace, name, address, port };
    const balanced: HostPort[] =
      spec.type === "LoadBalancer" && !isGateway ? [{ ...common, kind: "loadBalancer", hostPort: port }] : [];
    return nodePort === 0 ? balanced : [...balanced, { ...common, kind: "nodePort", hostPort: nodePort }];
  });
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** What a load balancer's status says: 127.0.0.1 once one of its ports is bound there. */
export function loadBalancerStatus(
  service: Service,
  outcomes: readonly HostPortOutcome[],
): NonNullable<Service["status"]>["loadBalancer"] {
  const ports = new Set((service.spec.ports ?? []).map(({ port }) => port));
  const { name, namespace } = service.metadata;
  const isBound = outcomes.some(
    (outcome) =>
      outcome.namespace === namespace &&
      outcome.name === name &&
      outcome.problem === undefined &&
      ports.has(outcome.hostPort),
  );
  // Nodes do not answer the address: what listens on the host does.
  return isBound ? { ingress: [{ ip: "127.0.0.1", ipMode: "Proxy" }] } : {};
}

export function createHostPortsController(context: Context, { publish }: HostPortsOptions): Controller {
  const { client, informers } = context;
  const recorder = context.recorder("service-controller");
  /** Services all of whose ports are bound, by uid: that is told once. */
  const bound = new Set<string>();
  // One key: every change looks at all Services that have such ports.
  const queue = createQueue("host-ports", context, async () => {
    const all = informers.services.list();
    const outcomes = await publish(wantedHostPorts(all));
    for (const service of all) {
      const { name, namespace } = service.metadata;
      record(
        service,
        outcomes.filter((each) => each.name === name && each.namespace === namespace),
      );
      await writeStatus(service, outcomes);
    }
    if (outcomes.some(({ problem }) => problem !== undefined)) queue.addAfter("all", retryMs);
  });

  function record(service: Service, outcomes: readonly HostPortOutcome[]): void {
    const { uid = "" } = service.metadata;
    const problems = outcomes.flatMap(({ problem }) => problem ?? []);
    for (const problem of problems) recorder.record(service, "Warning", "HostPortNotPublished", problem);
    const isBound = outcomes.length > 0 && problems.length === 0;
    if (!isBound) bound.delete(uid);
    if (!isBound || bound.has(uid)) return;
    bound.add(uid);
    const ports = outcomes.map(({ hostPort }) => `127.0.0.1:${hostPort}`).join(", ");
    recorder.record(service, "Normal", "HostPortPublished", `Published on ${ports}`);
  }

  async function writeStatus(service: Service, outcomes: readonly HostPortOutcome[]): Promise<void> {
    if (service.spec.type !== "LoadBalancer" || service.metadata.labels?.[gatewayNameLabel] !== undefined) return;
    const loadBalancer = loadBalancerStatus(service, outcomes);
    if (isEqual(service.status?.loadBalancer ?? {}, loadBalancer)) return;
    const status = { loadBalancer: { ingress: loadBalancer?.ingress ?? null } };
    await client.patchStatus(services, keyOf(service), { status }).catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
    });
  }

  const lookFor = (...versions: readonly Service[]): void => {
    if (versions.some(({ spec }) => spec.type === "NodePort" || spec.type === "LoadBalancer")) queue.add("all");
  };
  informers.services.addHandler({ added: lookFor, updated: lookFor, deleted: lookFor });
  return { name: "host-ports", start: (signal) => queue.start(signal) };
}
