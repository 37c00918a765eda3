/**
 * Starts the controllers and the scheduler over shared caches.
 *
 *   construct all (no effects) ─▶ run informers ─▶ wait for sync ─▶ start the queues
 */
import { ApiEventRecorder, type EventRecorder } from "#api/client/events.ts";
import type { Pod } from "#api/core/pod.ts";
import type { ObjectKey } from "#api/meta.ts";
import type { Objects } from "../snapshot/objects.ts";
import type { SchedulerMetrics } from "../scheduler/metrics.ts";
import { createScheduler } from "../scheduler/scheduler.ts";
import { type Context, type Controller, type Environment, type Informers, createInformers } from "./context.ts";
import { createDaemonSetController } from "./daemonset/controller.ts";
import { createDeploymentController } from "./deployment/controller.ts";
import { createEndpointsController, createMirroringController } from "./endpoints/controller.ts";
import { createEndpointSliceController } from "./endpointslice-controller.ts";
import { createGarbageCollector } from "./garbage-collector.ts";
import { createGatewayController } from "./gateway.ts";
import { createHostPortsController, type PublishHostPorts } from "./host-ports.ts";
import { createIngressController } from "./ingress.ts";
import { createJobController } from "./job/controller.ts";
import { createNamespaceController } from "./namespace.ts";
import { createNodeLifecycleController, type NodeLifecycleOptions } from "./node-lifecycle/controller.ts";
import { createPodGarbageCollector } from "./node-lifecycle/pod-gc.ts";
import { createTaintEvictionController } from "./node-lifecycle/taint-eviction.ts";
import { createReplicaSetController, createReplicationControllerController } from "./replicaset/controller.ts";
import { createDisruptionController } from "./disruption/controller.ts";
import { createRootCAPublisher, createServiceAccountController } from "./service-account.ts";

export interface ControllersOptions extends Environment {
  readonly finalize: (namespace: string, finalizers: readonly string[]) => Promise<unknown>;
  readonly bind: (pod: ObjectKey, nodeName: string) => Promise<Pod>;
  readonly objects: Objects;
  /** How nodes are watched over. Undefined: they are not, for tests without heartbeats. */
  readonly nodeLifecycle?: NodeLifecycleOptions | undefined;
  /** The cluster's authority, PEM text, published in each Namespace. Undefined: it is not. */
  readonly ca?: string | undefined;
  /** Publishes ports of Services on the host. Undefined: there is no host to publish on. */
  readonly publishHostPorts?: PublishHostPorts | undefined;
  readonly schedulerMetrics?: SchedulerMetrics | undefined;
  /** Feeds the caches to others, before the first list. */
  readonly observe?: (informers: Informers) => void;
}

/** Resolves when every cache has synced and every queue works. */
export async function startControllers(options: ControllersOptions, signal: AbortSignal): Promise<Informers> {
  const { client, clock, random, log, queues, finalize, bind, objects, observe } = options;
  const informers = createInformers({ client, clock, random, log });
  observe?.(informers);
  const recorder = (component: string): EventRecorder => new ApiEventRecorder({ client, clock, log, component });
  const context: Context = { client, clock, random, log, queues, recorder, informers };
  const controllers: Controller[] = [
    createNamespaceController(context, { finalize }),
    createDeploymentController(context),
    createReplicaSetController(context),
    createReplicationControllerController(context),
    createDaemonSetController(context),
    createJobController(context),
    createScheduler(context, { bind, metrics: options.schedulerMetrics }),
    createEndpointSliceController(context),
    createEndpointsController(context),
    createMirroringController(context),
    createGatewayController(context, { objects }),
    createIngressController(context),
    createGarbageCollector(context),
    createServiceAccountController(context),
    createDisruptionController(context),
    createTaintEvictionController(context),
    createPodGarbageCollector(context),
    ...(options.nodeLifecycle === undefined ? [] : [createNodeLifecycleController(context, options.nodeLifecycle)]),
    ...(options.publishHostPorts === undefined
      ? []
      : [createHostPortsController(context, { publish: options.publishHostPorts })]),
    ...(options.ca === undefined ? [] : [createRootCAPublisher(context, { ca: options.ca })]),
  ];
  for (const informer of Object.values(informers)) void informer.run(signal);
  await Promise.all(Object.values(informers).map(({ synced }) => synced));
  for (const controller of controllers) controller.start(signal);
  return informers;
}
