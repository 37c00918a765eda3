/**
 * Which listeners of a stand-alone sidecar take connections no more, because of POST /drain_listeners.
 *
 *   begin() ─▶ connections are drained ─▶ stops() says yes, at once or (graceful) when the time of the drain is over
 *           ─▶ onStop(): binds what is left
 *
 * Invariant: a listener that stopped never starts again, not even when a control plane sends it anew.
 */
import type { Clock } from "#lib/clock.ts";
import type { Direction } from "#proxy/l7/context.ts";
import type { DrainRequest } from "../admin/pages.ts";

export interface ListenerDrainOptions {
  readonly clock: Clock;
  /** Time for what is in flight, in ms. */
  readonly drainMs: number;
  /** Drains the connections of one direction, or of both, without closing a listener. */
  readonly drain: (drainMs: number, inboundOnly: boolean) => Promise<void>;
  /** What stops() says has changed. */
  readonly onStop: () => void;
}

export class ListenerDrain {
  readonly #options: ListenerDrainOptions;
  readonly #stopped = new Set<Direction>();
  #isGraceful = false;

  constructor(options: ListenerDrainOptions) {
    this.#options = options;
  }

  /** True when listeners of this direction take no more connections. */
  stops(direction: Direction): boolean {
    return this.#stopped.has(direction);
  }

  /** A graceful drain while another one goes on changes nothing, as in Envoy. */
  begin({ isGraceful, inboundOnly }: DrainRequest): void {
    const { clock, drainMs, drain } = this.#options;
    if (isGraceful && this.#isGraceful) return;
    if (isGraceful) {
      this.#isGraceful = true;
      clock.after(drainMs, () => this.#stop(inboundOnly));
    } else this.#stop(inboundOnly);
    void drain(drainMs, inboundOnly);
  }

  #stop(inboundOnly: boolean): void {
    this.#stopped.add("inbound");
    if (!inboundOnly) this.#stopped.add("outbound");
    this.#options.onStop();
  }
}
