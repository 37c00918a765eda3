/**
 * Many sidecars in one process: one timer wheel, one clock, and a sidecar for each pod.
 *
 *   agent (SidecarSpec, sockets) ─▶ add() ─▶ Sidecar ─▶ listening        remove() ─▶ drain ─▶ close
 *
 * Invariant: one pod's sidecar never touches another's; what they share is time, chance and the log.
 */
import type { SidecarSpec } from "#api/wire/sidecar.ts";
import type { WorkloadResource } from "#api/wire/workload.ts";
import type { Clock } from "#lib/clock.ts";
import type { Logger } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";
import { TimerWheel } from "#proxy/l7/timer-wheel.ts";
import { SidecarError } from "./errors.ts";
import { OTLPSink } from "./otel.ts";
import { type HostDeps, type PodDeps, Sidecar } from "./sidecar.ts";
import type { TracingConfig } from "./tracing-config.ts";

export interface SidecarHostOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Who has an address, for the labels of metrics. Undefined is answered as "unknown". */
  readonly workloadOf: (address: string) => WorkloadResource | undefined;
  /** Undefined: no spans are recorded. */
  readonly tracing?: TracingConfig | undefined;
}

export interface RemoveOptions {
  /** Time for requests in flight, in ms; 0 cuts them. */
  readonly drainMs: number;
}

export class SidecarHost {
  readonly #deps: HostDeps;
  readonly #sidecars = new Map<string, Sidecar>();
  readonly #spans: OTLPSink | undefined;

  constructor({ tracing: config, ...options }: SidecarHostOptions) {
    this.#spans = config && new OTLPSink({ config, log: options.log });
    const tracing = config && this.#spans && { config, sink: this.#spans };
    this.#deps = { ...options, tracing, wheel: new TimerWheel(options.clock) };
  }

  /** The sidecar of a pod. */
  get(podUid: string): Sidecar | undefined {
    return this.#sidecars.get(podUid);
  }

  /** Starts the sidecar of a pod; wait for its `listening` before the pod's containers start. */
  add(spec: SidecarSpec, pod: PodDeps): Sidecar {
    if (this.#sidecars.has(spec.podUid))
      throw new SidecarError("DUPLICATE_POD", `Cannot add sidecar of ${spec.namespace}/${spec.podName}: it has one`);
    const sidecar = new Sidecar(spec, this.#deps, pod);
    this.#sidecars.set(spec.podUid, sidecar);
    sidecar.run();
    return sidecar;
  }

  /** Before the application is told to end: no new keep-alive inbound, wait for inbound requests. Outbound goes on. */
  async drain(podUid: string, drainMs: number): Promise<void> {
    await this.#sidecars.get(podUid)?.drain(drainMs, "inbound");
  }

  /**
   * After the application has ended, or instead of drain(): drains both ways, then closes. Unknown pods are no error.
   */
  async remove(podUid: string, { drainMs }: RemoveOptions): Promise<void> {
    const sidecar = this.#sidecars.get(podUid);
    if (sidecar === undefined) return;
    this.#sidecars.delete(podUid);
    if (drainMs > 0) await sidecar.drain(drainMs);
    sidecar.close();
  }

  /** Cuts and closes all; resolves when the spans that wait are sent or given up. */
  async close(): Promise<void> {
    for (const sidecar of this.#sidecars.values()) sidecar.close();
    this.#sidecars.clear();
    await this.#spans?.close();
  }
}
