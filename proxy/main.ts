/**
 * The node proxy alone, in place of kube-proxy, against any Kubernetes API.
 *
 *   Node ─▶ facts ─┐
 *   Services, EndpointSlices ─▶ kube/source.ts ─▶ NodeProxy (state.ts, or userspace/) ─▶ kernel
 *
 * Invariants: nothing is programmed before the lists are complete; when the API is gone, the last good rules stay. A
 * Node that changes its addresses or its zone gets a new NodeProxy, which replaces the table in one go.
 */
import { once } from "node:events";
import { availableParallelism } from "node:os";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { KubeClient } from "#api/client/client.ts";
import { Informer } from "#api/client/informer.ts";
import { nodes, type Node } from "#api/core/node.ts";
import { createProcessMetrics } from "#api/metrics/process.ts";
import { createPageServer, type Pages } from "#api/metrics/server.ts";
import type { Clock } from "#lib/clock.ts";
import { messageOf } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";
import { ProxyError } from "./errors.ts";
import { HealthMetrics } from "./health-metrics.ts";
import type { TableWatch } from "./guard.ts";
import type { ConntrackConfiguration, HostPort, ProxyConfiguration } from "./kube/configuration.ts";
import { factsOf, isEligible } from "./kube/node.ts";
import { OutageReporter } from "./kube/outages.ts";
import { ServiceSource } from "./kube/source.ts";
import type { Exec } from "./l4/exec.ts";
import type { NodeFacts } from "./l4/facts.ts";
import { policyTableNames, tableNames } from "./l4/nft/names.ts";
import { planClear } from "./l4/nft/transactions.ts";
import { applyConntrackSettings, type ConntrackSetting } from "./l4/sysctl.ts";
import { createProxyPages } from "./pages.ts";
import { probeNftables } from "./probe.ts";
import { createNodeProxy, type NodeProxy } from "./state.ts";
import { removeAddresses } from "./userspace/addresses.ts";
import { createUserspaceProxy } from "./userspace/proxy.ts";

export interface StandaloneOptions {
  readonly config: ProxyConfiguration;
  readonly client: Pick<KubeClient, "list" | "watch">;
  readonly nodeName: string;
  readonly exec: Exec;
  readonly openWatch: () => TableWatch | undefined;
  /** Metrics of `client`. Default: none. */
  readonly collectClient?: () => string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

export class StandaloneProxy {
  readonly #options: StandaloneOptions;
  readonly #nodes: Informer<Node>;
  readonly #source: ServiceSource;
  #proxy: NodeProxy | undefined;
  #facts = "";
  #mode: "nftables" | "userspace" = "nftables";

  constructor(options: StandaloneOptions) {
    const { client, nodeName, clock, random, log } = options;
    this.#options = options;
    const common = { client: new OutageReporter(client, log), clock, random, log };
    this.#nodes = new Informer(nodes, { ...common, selector: { fieldSelector: `metadata.name=${nodeName}` } });
    this.#source = new ServiceSource(common);
  }

  /**
   * Works until `signal` aborts; the rules stay then. Rejects with a ProxyError when it cannot begin. Either way nothing
   * of it is open or at work any more.
   */
  async run(signal: AbortSignal): Promise<void> {
    const { config, exec, log } = this.#options;
    const failed = new AbortController();
    const both = AbortSignal.any([signal, failed.signal]);
    const servers: Server[] = [];
    let watching: Promise<unknown> | undefined;
    let started = Promise.resolve();
    try {
      await this.#chooseMode();
      await this.#listen(servers);
      if (this.#mode === "nftables") await removeAddresses(exec);
      await applyConntrackSettings(conntrackSettings(config.conntrack), exec, log);
      watching = Promise.all([this.#nodes.run(both), this.#source.run(both)]);
      await Promise.race([Promise.all([this.#nodes.synced, this.#source.synced]), watching]);
      if (!signal.aborted) await this.#start();
      const fail = (error: unknown): void => log.error("Cannot take the Node's facts", { error: messageOf(error) });
      const restart = (): void => {
        started = started.then(() => (both.aborted ? undefined : this.#start())).catch(fail);
      };
      if (!signal.aborted) this.#nodes.addHandler({ added: restart, updated: restart });
      await watching;
    } finally {
      failed.abort();
      await watching;
      await started;
      this.#proxy?.close();
      await this.#proxy?.programmed();
      for (const server of servers) server.close();
    }
  }

  async #chooseMode(): Promise<void> {
    const { config, exec, log } = this.#options;
    if (config.mode === "userspace") this.#mode = "userspace";
    else {
      const problem = await probeNftables(exec);
      if (problem !== undefined && config.mode === "nftables")
        throw new ProxyError("CommandFailed", `Cannot use nftables: ${problem}`);
      if (problem !== undefined) this.#mode = "userspace";
      if (problem !== undefined) log.warn("Cannot use nftables, so connections are relayed in userspace", { problem });
    }
    log.info("Proxy mode", { mode: this.#mode });
  }

  /** Makes the proxy anew when the node's facts have changed, once the one before writes nothing more. */
  async #start(): Promise<void> {
    const { config, nodeName, log } = this.#options;
    const node = this.#nodes.get({ name: nodeName });
    if (node === undefined) log.warn("The API has no such Node; its address and zone are not known", { nodeName });
    const facts = factsOf(node, nodeName, config);
    const text = JSON.stringify(facts);
    if (text === this.#facts) return;
    this.#facts = text;
    this.#proxy?.close();
    await this.#proxy?.programmed();
    this.#proxy = this.#create(facts);
    this.#source.feed(this.#proxy);
    this.#proxy.markSynced();
    void this.#proxy.programmed().then(() => log.info("Services are programmed", { nodeName }));
  }

  #create(facts: Partial<NodeFacts>): NodeProxy {
    const { config, exec, clock, random, log, openWatch } = this.#options;
    if (this.#mode === "userspace") return createUserspaceProxy({ exec, clock, random, log, facts }, this.#proxy);
    const watch = openWatch();
    return createNodeProxy({
      exec,
      clock,
      random,
      log,
      facts,
      syncPeriodMs: config.syncPeriodMs,
      minSyncPeriodMs: config.minSyncPeriodMs,
      ...(watch === undefined ? {} : { watch }),
    });
  }

  /** Adds to `servers` what listens, also when it rejects. */
  async #listen(servers: Server[]): Promise<void> {
    const { config, clock, nodeName, collectClient } = this.#options;
    const collectProcess = createProcessMetrics(clock);
    const pages = createProxyPages({
      clock,
      proxy: () => this.#proxy,
      isEligible: () => isEligible(this.#nodes.get({ name: nodeName })),
      mode: () => this.#mode,
      health: new HealthMetrics(),
      collectMore: () => (collectClient?.() ?? "") + collectProcess(),
    });
    const kinds = [
      ["health", pages.health, config.healthz],
      ["metrics", pages.metrics, config.metrics],
    ] as const;
    for (const [what, page, at] of kinds) {
      const server = await this.#serve(what, page, at);
      if (server !== undefined) servers.push(server);
    }
  }

  async #serve(what: string, pages: Pages, { host, port }: HostPort): Promise<Server | undefined> {
    const { config, log } = this.#options;
    const server = createPageServer(pages);
    try {
      server.listen({ host, port });
      await once(server, "listening");
    } catch (error) {
      const sentence = `Cannot serve ${what} on ${host}:${port}: ${messageOf(error)}`;
      if (config.bindAddressHardFail) throw new ProxyError("InvalidConfig", sentence, { cause: error });
      log.error(sentence);
      return undefined;
    }
    log.info("Listens", { what, host, port: (server.address() as AddressInfo).port });
    return server;
  }
}

/** Removes every table and address of ours from this network namespace. Rejects with a ProxyError. */
export async function cleanUp(exec: Exec): Promise<void> {
  await removeAddresses(exec);
  const tables = [...tableNames, ...policyTableNames].flatMap((name) => [`ip ${name}`, `ip6 ${name}`]);
  const { exitCode, stderr } = await exec(["nft", "-f", "-"], planClear(tables));
  if (exitCode !== 0) throw new ProxyError("CommandFailed", `Cannot remove tables: ${stderr.trim().split("\n", 1)[0]}`);
}

function conntrackSettings(config: ConntrackConfiguration): readonly ConntrackSetting[] {
  const max = config.maxPerCore === 0 ? 0 : Math.max(config.maxPerCore * availableParallelism(), config.min);
  const times: readonly (readonly [string, number])[] = [
    ["tcp_timeout_established", config.tcpEstablishedTimeoutMs],
    ["tcp_timeout_close_wait", config.tcpCloseWaitTimeoutMs],
    ["udp_timeout", config.udpTimeoutMs],
    ["udp_timeout_stream", config.udpStreamTimeoutMs],
  ];
  return [
    ...(max === 0 ? [] : [{ name: "nf_conntrack_max", value: max, isMinimum: true }]),
    ...times
      .filter(([, ms]) => ms > 0)
      .map(([name, ms]) => ({ name: `nf_conntrack_${name}`, value: Math.ceil(ms / 1000) })),
    ...(config.tcpBeLiberal ? [{ name: "nf_conntrack_tcp_be_liberal", value: 1 }] : []),
  ];
}
