/**
 * A process that serves a configuration, and can take another one while it serves.
 *
 *   Instance ─▶ Runtime.use: start plugins, open what is new, switch routers, close what is gone, say so, stop the old
 *
 * Invariant: a configuration that cannot be had changes nothing: neither a socket nor a plugin of the old one is lost.
 */
import type { Clock } from "#lib/clock.ts";
import { errnoOf } from "#lib/errors.ts";
import type { Logger } from "#lib/log.ts";
import type { Instance, ListenerPlan } from "./build.ts";
import { counter, gauge, ServerCounters } from "./metrics.ts";
import type { MetricFamily } from "./plugin.ts";
import { AdminServers, type HTTPRegistry } from "./server/admin.ts";
import { listen, type Listener, type ListenAt, type ListenerOptions } from "./server/listener.ts";
import { Responder } from "./server/respond.ts";

export interface RuntimeOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** Where a plan without `bind` listens, where it is not all addresses: inherited sockets, say. */
  readonly listenAt?: (plan: ListenerPlan) => ListenAt;
  readonly tcp?: ListenerOptions["tcp"];
}

interface Open {
  readonly listener: Listener;
  readonly responder: Responder;
}

export class Runtime {
  readonly counters: ServerCounters = new ServerCounters();
  readonly admin: AdminServers = new AdminServers();
  readonly #options: RuntimeOptions;
  readonly #open = new Map<string, Open>();
  #instance: Instance | undefined;
  #reloadFailures = 0;

  constructor(options: RuntimeOptions) {
    this.#options = options;
  }

  /** Serves `instance` from now on. Rejects and changes nothing where it cannot be had. */
  async use(instance: Instance, http: HTTPRegistry): Promise<void> {
    instance.showMetrics(() => this.collect());
    const opened: string[] = [];
    try {
      await instance.start();
      for (const plan of instance.listeners) {
        if (this.#open.has(plan.key)) continue;
        this.#open.set(plan.key, await this.#listen(plan));
        opened.push(plan.key);
      }
      await this.admin.use(http);
    } catch (error) {
      for (const key of opened) await this.#close(key);
      await instance.stop();
      throw error;
    }
    for (const [key, { responder }] of this.#open) {
      const plan = instance.listeners.find((each) => each.key === key);
      if (plan === undefined) await this.#close(key);
      else responder.router = plan.router;
    }
    const old = this.#instance;
    this.#instance = instance;
    instance.served();
    await old?.stop();
  }

  /** Ports by listener key, for those that were opened with port 0. */
  get ports(): ReadonlyMap<string, number> {
    return new Map([...this.#open].map(([key, { listener }]) => [key, listener.port]));
  }

  get isReady(): boolean {
    return this.#instance?.isReady() ?? false;
  }

  noteReloadFailure(): void {
    this.#reloadFailures++;
  }

  collect(): readonly MetricFamily[] {
    for (const { responder } of this.#open.values()) responder.prebuilt.settle();
    const memory = process.memoryUsage.rss();
    const cpu = process.cpuUsage();
    return [
      ...(this.#instance?.collect() ?? []),
      ...[...this.#open.values()].flatMap(({ responder }) => responder.collect()),
      ...this.counters.collect(),
      counter("coredns_reload_failed_total", "Configurations that could not be read.", [` ${this.#reloadFailures}`]),
      gauge("coredns_build_info", "Always 1.", [`{version="wherry",revision="",goversion=""} 1`]),
      gauge("process_resident_memory_bytes", "Resident memory.", [` ${memory}`]),
      counter("process_cpu_seconds_total", "CPU time.", [` ${(cpu.user + cpu.system) / 1e6}`]),
    ];
  }

  async close(): Promise<void> {
    for (const key of this.#open.keys()) await this.#close(key);
    await this.admin.close();
    const instance = this.#instance;
    this.#instance = undefined;
    await instance?.stop();
  }

  async #listen(plan: ListenerPlan): Promise<Open> {
    const { clock, log, listenAt, tcp } = this.#options;
    const { counters } = this;
    const responder = new Responder({ clock, log, counters, server: plan.key, router: plan.router });
    const options: ListenerOptions = {
      scheme: plan.scheme,
      respond: responder.respond,
      prebuilt: responder.prebuilt,
      counters,
      clock,
      log,
      ...(plan.tls === undefined ? {} : { tls: plan.tls }),
      ...(tcp === undefined ? {} : { tcp }),
    };
    return { listener: await listenAnywhere(listenAt?.(plan) ?? atOf(plan), options), responder };
  }

  async #close(key: string): Promise<void> {
    const open = this.#open.get(key);
    this.#open.delete(key);
    await open?.listener.close();
  }
}

/** Both families together; IPv4 alone on a system without IPv6. */
async function listenAnywhere(at: ListenAt, options: ListenerOptions): Promise<Listener> {
  try {
    return await listen(at, options);
  } catch (error) {
    const code = error instanceof Error ? errnoOf(error.cause) : undefined;
    if (!("port" in at) || at.address !== "::" || (code !== "EAFNOSUPPORT" && code !== "EADDRNOTAVAIL")) throw error;
    return listen({ ...at, address: "0.0.0.0" }, options);
  }
}

function atOf({ address, port }: ListenerPlan): ListenAt {
  return address === "" ? { port, address: "::" } : { port, address };
}
