/**
 * Starts the controllers and the scheduler over shared caches.
 *
 *   construct all (no effects) ─▶ run informers ─▶ wait for sync ─▶ start the queues
 */
import type { Pod } from "#api/core/pod.ts";
import type { ObjectKey } from "#api/meta.ts";
import type { Objects } from "../snapshot/objects.ts";
import { createScheduler } from "../scheduler/scheduler.ts";
import { type Context, type Controller, type Environment, type Informers, createInformers } from "./context.ts";
import { createDeploymentController } from "./deployment.ts";
import { createEndpointSliceController } from "./endpointslice.ts";
import { createGarbageCollector } from "./garbage-collector.ts";
import { createGatewayController } from "./gateway.ts";
import { createIngressController } from "./ingress.ts";
import { createNamespaceController } from "./namespace.ts";
import { createReplicaSetController } from "./replicaset.ts";

export interface ControllersOptions extends Environment {
  readonly finalize: (namespace: string, finalizers: readonly string[]) => Promise<unknown>;
  readonly bind: (pod: ObjectKey, nodeName: string) => Promise<Pod>;
  readonly objects: Objects;
  /** Feeds the caches to others, before the first list. */
  readonly observe?: (informers: Informers) => void;
}

/** Resolves when every cache has synced and every queue works. */
export async function startControllers(options: ControllersOptions, signal: AbortSignal): Promise<Informers> {
  const { client, clock, random, log, finalize, bind, objects, observe } = options;
  const informers = createInformers({ client, clock, random, log });
  observe?.(informers);
  const context: Context = { client, clock, random, log, informers };
  const controllers: Controller[] = [
    createNamespaceController(context, { finalize }),
    createDeploymentController(context),
    createReplicaSetController(context),
    createScheduler(context, { bind }),
    createEndpointSliceController(context),
    createGatewayController(context, { objects }),
    createIngressController(context),
    createGarbageCollector(context),
  ];
  for (const informer of Object.values(informers)) void informer.run(signal);
  await Promise.all(Object.values(informers).map(({ synced }) => synced));
  for (const controller of controllers) controller.start(signal);
  return informers;
}
