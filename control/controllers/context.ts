/**
 * What every controller is given: the API, the shared caches, time and chance.
 *
 *   API server ─▶ informers (one a kind, shared) ─▶ handlers ─▶ workqueue ─▶ reconcile ─▶ API server
 */
import type { KubeClient } from "#api/client/client.ts";
import type { EventRecorder } from "#api/client/events.ts";
import { Informer } from "#api/client/informer.ts";
import { Workqueue, type WorkqueueObserver } from "#api/client/workqueue.ts";
import { type ControllerRevision, controllerRevisions } from "#api/apps/controller-revision.ts";
import { type DaemonSet, daemonSets } from "#api/apps/daemonset.ts";
import { type Deployment, deployments } from "#api/apps/deployment.ts";
import { type ReplicaSet, replicaSets } from "#api/apps/replicaset.ts";
import { type Job, jobs } from "#api/batch/job.ts";
import { type Endpoints, endpoints } from "#api/core/endpoints.ts";
import { type Namespace, namespaces } from "#api/core/namespace.ts";
import { type Node, nodes } from "#api/core/node.ts";
import { type Pod, pods } from "#api/core/pod.ts";
import { type ReplicationController, replicationControllers } from "#api/core/replication-controller.ts";
import { type ServiceAccount, serviceAccounts } from "#api/core/service-account.ts";
import { type Service, services } from "#api/core/service.ts";
import { type EndpointSlice, endpointSlices } from "#api/discovery/endpointslice.ts";
import { type Gateway, type GatewayClass, gatewayClasses, gateways } from "#api/gateway/gateway.ts";
import { type HTTPRoute, httpRoutes } from "#api/gateway/httproute.ts";
import { type Ingress, ingresses } from "#api/networking/ingress.ts";
import { type IngressClass, ingressClasses } from "#api/networking/ingress-class.ts";
import type { Clock } from "#lib/clock.ts";
import type { Logger } from "#lib/log.ts";
import type { Random } from "#lib/random.ts";

export interface Environment {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Counts what the queues do. */
  readonly queues?: WorkqueueObserver | undefined;
}

/** One cache a kind, shared by all controllers and the scheduler. */
export interface Informers {
  readonly deployments: Informer<Deployment>;
  readonly replicaSets: Informer<ReplicaSet>;
  readonly replicationControllers: Informer<ReplicationController>;
  readonly daemonSets: Informer<DaemonSet>;
  readonly controllerRevisions: Informer<ControllerRevision>;
  readonly jobs: Informer<Job>;
  readonly pods: Informer<Pod>;
  readonly nodes: Informer<Node>;
  readonly namespaces: Informer<Namespace>;
  readonly serviceAccounts: Informer<ServiceAccount>;
  readonly services: Informer<Service>;
  readonly endpointSlices: Informer<EndpointSlice>;
  readonly endpoints: Informer<Endpoints>;
  readonly gatewayClasses: Informer<GatewayClass>;
  readonly gateways: Informer<Gateway>;
  readonly httpRoutes: Informer<HTTPRoute>;
  readonly ingressClasses: Informer<IngressClass>;
  readonly ingresses: Informer<Ingress>;
}

export interface Context extends Environment {
  /** Tells people what happened, in the name of a component. */
  readonly recorder: (component: string) => EventRecorder;
  readonly informers: Informers;
}

export function createInformers(environment: Environment): Informers {
  return {
    deployments: new Informer(deployments, environment),
    replicaSets: new Informer(replicaSets, environment),
    replicationControllers: new Informer(replicationControllers, environment),
    daemonSets: new Informer(daemonSets, environment),
    controllerRevisions: new Informer(controllerRevisions, environment),
    jobs: new Informer(jobs, environment),
    pods: new Informer(pods, environment),
    nodes: new Informer(nodes, environment),
    namespaces: new Informer(namespaces, environment),
    serviceAccounts: new Informer(serviceAccounts, environment),
    services: new Informer(services, environment),
    endpointSlices: new Informer(endpointSlices, environment),
    endpoints: new Informer(endpoints, environment),
    gatewayClasses: new Informer(gatewayClasses, environment),
    gateways: new Informer(gateways, environment),
    httpRoutes: new Informer(httpRoutes, environment),
    ingressClasses: new Informer(ingressClasses, environment),
    ingresses: new Informer(ingresses, environment),
  };
}

/** A controller is a queue of keys that its handlers fill. Constructed without effects; works from `start` on. */
export interface Controller {
  readonly name: string;
  start(signal: AbortSignal): void;
}

/** A controller out of a reconcile function. */
export function createQueue(
  name: string,
  { clock, random, log, queues: observer }: Environment,
  reconcile: (key: string) => Promise<void>,
  concurrency = 4,
): Workqueue {
  return new Workqueue({ name, reconcile, clock, random, log: log.with({ controller: name }), concurrency, observer });
}
