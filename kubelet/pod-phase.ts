/**
 * The phases of a pod on its node; times are the monotonic clock's. Type only; `pod-worker.ts` holds the transitions.
 *
 *   Starting (network, sidecar, volumes) => Running (containers, probes, restarts)
 *     => Draining (deleted: out of the endpoints, still serving) => Stopping => Removing => Gone
 *     => Stopping (all over, or its time is up: what still runs) => Finishing => Finished (until its object is deleted)
 */
export type PodPhase =
  /** `busy`: the sandbox is being made; else it is tried again at `notBeforeMs`. */
  | { readonly kind: "starting"; readonly busy: boolean; readonly notBeforeMs: number; readonly failures: number }
  | { readonly kind: "running" }
  /** The containers are told to end at `untilMs`. */
  | { readonly kind: "draining"; readonly untilMs: number }
  /** Hooks and TERM, then KILL at `killAtMs`; the pod's sidecars after the others. */
  | { readonly kind: "stopping"; readonly killAtMs: number }
  /** Sidecar, network and volumes go. */
  | { readonly kind: "finishing" }
  /** Only its logs and its status are left. */
  | { readonly kind: "finished" }
  | { readonly kind: "removing" }
  | { readonly kind: "gone" };
