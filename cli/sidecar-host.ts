/**
 * The sidecar host of a node: every sidecar and gateway of its pods, in one process.
 *
 *   launcher ─ sidecarAdd ─▶ sockets in the pod's namespace (kept by the launcher) + ADS stream ─▶ Sidecar ─▶ "listening"
 *   published ports ─▶ gateways of this node, or a relay to a ClusterIP
 */
import { AdsChannel } from "#api/xds/channel.ts";
import { AdsClient } from "#api/xds/client.ts";
import { toNode } from "#api/xds/node-id.ts";
import { type WorkloadResource, workloadTypeUrl } from "#api/wire/workload.ts";
import { realClock as clock } from "#lib/clock.ts";
import { expectShortLives } from "#lib/collect.ts";
import { messageOf } from "#lib/errors.ts";
import { createLogger } from "#lib/log.ts";
import { systemRandom as random } from "#lib/random.ts";
import { SidecarHost } from "../sidecar/host.ts";
import { startChild } from "./child.ts";
import { type SidecarHostConfig, addresses } from "./ipc.ts";
import { PodSidecars } from "./pod-sidecars.ts";
import { PublishedPorts } from "./published-ports.ts";

const log = createLogger("sidecars");
expectShortLives();
const child = await startChild<SidecarHostConfig>();
const { nodeName, published, tracing } = child.config;
const running = new AbortController();

const channel = new AdsChannel(`${addresses.control}:${addresses.adsPort}`);
const workloads = new Map<string, WorkloadResource>();
const node = new AdsClient({ target: channel, node: toNode({ kind: "node", nodeName }), log, clock, random });
node.subscribe<WorkloadResource>(workloadTypeUrl, "*", {
  apply(updated, removed) {
    for (const { name, resource } of updated) workloads.set(name, resource);
    for (const name of removed) workloads.delete(name);
  },
});
void node.run(running.signal);

const host = new SidecarHost({ clock, random, log, tracing, workloadOf: (address) => workloads.get(address) });
const ports = new PublishedPorts(published, child.sockets, log);
const pods = new PodSidecars({ host, channel, child, ports, log });

child.onMessage((message) => {
  if (message.kind === "relay") ports.setRelay(message.hostPort, message.address, message.port);
  else if (message.kind === "sidecarRemove") void pods.remove(message.podUid, message.drainMs);
  else if (message.kind === "sidecarAdd") {
    const { podUid, podName } = message.spec;
    pods.add(message.spec).catch((error: unknown) => {
      log.error("Sidecar cannot start", { pod: podName, error: messageOf(error) });
      child.send({ kind: "sidecarFailed", podUid, message: messageOf(error) });
    });
  }
});
child.send({ kind: "ready" });
log.info("Sidecar host is ready", { node: nodeName });
