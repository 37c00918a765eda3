/**
 * The Endpoints and EndpointSlice mirroring controllers: one for Services with a selector, one for those without.
 *
 *   Services, pods ─▶ queue ─▶ endpointsOf (pure) ─▶ Endpoints
 *   Services, Endpoints, slices ─▶ queue ─▶ planMirror (pure) ─▶ EndpointSlices
 *
 * Nothing here is on the way of a request: what routes reads the slices. So a burst of changes is written once.
 */
import { type Endpoints, endpoints } from "#api/core/endpoints.ts";
import type { Pod } from "#api/core/pod.ts";
import type { Service } from "#api/core/service.ts";
import { type EndpointSlice, endpointSlices, serviceNameLabel } from "#api/discovery/endpointslice.ts";
import { type KubeObject, formatKey, keyOf, parseKey } from "#api/meta.ts";
import { isEqual } from "#api/schema/read.ts";
import { isAlreadyExists, ignoreNotFound } from "#api/status.ts";
import { type Context, type Controller, createQueue } from "../context.ts";
import { isManaged, selects } from "../endpointslice.ts";
import { WriteFence, lagMs } from "../owned.ts";
import { isMirrored, planMirror } from "./mirror.ts";
import { endpointsOf } from "./plan.ts";

/** How long changes are gathered, in ms. */
const gatherMs = 100;

export function createEndpointsController(context: Context): Controller {
  const { client, informers } = context;
  const queue = createQueue("endpoints", context, reconcile, 1);
  const touch = (object: KubeObject): void => queue.addAfter(formatKey(keyOf(object)), gatherMs);

  async function reconcile(key: string): Promise<void> {
    const service = informers.services.get(parseKey(key));
    const found = informers.endpoints.get(parseKey(key));
    if (service === undefined) {
      if (found !== undefined) await client.delete(endpoints, keyOf(found)).catch(ignoreNotFound);
      return;
    }
    if (!isManaged(service)) return;
    const { namespace } = service.metadata;
    const pods = informers.pods.list().filter(({ metadata }) => metadata.namespace === namespace);
    const wanted = endpointsOf(service, pods);
    if (found === undefined) await client.create(endpoints, wanted).catch(unlessThere);
    else if (!isSame(found, wanted)) await client.update(endpoints, wanted).catch(ignoreNotFound);
  }

  const touchServices = (pod: Pod): void => {
    for (const service of informers.services.list()) if (isManaged(service) && selects(service, pod)) touch(service);
  };
  informers.services.addHandler({ added: touch, updated: touch, deleted: touch });
  informers.pods.addHandler({
    added: touchServices,
    updated: (pod, before) => {
      touchServices(pod);
      if (!isEqual(pod.metadata.labels, before.metadata.labels)) touchServices(before);
    },
    deleted: touchServices,
  });
  return { name: "endpoints", start: (signal) => queue.start(signal) };
}

export function createMirroringController(context: Context): Controller {
  const { client, informers } = context;
  const queue = createQueue("endpointslice-mirroring", context, reconcile, 1);
  const fence = new WriteFence(informers.endpointSlices);
  const add = (object: KubeObject): void => queue.add(formatKey(keyOf(object)));

  async function reconcile(key: string): Promise<void> {
    const [service, found] = [informers.services.get(parseKey(key)), informers.endpoints.get(parseKey(key))];
    const { namespace, name } = parseKey(key);
    const owner = service ?? found;
    if (owner !== undefined && !fence.isCurrent(owner)) return queue.addAfter(key, lagMs);
    const slices = informers.endpointSlices
      .list()
      .filter(({ metadata }) => metadata.namespace === namespace && metadata.labels?.[serviceNameLabel] === name);
    const plan = planMirror(isMirrored(service, found) ? found : undefined, slices);
    const wrote = (slice: EndpointSlice): void => {
      if (owner !== undefined) fence.wrote(owner, slice);
    };
    for (const slice of plan.create) wrote(await client.create(endpointSlices, slice));
    for (const slice of plan.update) wrote(await client.update(endpointSlices, slice));
    for (const slice of plan.remove) await client.delete(endpointSlices, keyOf(slice)).then(wrote, ignoreNotFound);
  }

  const addIfMirrored = (object: Endpoints): void => {
    if (isMirrored(informers.services.get(keyOf(object)), object)) add(object);
  };
  informers.endpoints.addHandler({ added: addIfMirrored, updated: add, deleted: add });
  informers.services.addHandler({
    added: (service: Service) => {
      if (!isManaged(service)) add(service);
    },
    updated: (service, before) => {
      if (!isEqual(service.spec.selector, before.spec.selector)) add(service);
    },
    deleted: add,
  });
  return { name: "endpointslice-mirroring", start: (signal) => queue.start(signal) };
}

function isSame(found: Endpoints, wanted: Endpoints): boolean {
  return (
    isEqual(found.subsets ?? [], wanted.subsets ?? []) &&
    isEqual(found.metadata.labels ?? {}, wanted.metadata.labels ?? {}) &&
    isEqual(found.metadata.annotations ?? {}, wanted.metadata.annotations ?? {})
  );
}

/** There already: the cache is about to say so. */
function unlessThere(error: unknown): void {
  if (!isAlreadyExists(error)) throw error;
}
