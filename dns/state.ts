/**
 * Cluster DNS inside a node agent: Services in, answers out.
 *
 *   ADS wherry.v1.Service ─▶ apply() ─▶ PushedCluster ─▶ plugins (the Corefile below) ◀─ server/ ◀─ pods
 *
 * Invariants: no message, however malformed, ends the process or goes without its rcode; while `markSynced()` was not
 * called, missing names are SERVFAIL. Losing the control plane changes nothing here.
 */
import type { Clock } from "#lib/clock.ts";
import type { Logger } from "#lib/log.ts";
import { systemRandom, type Random } from "#lib/random.ts";
import { statusAnswer } from "./answer.ts";
import { buildInstance, type Instance, type ListenerPlan } from "./build.ts";
import { type NamedService, PushedCluster } from "./cluster-source.ts";
import { parseCorefile } from "./corefile/parse.ts";
import { DNSError } from "./errors.ts";
import { renderFamilies, type ServerCounters } from "./metrics.ts";
import type { Environment } from "./plugin.ts";
import { Runtime } from "./runtime.ts";
import { HTTPRegistry } from "./server/admin.ts";
import type { ListenAt, ListenerOptions } from "./server/listener.ts";
import { type Respond, Responder } from "./server/respond.ts";
import { plainTransport, type UpstreamTransport } from "./transport.ts";
import { rcodes } from "./wire/constants.ts";

export interface DNSOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** Default: the system's. */
  readonly random?: Random;
  /** Default: `nodeCorefile({})`. */
  readonly corefile?: string;
  /** How upstreams are reached. Default: plain sockets. */
  readonly transport?: UpstreamTransport;
  /** The namespace of the pod with this address; lets names of its search list be answered here. */
  readonly namespaceOfPod?: (address: string) => string | undefined;
  /** Whether a namespace exists; undefined: it does while a Service of it has a name. Default: always undefined. */
  readonly hasNamespace?: (namespace: string) => boolean | undefined;
  /** Bounds of the TCP side (server/stream.ts). */
  readonly tcp?: ListenerOptions["tcp"];
}

export interface DNS {
  /** Takes a delta. An ADS client's handler. The next query sees it. */
  apply(updated: readonly NamedService[], removed: readonly string[]): void;
  /** Says that every Service there is has been applied once: from now on a missing name is NXDOMAIN. */
  markSynced(): void;
  readonly synced: boolean;
  /** The response to one message from an address, now or later. As the sockets do it. */
  readonly respond: Respond;
  /**
   * Serves UDP and TCP: one place for each address of the Corefile's `bind`, in their order, or one alone. The port of
   * the first. Once; rejects with CannotListen, AlreadyListening.
   */
  listen(...at: readonly ListenAt[]): Promise<number>;
  close(): Promise<void>;
  readonly counters: ServerCounters;
  /** Metrics under CoreDNS' names, in Prometheus' text format. */
  collect(): string;
}

export interface NodeCorefileOptions {
  /** Where it listens, when that is more than one address. */
  readonly addresses?: readonly string[];
  /** `ADDR:PORT` of resolvers for outside names; without any those are REFUSED. */
  readonly upstreams?: readonly string[];
  /** Zones of the cluster: the domain, and the ranges of Services and pods. */
  readonly zones?: readonly string[];
  /** Names outside the zones that stand for an address: `[address, name]`. */
  readonly hosts?: readonly (readonly [address: string, name: string])[];
  /** Whether search lists are walked here. */
  readonly walksSearchList?: boolean;
}

/** The configuration of a node: small TTLs, since changes come by push, and a cache for what upstreams said. */
export function nodeCorefile({
  addresses = [],
  upstreams = [],
  zones = ["cluster.local", "10.96.0.0/16", "10.244.0.0/16"],
  hosts = [],
  walksSearchList = false,
}: NodeCorefileOptions): string {
  const lines = hosts.map(([address, name]) => `    ${address} ${name}`);
  const hostsBlock = lines.length === 0 ? [] : ["  hosts {", ...lines, "    ttl 30", "    fallthrough", "  }"];
  return [
    ".:53 {",
    ...(addresses.length === 0 ? [] : [`  bind ${addresses.join(" ")}`]),
    "  errors {",
    "    consolidate 1m .* warning show_first",
    "  }",
    "  any",
    ...hostsBlock,
    `  kubernetes ${zones.join(" ")} {`,
    "    pods insecure",
    "    ttl 5",
    "  }",
    ...(walksSearchList ? ["  autopath @kubernetes"] : []),
    ...(upstreams.length === 0
      ? []
      : [
          "  cache 30 {",
          "    prefetch 10",
          "    serve_stale 1h verify",
          "  }",
          `  forward . ${upstreams.join(" ")} {`,
          "    max_concurrent 1000",
          "    policy sequential",
          "    prefer_udp",
          "  }",
        ]),
    "  loadbalance",
    "}",
    "",
  ].join("\n");
}

/** Cluster DNS. Serves nothing before `listen`. Throws DNSError Corefile. */
export function createDNS(options: DNSOptions): DNS {
  return new ClusterDNS(options);
}

class ClusterDNS implements DNS {
  readonly #cluster: PushedCluster;
  readonly #runtime: Runtime;
  readonly #instance: Instance;
  readonly respond: Respond;
  #at: readonly ListenAt[] = [];
  #isListening = false;

  constructor(options: DNSOptions) {
    const { clock, log, tcp, corefile = nodeCorefile({}) } = options;
    this.#cluster = new PushedCluster(options);
    this.#runtime = new Runtime({
      clock,
      log,
      listenAt: (plan) => this.#atOf(plan),
      ...(tcp === undefined ? {} : { tcp }),
    });
    const environment: Environment = {
      clock,
      log,
      random: options.random ?? systemRandom,
      transport: options.transport ?? plainTransport,
      http: new HTTPRegistry(),
      cluster: this.#cluster,
      readFile: (path) => refuseFile(path),
      readFolder: (path) => refuseFile(path),
      environmentVariable: () => undefined,
      fatal: (message) => log.error(message),
      reload: () => undefined,
      lifecycle: { isStopping: false, lameduckMs: 0 },
    };
    const blocks = parseCorefile(corefile, {
      file: "Corefile",
      port: 53,
      environmentVariable: () => undefined,
      readImport: (pattern) => refuseFile(pattern),
    });
    // Refused is what a name gets that nobody may resolve here: the pod's resolver then gives up at once.
    this.#instance = buildInstance(blocks, environment, statusAnswer(rcodes.refused));
    const [plan] = this.#instance.listeners;
    if (plan === undefined)
      throw new DNSError("Corefile", "Cannot serve a node: wanted a server block in its Corefile");
    const { counters } = this.#runtime;
    this.respond = new Responder({ clock, log, counters, server: plan.key, router: plan.router }).respond;
  }

  get synced(): boolean {
    return this.#cluster.isSynced;
  }

  get counters(): ServerCounters {
    return this.#runtime.counters;
  }

  apply(updated: readonly NamedService[], removed: readonly string[]): void {
    this.#cluster.apply(updated, removed);
  }

  markSynced(): void {
    this.#cluster.isSynced = true;
  }

  async listen(...at: readonly ListenAt[]): Promise<number> {
    if (this.#isListening) throw new DNSError("AlreadyListening", "Cannot listen: already listening, wanted once");
    const wanted = this.#instance.listeners.length;
    if (at.length !== wanted)
      throw new DNSError("CannotListen", `Cannot listen: ${at.length} places, wanted ${wanted} as the Corefile has`);
    this.#isListening = true;
    this.#at = at;
    try {
      await this.#runtime.use(this.#instance, new HTTPRegistry());
    } catch (error) {
      this.#isListening = false;
      throw error;
    }
    return [...this.#runtime.ports.values()][0] ?? 0;
  }

  #atOf(plan: ListenerPlan): ListenAt {
    return this.#at[this.#instance.listeners.indexOf(plan)] ?? { port: plan.port, address: plan.address };
  }

  collect(): string {
    return renderFamilies(this.#runtime.collect());
  }

  async close(): Promise<void> {
    await this.#runtime.close();
    this.#isListening = false;
  }
}

function refuseFile(path: string): never {
  throw new DNSError("Corefile", `Cannot read ${path}: a node's configuration has no files`);
}
