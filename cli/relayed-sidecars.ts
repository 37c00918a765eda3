/**
 * The kubelet's view of the node's sidecars, over the launcher: requests go out, answers come back by pod.
 *
 * Invariant: the launcher's table, sent at start, comes before any request is answered, so a sidecar that listens
 * already is never waited for.
 */
import type { SidecarSpec } from "#api/wire/sidecar.ts";
import type { Clock } from "#lib/clock.ts";
import type { Sidecars } from "../kubelet/sidecars.ts";
import type { SidecarMessage, SidecarTable } from "./ipc.ts";

interface Waiting {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** Longest wait for a sidecar to listen, in ms: its first configuration must have come by then. */
const listenMaxMs = 20_000;
/** How much longer than its drain a removal may take, in ms. */
const removeSlackMs = 2000;

export class RelayedSidecars implements Sidecars {
  readonly #send: (message: SidecarMessage) => void;
  readonly #clock: Clock;
  readonly #listening = new Set<string>();
  readonly #adding = new Map<string, Waiting>();
  readonly #removing = new Map<string, () => void>();

  constructor(send: (message: SidecarMessage) => void, clock: Clock) {
    this.#send = send;
    this.#clock = clock;
  }

  receive(message: SidecarMessage | SidecarTable): void {
    if (message.kind === "sidecarTable") {
      for (const { spec, listening } of message.sidecars) if (listening) this.#listening.add(spec.podUid);
    } else if (message.kind === "sidecarListening") {
      this.#listening.add(message.podUid);
      this.#adding.get(message.podUid)?.resolve();
    } else if (message.kind === "sidecarFailed") {
      this.#adding.get(message.podUid)?.reject(new Error(`Cannot start sidecar: ${message.message}`));
    } else if (message.kind === "sidecarRemoved") {
      this.#listening.delete(message.podUid);
      this.#removing.get(message.podUid)?.();
    }
  }

  async add(spec: SidecarSpec): Promise<void> {
    if (this.#listening.has(spec.podUid)) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#adding.set(spec.podUid, { resolve, reject });
    const seconds = listenMaxMs / 1000;
    const timer = this.#clock.after(listenMaxMs, () =>
      reject(new Error(`Cannot start sidecar: it does not listen after ${seconds} s`)),
    );
    this.#send({ kind: "sidecarAdd", spec });
    try {
      await promise;
    } finally {
      timer.cancel();
      this.#adding.delete(spec.podUid);
    }
  }

  async remove(podUid: string, drainMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#removing.set(podUid, resolve);
    // A host that is being restarted has nothing left of it: going on is right.
    const timer = this.#clock.after(drainMs + removeSlackMs, resolve);
    this.#send({ kind: "sidecarRemove", podUid, drainMs });
    await promise;
    timer.cancel();
    this.#removing.delete(podUid);
  }
}
