/** What a pod worker is given: effects, facts of the node, and whom to tell. */
import type { Pod } from "#api/core/pod.ts";
import type { EventRecorder } from "#api/client/events.ts";
import type { ImageMapEntry } from "#api/wire/image.ts";
import type { Clock } from "#lib/clock.ts";
import type { Logger } from "#lib/log.ts";
import type { AddressPool } from "./address-pool.ts";
import type { NodeResources } from "./downward.ts";
import type { APIService } from "./environment.ts";
import type { HookRunner } from "./hooks.ts";
import type { PodDirs } from "./pod-dirs.ts";
import type { PodWorker } from "./pod-worker.ts";
import type { Policies } from "./policies.ts";
import type { Prober } from "./probes/prober.ts";
import type { References } from "./references.ts";
import type { Runtime } from "./runtime.ts";
import type { Sidecars } from "./sidecars.ts";
import type { Tokens } from "./volumes/tokens.ts";

export interface WorkerDependencies {
  readonly runtime: Runtime;
  readonly prober: Prober;
  readonly hooks: HookRunner;
  readonly sidecars: Sidecars;
  readonly policies: Policies;
  readonly references: References;
  readonly dirs: PodDirs;
  readonly addresses: AddressPool;
  readonly tokens: Pick<Tokens, "token" | "forget">;
  readonly recorder: EventRecorder;
  readonly images: readonly ImageMapEntry[];
  readonly clock: Clock;
  readonly log: Logger;
  readonly nodeName: string;
  readonly hostIP: string;
  readonly nameserver: string;
  readonly nodeBinary: string;
  readonly api: APIService;
  readonly allocatable: NodeResources;
  /** Why the kernel does not enforce limits; undefined when it does. */
  readonly limitsRefusal: string | undefined;
  /** Runs a shell script in the node's network namespace; rejects with what it printed. */
  readonly runScript: (script: string) => Promise<void>;
  /** The pod's view may have changed: write its status. */
  readonly changed: (worker: PodWorker) => void;
  /** Nothing of the pod is left on the node: the object may go. */
  readonly gone: (worker: PodWorker, pod: Pod) => void;
}
