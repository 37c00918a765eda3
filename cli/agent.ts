/**
 * The node agent: kubelet, node proxy and DNS of one node, in that node's network namespace.
 *
 *   launcher ─ start ─▶ kubelet + ADS streams (node proxy, DNS) ─▶ "ready"
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { HttpKubeClient } from "#api/client/http.ts";
import { realClock as clock } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import { createLogger } from "#lib/log.ts";
import { systemRandom as random } from "#lib/random.ts";
import { Kubelet } from "../kubelet/kubelet.ts";
import { createKubeletServer } from "../kubelet/server.ts";
import { createServer } from "node:net";
import { listenKept, startChild } from "./child.ts";
import { type AgentConfig, addresses } from "./ipc.ts";
import { RelayedSidecars } from "./relayed-sidecars.ts";

const kubeletPort = 10_250;
const log = createLogger("agent");
const child = await startChild<AgentConfig>();
const { nodeName, nodeIndex, stateDir, images } = child.config;
const stopped = new AbortController();

try {
  const pki = (name: string): string => readFileSync(join(stateDir, "pki", name), "utf8");
  const tls = { ca: pki("ca.crt"), cert: pki(`${nodeName}.crt`), key: pki(`${nodeName}.key`) };
  const server = `https://${addresses.control}:${addresses.apiPort}`;
  const sidecars = new RelayedSidecars((message) => child.send(message), clock);
  child.onMessage((message) => sidecars.receive(message));
  const kubelet = new Kubelet({
    client: new HttpKubeClient({ server, ...tls }),
    clock,
    random,
    log: log.with({ part: "kubelet" }),
    sidecars,
    nodeName,
    nodeIP: addresses.node(nodeIndex),
    podCIDR: addresses.podCIDR(nodeIndex),
    nameserver: addresses.dns,
    images,
    runDir: `/run/wherry/${nodeName}/pods`,
    logDir: join(stateDir, "logs", "pods", nodeName),
    kubeletPort,
  });
  const api = createKubeletServer({ kubelet, clock, tls });
  const front = createServer((socket) => api.emit("connection", socket));
  await listenKept(child, front, "kubelet", { address: addresses.node(nodeIndex), port: kubeletPort });
  await kubelet.start(stopped.signal);
  child.send({ kind: "ready" });
  log.info("Node is ready", { node: nodeName });
} catch (error) {
  log.error("Cannot start", { node: nodeName, error: messageOf(error) });
  process.exit(1);
}
