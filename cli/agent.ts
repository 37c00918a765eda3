/**
 * The node agent: kubelet, node proxy and DNS of one node, in that node's network namespace.
 *
 *   launcher ─ start ─▶ kubelet + ADS streams (node proxy, DNS) ─▶ "ready"
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ApiEventRecorder } from "#api/client/events.ts";
import { HttpKubeClient } from "#api/client/http.ts";
import { ClientMetrics } from "#api/client/metrics.ts";
import { Informer } from "#api/client/informer.ts";
import { namespaces } from "#api/core/namespace.ts";
import { zoneLabel } from "#api/core/node.ts";
import { type ServiceResource, serviceTypeUrl } from "#api/wire/service.ts";
import { AdsClient } from "#api/xds/client.ts";
import { toNode } from "#api/xds/node-id.ts";
import { bindUDP, descriptorOf, listenTCP, originalDestination } from "#lib/linux.ts";
import type { SocketAddress } from "#lib/socket-address.ts";
import { createDNS, nodeCorefile } from "../dns/state.ts";
import { inheritedTransport } from "../dns/transport.ts";
import { systemExec } from "../proxy/l4/exec.ts";
import { NetlinkTableWatch } from "../proxy/l4/nft/netlink/watch.ts";
import { PolicySource } from "../proxy/policy/source.ts";
import { RequestProxy } from "../proxy/requests/server.ts";
import { createNodeProxy, type NodeProxy } from "../proxy/state.ts";
import { ServiceRelays } from "./service-relays.ts";
import { realClock as clock } from "#lib/clock.ts";
import { expectShortLives } from "#lib/collect.ts";
import { messageOf } from "#lib/errors.ts";
import { createLogger } from "#lib/log.ts";
import { systemRandom as random } from "#lib/random.ts";
import { Kubelet } from "../kubelet/kubelet.ts";
import { createKubeletServer } from "../kubelet/server.ts";
import { createServer, type Socket } from "node:net";
import { listenKept, startChild } from "./child.ts";
import { Border } from "./border.ts";
import { type AgentConfig, addresses, upstreamSocketName, upstreamSockets } from "./ipc.ts";
import { addKubeletPages, serveNodePages } from "./node-pages.ts";
import { RelayedSidecars } from "./relayed-sidecars.ts";

const kubeletPort = 10_250;
const log = createLogger("agent");
expectShortLives();
const child = await startChild<AgentConfig>();
const { nodeName, nodeIndex, stateDir, images, published, timing } = child.config;
const stopped = new AbortController();
/** Known once the node proxy works: pods wait for it. */
const policies = Promise.withResolvers<PolicySource>();
/** Who wants to know in which zone the node stands. */
const onZone: ((zone: string) => void)[] = [];

try {
  const pki = (name: string): string => readFileSync(join(stateDir, "pki", name), "utf8");
  const tls = { ca: pki("ca.crt"), cert: pki(`${nodeName}.crt`), key: pki(`${nodeName}.key`) };
  const server = `https://${addresses.control}:${addresses.apiPort}`;
  const sidecars = new RelayedSidecars((message) => child.send(message), clock);
  const border = new Border({
    clock,
    log: log.with({ part: "border" }),
    send: (request) => child.send(request),
  });
  child.onMessage((message, socket) => {
    switch (message.kind) {
      case "egressConnected":
      case "egressRefused":
        return border.receive(message, socket);
      case "hostConnection":
        return socket === undefined ? undefined : border.join(message, socket);
      case "hostPortsDone":
        return; // The control process's.
      case "sidecarTable":
      case "sidecarAdd":
      case "sidecarRemove":
      case "sidecarListening":
      case "sidecarRemoved":
      case "sidecarFailed":
      case "relay":
        return sidecars.receive(message);
    }
  });
  await listenKept(child, border.server, "border", { address: "0.0.0.0", port: addresses.egressPort });
  const clientMetrics = new ClientMetrics();
  const client = new HttpKubeClient({ server, ...tls, observe: (answer) => clientMetrics.answered(answer) });
  const kubelet = new Kubelet({
    client,
    tokenSource: client,
    recorder: new ApiEventRecorder({ client, clock, log, component: "kubelet", host: nodeName }),
    clock,
    random,
    log: log.with({ part: "kubelet" }),
    sidecars,
    policies: {
      admit: async (pod, podIP) => (await policies.promise).admit(pod, podIP),
      release: (podUid) => void policies.promise.then((source) => source.release(podUid)),
    },
    nodeName,
    nodeIP: addresses.node(nodeIndex),
    podCIDR: addresses.podCIDR(nodeIndex),
    nameserver: addresses.dns,
    api: { host: addresses.kubernetesService, port: 443 },
    cgroupName: `wherry-${process.env["WHERRY_CLUSTER"] ?? "cluster"}-${nodeName}`,
    images,
    runDir: `/run/wherry/${nodeName}/pods`,
    logDir: join(stateDir, "logs", "pods", nodeName),
    kubeletPort,
    leaseDurationSeconds: timing.nodeLeaseDurationSeconds,
    onNode: ({ metadata }) => onZone.forEach((tell) => tell(metadata.labels?.[zoneLabel] ?? "")),
  });
  const api = createKubeletServer({ kubelet, clock, tls });
  addKubeletPages(api, () => kubelet.stats());
  const front = createServer((socket) => api.emit("connection", socket));
  await listenKept(child, front, "kubelet", { address: addresses.node(nodeIndex), port: kubeletPort });
  await Promise.all([kubelet.start(stopped.signal), startNetworking(kubelet, border, client, clientMetrics)]);
  child.send({ kind: "ready" });
  log.info("Node is ready", { node: nodeName });
} catch (error) {
  log.error("Cannot start", { node: nodeName, error: messageOf(error) });
  process.exit(1);
}

/** The node proxy and DNS, fed by one ADS stream. Resolves when both know every Service. */
async function startNetworking(
  kubelet: Kubelet,
  border: Border,
  client: HttpKubeClient,
  clientMetrics: ClientMetrics,
): Promise<void> {
  const { proxy, requests } = createBalancing();
  const dns = createDNS({
    clock,
    random,
    log: log.with({ part: "dns" }),
    corefile: nodeCorefile({
      addresses: [addresses.dns, addresses.dnsLocal],
      upstreams: child.config.dnsUpstreams,
      hosts: [[addresses.host, "host.wherry.internal"]],
      walksSearchList: true,
    }),
    transport: inheritedTransport(keptUpstreamSockets(), (address, port) => border.connectUpstream(address, port)),
    namespaceOfPod: (podIP) => kubelet.namespaceOf(podIP),
    hasNamespace: watchNamespaces(client),
  });
  await serveNodePages({
    clock,
    host: addresses.node(nodeIndex),
    proxy,
    requests,
    dns,
    client: clientMetrics,
    egress: border.counters,
  });
  const relays = new ServiceRelays(published, (message) => child.send(message));
  const target = `${addresses.control}:${addresses.adsPort}`;
  const ads = new AdsClient({ target, node: toNode({ kind: "node", nodeName }), log, clock, random });
  ads.subscribe<ServiceResource>(serviceTypeUrl, "*", {
    apply(updated, removed) {
      for (const consumer of [proxy, requests, dns, relays]) consumer.apply(updated, removed);
    },
  });
  const dnsSockets = [keptDNSSockets("dns", addresses.dns), keptDNSSockets("dns-local", addresses.dnsLocal)];
  void ads.run(stopped.signal);
  await ads.whenSynced(stopped.signal);
  dns.markSynced();
  // Only now: queries that came meanwhile wait in the socket, where an answer without knowledge would be a failure.
  await dns.listen(...dnsSockets);
  proxy.markSynced();
  await proxy.programmed();
  const policy = { client, ads, sink: proxy, clock, random, log: log.with({ part: "policy" }) };
  const source = new PolicySource(policy);
  void source.run(stopped.signal);
  void source.told.then(() => requests.markReady());
  policies.resolve(source);
}

/** The node proxy, and what balances requests for it. Both hear of the node's zone. */
function createBalancing(): { readonly proxy: NodeProxy; readonly requests: RequestProxy } {
  const watch = NetlinkTableWatch.open();
  const facts = { nodeName, nodeIPs: [addresses.node(nodeIndex)], requestPort: addresses.requestPort };
  const proxy = createNodeProxy({
    exec: systemExec(clock),
    clock,
    random,
    log: log.with({ part: "proxy" }),
    facts,
    ...(watch === undefined ? {} : { watch }),
  });
  const requests = new RequestProxy({
    clock,
    random,
    log: log.with({ part: "requests" }),
    facts,
    listen: (server) => listenKept(child, server, "requests", { address: "0.0.0.0", port: addresses.requestPort }),
    originalDestination: destinationOf,
    onServing: (isServing) => proxy.serveRequests(isServing),
  });
  onZone.push(
    (zone) => proxy.setZone(zone),
    (zone) => requests.setZone(zone),
  );
  return { proxy, requests };
}

/** Where a connection was going before the node's rules redirected it. */
function destinationOf(socket: Socket): SocketAddress | undefined {
  const fd = descriptorOf(socket);
  return fd === undefined ? undefined : originalDestination(fd);
}

/** Whether a namespace exists, for names of pods and of namespaces without Services; undefined until they are listed. */
function watchNamespaces(client: HttpKubeClient): (namespace: string) => boolean | undefined {
  const informer = new Informer(namespaces, { client, clock, random, log: log.with({ part: "dns" }) });
  let isSynced = false;
  void informer.synced.then(() => (isSynced = true));
  void informer.run(stopped.signal);
  return (name) => (isSynced ? informer.get({ name }) !== undefined : undefined);
}

/** UDP sockets of the host's network, for outside names. */
function keptUpstreamSockets(): readonly number[] {
  return Array.from({ length: upstreamSockets }, (_, index) => {
    const fd = child.sockets.get(upstreamSocketName(index));
    return fd === undefined ? [] : [fd];
  }).flat();
}

/** DNS sockets outlive this process, so that queries wait instead of being lost while it is restarted. */
function keptDNSSockets(prefix: string, address: string): { udpFd: number; tcpFd: number } {
  const at = { address, port: 53 };
  const keep = (name: string, make: () => number): number => {
    const kept = child.sockets.get(name);
    if (kept !== undefined) return kept;
    const fd = make();
    child.send({ kind: "keep", name, fd });
    return fd;
  };
  return { udpFd: keep(`${prefix}-udp`, () => bindUDP(at)), tcpFd: keep(`${prefix}-tcp`, () => listenTCP(at)) };
}
