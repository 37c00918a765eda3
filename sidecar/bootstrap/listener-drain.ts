/**
 * Which listeners of a stand-alone sidecar take connections no more, because of POST /drain_listeners.
 *
 *   begin() ─▶ keep-alive ends ─▶ stops() says yes, at once or (graceful) when the time of the drain is over
 *           ─▶ onStop(): binds what is left          ─▶ tell(): the processes beside this one do the same
 *
 * Invariants: what is in flight is never cut; a listener that stopped never starts again, not even when a control plane
 * sends it anew; the first of several processes says when they all stop.
 */
import type { Clock } from "#lib/clock.ts";
import type { Direction } from "#proxy/l7/context.ts";
import type { DrainRequest } from "../admin/pages.ts";

export interface ListenerDrainOptions {
  readonly clock: Clock;
  /** Time between a graceful drain's begin and the end of listening, in ms. */
  readonly drainMs: number;
  /** Connections of these directions end behind their next answer. */
  readonly endKeepAlive: (directions: readonly Direction[]) => void;
  /** What stops() says has changed, for these. */
  readonly onStop: (directions: readonly Direction[]) => void;
  /** To the processes beside this one. */
  readonly tell: (request: DrainRequest) => void;
}

export class ListenerDrain {
  readonly #options: ListenerDrainOptions;
  readonly #draining = new Set<Direction>();
  readonly #stopped = new Set<Direction>();

  constructor(options: ListenerDrainOptions) {
    this.#options = options;
  }

  /** What brings another process to where this one is. */
  get standing(): readonly DrainRequest[] {
    const requests: DrainRequest[] = [];
    if (this.#draining.size > 0) requests.push(drainAlone(!this.#draining.has("outbound")));
    if (this.#stopped.size > 0) requests.push(stopNow(!this.#stopped.has("outbound")));
    return requests;
  }

  /** True when listeners of this direction take no more connections. */
  stops(direction: Direction): boolean {
    return this.#stopped.has(direction);
  }

  /** A graceful drain of what is drained already changes nothing, as in Envoy. */
  begin({ isGraceful, inboundOnly, skipsExit }: DrainRequest): void {
    const { clock, drainMs, endKeepAlive, tell } = this.#options;
    const wanted = directionsOf(inboundOnly);
    if (isGraceful && wanted.every((direction) => this.#draining.has(direction))) return;
    for (const direction of wanted) this.#draining.add(direction);
    if (!isGraceful) this.#stop(inboundOnly);
    else {
      tell(drainAlone(inboundOnly));
      if (!skipsExit) clock.after(drainMs, () => this.#stop(inboundOnly));
    }
    endKeepAlive(wanted);
  }

  #stop(inboundOnly: boolean): void {
    const stopping = directionsOf(inboundOnly).filter((direction) => !this.#stopped.has(direction));
    for (const direction of stopping) this.#stopped.add(direction);
    this.#options.onStop(stopping);
    this.#options.tell(stopNow(inboundOnly));
  }
}

function directionsOf(inboundOnly: boolean): readonly Direction[] {
  return inboundOnly ? ["inbound"] : ["inbound", "outbound"];
}

function drainAlone(inboundOnly: boolean): DrainRequest {
  return { isGraceful: true, inboundOnly, skipsExit: true };
}

function stopNow(inboundOnly: boolean): DrainRequest {
  return { isGraceful: false, inboundOnly, skipsExit: false };
}
