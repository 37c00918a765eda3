/**
 * The stage of kube-proxy's behaviours: a proxy on the node, servers on the pods, and calls from everywhere, in one
 * family and one protocol.
 *
 *   outside ─ node (n1) ─ caller, second, third; remote on n2, behind outside
 *
 * The Service `web` has every sort of address; `put` gives it endpoints and whatever else a behaviour is about.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import type { ServiceResource, ServiceResourceEndpoint } from "#api/wire/service.ts";
import { realClock as clock } from "#lib/clock.ts";
import { errnoOf } from "#lib/errors.ts";
import { silentLogger } from "#lib/log.ts";
import { systemRandom as random } from "#lib/random.ts";
import { type Exec, systemExec } from "../../../../proxy/l4/exec.ts";
import type { NodeFacts } from "../../../../proxy/l4/facts.ts";
import { endpoint, named, port, service } from "../../../../proxy/l4/fixture.ts";
import { createNodeProxy, type NodeProxy } from "../../../../proxy/state.ts";
import { type Address, callTCP, callUDP, serveTCP, serveUDP } from "../endpoints.ts";
import { createNetwork, networks, type Network, type Place } from "../network.ts";

export interface Variant {
  readonly family: "IPv4" | "IPv6";
  readonly protocol: "TCP" | "UDP";
}

/** Addresses of both families that are not the network's own. */
const addresses = {
  IPv4: {
    vip: "10.96.1.1",
    twin: "10.96.1.2",
    nobody: "10.96.200.200",
    loadBalancers: ["192.0.2.1", "192.0.2.2"],
    external: "198.51.100.1",
    secondary: "100.64.0.20",
    nodes: "100.64.0.0/24",
    elsewhere: "203.0.113.0/24",
  },
  IPv6: {
    vip: "fd00:10:96::101",
    twin: "fd00:10:96::102",
    nobody: "fd00:10:96::c8c8",
    loadBalancers: ["2001:db8:1::1", "2001:db8:1::2"],
    external: "2001:db8:2::1",
    secondary: "fd00:64::20",
    nodes: "fd00:64::/64",
    elsewhere: "2001:db8:3::/64",
  },
} as const;

/** Terminating, and still serving or not. */
export const leaving = { ready: false, serving: true, terminating: true };
export const dead = { ready: false, serving: false, terminating: true };

/** What is not answered by then was dropped, in ms; what is answered has longer (endpoints.ts). */
const droppedMs = 400;

/** Who answered, and whom it saw. */
interface Answer {
  readonly by: string;
  readonly saw: string;
}

/** Who answered any of several calls, and whom they saw, each once. */
interface Answers {
  readonly by: readonly string[];
  readonly saw: readonly string[];
}

/** Who is where. */
interface Cast extends Network {
  readonly caller: Place;
  readonly second: Place;
  readonly third: Place;
}

/** What every proxy of the stage knows: both families, that of the stage first. */
function factsOf(family: Variant["family"]): Partial<NodeFacts> {
  const plans = [networks[family], networks[otherOf(family)]];
  return {
    nodeName: "n1",
    zone: "a",
    nodeIPs: plans.map(({ node }) => node),
    serviceCIDRs: plans.map(({ services }) => services),
    clusterCIDRs: ["10.244.0.0/16", "fd00:10:244::/48"],
    unallocated: "drop",
    unmasqueradedCIDRs: [],
    dnsVIP: "",
  };
}

function otherOf(family: Variant["family"]): Variant["family"] {
  return family === "IPv4" ? "IPv6" : "IPv4";
}

export class Stage {
  readonly variant: Variant;
  readonly cast: Cast;
  readonly vip: Address;
  readonly twin: Address;
  readonly nobody: Address;
  readonly loadBalancers: readonly [Address, Address];
  readonly external: Address;
  readonly nodePort: Address;
  readonly secondary: Address;
  /** Where the nodes are, and where nobody is. */
  readonly ranges: { readonly nodes: string; readonly elsewhere: string };
  /** Runs programs, and counts what nft is told. */
  readonly exec: Exec;
  #facts: Partial<NodeFacts>;
  #proxy: NodeProxy | undefined;
  #texts: string[][] = [];
  readonly #closers: (() => void)[] = [];

  private constructor(variant: Variant) {
    const { family } = variant;
    const own = addresses[family];
    const network = createNetwork(family);
    const { node, pods, outside } = network;
    const [caller = node, second = node, third = node] = pods;
    this.variant = variant;
    this.cast = { ...network, caller, second, third };
    this.vip = { address: own.vip, port: 80 };
    this.twin = { address: own.twin, port: 80 };
    this.nobody = { address: own.nobody, port: 80 };
    this.loadBalancers = [
      { address: own.loadBalancers[0], port: 80 },
      { address: own.loadBalancers[1], port: 80 },
    ];
    this.external = { address: own.external, port: 80 };
    this.nodePort = { address: node.address, port: 30_080 };
    this.secondary = { address: own.secondary, port: 30_080 };
    this.ranges = own;
    this.#facts = factsOf(family);
    const run = systemExec(clock);
    this.exec = (command, input = "", onLine) => {
      if (command[0] === "nft") this.#texts.push(input.split("\n").filter((line) => line !== ""));
      return run(command, input, onLine);
    };
    const nodad = family === "IPv6" ? ["nodad"] : [];
    execFileSync("ip", ["addr", "add", `${own.secondary}/${networks[family].bits}`, "dev", "lo", ...nodad]);
    // What is nobody's here goes on to the next router, as on a real node.
    execFileSync("ip", ["route", "add", "default", "via", outside.address, "dev", "node2", "onlink"]);
  }

  /** Sets the stage, with a proxy. Everything of it ends with `close()` and the process's namespaces. */
  static async create(variant: Variant): Promise<Stage> {
    const stage = new Stage(variant);
    const { pods, remote } = stage.cast;
    for (const place of [...pods, remote])
      stage.#closers.push(await serveTCP(place, 8080), await serveUDP(place, 8080));
    await stage.restart();
    return stage;
  }

  get proxy(): NodeProxy {
    assert.ok(this.#proxy !== undefined);
    return this.#proxy;
  }

  /** What is reached from outside. */
  get fromOutside(): readonly Address[] {
    return [this.loadBalancers[0], this.external, this.nodePort];
  }

  get otherProtocol(): Variant["protocol"] {
    return this.variant.protocol === "TCP" ? "UDP" : "TCP";
  }

  /** An address of the Service range of the other family. */
  get otherVIP(): string {
    return addresses[otherOf(this.variant.family)].vip;
  }

  /** An endpoint on this node and one on the other: `L` and `R`. */
  get both(): readonly ServiceResourceEndpoint[] {
    return [this.on(this.cast.second), this.on(this.cast.remote)];
  }

  get L(): string {
    return this.cast.second.address;
  }

  get R(): string {
    return this.cast.remote.address;
  }

  /** A proxy with other facts, in place of the one before; the last one's table is taken over. */
  async restart(given: Partial<NodeFacts> = {}): Promise<void> {
    this.#proxy?.close();
    const facts = { ...this.#facts, ...given };
    this.#proxy = createNodeProxy({ exec: this.exec, clock, random, log: silentLogger, facts });
    this.#proxy.markSynced();
    await this.#proxy.programmed();
  }

  /** What nft was told since the last time: the lines of each text. */
  takeTexts(): readonly (readonly string[])[] {
    return this.#texts.splice(0);
  }

  /** An endpoint there. */
  on(place: Place, given: Partial<ServiceResourceEndpoint> = {}): ServiceResourceEndpoint {
    const nodeName = place === this.cast.remote ? "n2" : "n1";
    return { ...endpoint(":8080", given), address: place.address, nodeName };
  }

  /** The Service `web`. */
  web(endpoints: readonly ServiceResourceEndpoint[], given: Partial<ServiceResource> = {}): ServiceResource {
    const ports = [{ ...port(80, this.variant.protocol), nodePort: this.nodePort.port }];
    const at = { externalIPs: [this.external.address], loadBalancerIPs: [this.loadBalancers[0].address] };
    return service("web", this.vip.address, { type: "LoadBalancer", ports, endpoints, ...at, ...given });
  }

  put(endpoints: readonly ServiceResourceEndpoint[], given: Partial<ServiceResource> = {}): Promise<void> {
    return this.apply([this.web(endpoints, given)]);
  }

  async apply(updated: readonly ServiceResource[], removed: readonly string[] = []): Promise<void> {
    this.proxy.apply(named(...updated), removed);
    await this.proxy.programmed();
  }

  /** Who answers one call, and whom it saw. Rejects when nobody does. */
  call(from: Place, to: Address, withinMs?: number): Promise<Answer> {
    return this.variant.protocol === "TCP" ? callTCP(from, to, withinMs) : callUDP(from, to);
  }

  async calls(from: Place, to: Address, count = 6): Promise<Answers> {
    const answers: Answer[] = [];
    for (let n = 0; n < count; n++) answers.push(await this.call(from, to));
    const unique = (values: readonly string[]): readonly string[] => [...new Set(values)].sort();
    return { by: unique(answers.map(({ by }) => by)), saw: unique(answers.map(({ saw }) => saw)) };
  }

  async refused(from: Place, to: Address): Promise<void> {
    await assert.rejects(this.call(from, to), isRefusal);
  }

  /** Neither answered nor refused. */
  async dropped(from: Place, to: Address): Promise<void> {
    const patience = clock.sleep(droppedMs).then(() => Promise.reject(new Error("nothing came")));
    await assert.rejects(Promise.race([this.call(from, to, droppedMs), patience]), (error) => !isRefusal(error));
  }

  close(): void {
    this.#proxy?.close();
    for (const close of this.#closers) close();
  }
}

/** EPERM: what the node itself sends over UDP is refused by the call that sends. */
function isRefusal(error: unknown): boolean {
  return ["ECONNREFUSED", "EPERM"].includes(errnoOf(error) ?? "");
}
