/**
 * The phases of a pod on its node; times are the monotonic clock's. Type only; `pod-worker.ts` holds the transitions.
 *
 *   Starting (network, sidecar, volumes) => Running (containers, probes, restarts)
 *     => Draining (deleted: out of the endpoints, still serving) => Stopping (TERM, then KILL) => Removing => Gone
 */
export type PodPhase =
  /** `busy`: the sandbox is being made; else it is tried again at `notBeforeMs`. */
  | { readonly kind: "starting"; readonly busy: boolean; readonly notBeforeMs: number; readonly failures: number }
  | { readonly kind: "running" }
  /** TERM goes out at `untilMs`. */
  | { readonly kind: "draining"; readonly untilMs: number }
  | { readonly kind: "stopping"; readonly killAtMs: number; readonly killed: boolean }
  | { readonly kind: "removing" }
  | { readonly kind: "gone" };
