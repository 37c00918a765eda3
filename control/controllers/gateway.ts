/**
 * Gateways: the Deployment and Service that serve each, and the status conditions of GatewayClasses, Gateways and
 * HTTPRoutes. All decisions are in snapshot/gateway-deployment.ts and snapshot/status.ts; this file performs them.
 */
import { deployments } from "#api/apps/deployment.ts";
import { services } from "#api/core/service.ts";
import { gatewayClasses, gatewayController, gatewayNameLabel, gateways } from "#api/gateway/gateway.ts";
import { httpRoutes } from "#api/gateway/httproute.ts";
import { type KindRef } from "#api/kind.ts";
import { type KubeObject, formatKey, keyOf, parseKey } from "#api/meta.ts";
import { isEqual } from "#api/schema/read.ts";
import { isAlreadyExists, isNotFound } from "#api/status.ts";
import { gatewayWorkloadName, gatewayWorkloadOf } from "../snapshot/gateway-deployment.ts";
import type { Objects } from "../snapshot/objects.ts";
import { gatewayClassStatusOf, gatewayStatusOf, httpRouteStatusOf } from "../snapshot/status.ts";
import { type Context, type Controller, createQueue } from "./context.ts";

export interface GatewayOptions {
  /** What the snapshot was made from: statuses speak of what is really pushed. */
  readonly objects: Objects;
}

type What = "class" | "gateway" | "route";

export function createGatewayController(context: Context, { objects }: GatewayOptions): Controller {
  const { informers } = context;
  const reconcilers = createReconcilers(context, objects);
  const queue = createQueue("gateway", context, async (item) => {
    const blank = item.indexOf(" ");
    await reconcilers[item.slice(0, blank) as What](item.slice(blank + 1));
  });

  const addGateways = (): void => {
    for (const gateway of informers.gateways.list()) queue.add(`gateway ${formatKey(keyOf(gateway))}`);
  };
  const addRoutes = (): void => {
    for (const route of informers.httpRoutes.list()) queue.add(`route ${formatKey(keyOf(route))}`);
  };
  const addClass = ({ metadata }: KubeObject): void => queue.add(`class ${metadata.name}`);
  informers.gatewayClasses.addHandler({ added: addClass, updated: addClass });
  // Gateways count attached routes, routes name gateways and Services: a change of one may concern any of the others.
  const addBoth = (): void => (addGateways(), addRoutes());
  informers.gateways.addHandler({ added: addBoth, updated: addBoth, deleted: addRoutes });
  informers.httpRoutes.addHandler({ added: addBoth, updated: addBoth, deleted: addGateways });
  informers.services.addHandler({
    added: ({ metadata }) => (
      addRoutes(),
      metadata.labels?.[gatewayNameLabel] === undefined ? undefined : addGateways()
    ),
    deleted: addBoth,
  });
  return { name: "gateway", start: (signal) => queue.start(signal) };
}

function createReconcilers(context: Context, objects: Objects): Readonly<Record<What, (key: string) => Promise<void>>> {
  const { client, informers, clock } = context;

  async function reconcileClass(key: string): Promise<void> {
    const gatewayClass = informers.gatewayClasses.get(parseKey(key));
    if (gatewayClass?.spec.controllerName !== gatewayController) return;
    await writeStatus(gatewayClasses, gatewayClass, gatewayClassStatusOf(gatewayClass, clock.nowMs()));
  }

  async function reconcileGateway(key: string): Promise<void> {
    const gateway = informers.gateways.get(parseKey(key));
    const className = gateway?.spec.gatewayClassName ?? "";
    const controller = informers.gatewayClasses.get({ name: className })?.spec.controllerName;
    if (gateway === undefined || controller !== gatewayController) return;
    const workload = gatewayWorkloadOf(gateway);
    if (workload !== undefined) {
      await ensure(deployments, workload.deployment);
      await ensure(services, workload.service);
    }
    const name = gatewayWorkloadName(gateway.metadata.name);
    const service = informers.services.get({ ...keyOf(gateway), name });
    const address = service?.spec.clusterIP ?? "";
    const status = gatewayStatusOf(gateway, address === "" ? [] : [address], objects, clock.nowMs());
    await writeStatus(gateways, gateway, status);
  }

  async function reconcileRoute(key: string): Promise<void> {
    const route = informers.httpRoutes.get(parseKey(key));
    if (route === undefined) return;
    const status = httpRouteStatusOf(route, objects, clock.nowMs());
    if (status !== undefined) await writeStatus(httpRoutes, route, status);
  }

  async function writeStatus<T extends KubeObject & { readonly status?: unknown }>(
    kind: KindRef<T>,
    object: T,
    status: unknown,
  ): Promise<void> {
    if (isEqual(object.status, status)) return;
    await client.patchStatus(kind, keyOf(object), { status }).catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
    });
  }

  /** Creates what is missing and brings back the spec that the Gateway asks for; what people scaled stays scaled. */
  async function ensure<T extends KubeObject & { readonly spec: object }>(kind: KindRef<T>, wanted: T): Promise<void> {
    const found = await client.get(kind, keyOf(wanted)).catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
      return undefined;
    });
    if (found === undefined) {
      await client.create(kind, wanted).catch((error: unknown) => {
        if (!isAlreadyExists(error)) throw error;
      });
      return;
    }
    const { replicas: _scaledByPeople, ...spec } = wanted.spec as { readonly replicas?: number };
    await client.patch(kind, keyOf(wanted), { spec });
  }

  return { class: reconcileClass, gateway: reconcileGateway, route: reconcileRoute };
}
