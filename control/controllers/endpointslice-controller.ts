/**
 * Keeps the EndpointSlices of Services that select pods.
 *
 *   Services, pods, nodes, slices ─▶ a Service's key ─▶ planSlices (endpointslice.ts) ─▶ API server
 *
 * Each slice says when the change happened for which it was written: from it node proxies tell how long it took until
 * the change was programmed.
 */
import { type Node, zoneLabel } from "#api/core/node.ts";
import type { Pod } from "#api/core/pod.ts";
import type { Service } from "#api/core/service.ts";
import {
  type EndpointSlice,
  endpointSlices,
  lastChangeAnnotation,
  serviceNameLabel,
} from "#api/discovery/endpointslice.ts";
import { formatKey, keyOf, parseKey } from "#api/meta.ts";
import { isEqual } from "#api/schema/read.ts";
import { isNotFound } from "#api/status.ts";
import { type Context, type Controller, createQueue } from "./context.ts";
import { isManaged, planSlices, selects, type SlicePlan } from "./endpointslice.ts";

export function createEndpointSliceController(context: Context): Controller {
  return new EndpointSliceController(context);
}

class EndpointSliceController implements Controller {
  readonly name = "endpointslice";
  readonly #context: Context;
  readonly #queue: ReturnType<typeof createQueue>;
  readonly #services = new Map<string, Map<string, Service>>();
  readonly #slices = new Map<string, Map<string, EndpointSlice>>();
  readonly #pods = new Map<string, Map<string, Pod>>();
  /** By Service: the last revision that was written of its slices. */
  readonly #written = new Map<string, number>();
  /** By Service: when the first change was told that its slices do not have yet. Kubernetes' is to the second only. */
  readonly #changed = new Map<string, number>();

  constructor(context: Context) {
    this.#context = context;
    this.#queue = createQueue(this.name, context, (key) => this.#reconcile(key));
    const { services, endpointSlices: slices, pods, nodes } = context.informers;
    services.addHandler(
      indexed(
        this.#services,
        ({ metadata }) => metadata.namespace ?? "",
        (service) => this.#change(formatKey(keyOf(service))),
      ),
    );
    slices.addHandler(
      indexed(
        this.#slices,
        (slice) => serviceKeyOf(slice) ?? "",
        (slice) => {
          const key = serviceKeyOf(slice);
          if (key !== undefined) this.#queue.add(key);
        },
      ),
    );
    const podIndex = indexed(
      this.#pods,
      ({ metadata }: Pod) => metadata.namespace ?? "",
      (pod) => this.#touch(pod),
    );
    pods.addHandler({
      ...podIndex,
      updated: (pod, before) => {
        podIndex.updated(pod);
        // Labels may have moved it from one Service to another.
        if (!isEqual(pod.metadata.labels, before.metadata.labels)) this.#touch(before);
      },
    });
    const moved = (node: Node): void => {
      for (const pod of pods.list()) if (pod.spec.nodeName === node.metadata.name) this.#touch(pod);
    };
    nodes.addHandler({
      added: moved,
      updated: (node, before) => (zoneOf(node) === zoneOf(before) ? undefined : moved(node)),
    });
  }

  start(signal: AbortSignal): void {
    this.#queue.start(signal);
  }

  /** What is there changed, and not only what we wrote. */
  #change(key: string): void {
    if (!this.#changed.has(key)) this.#changed.set(key, this.#context.clock.nowMs());
    this.#queue.add(key);
  }

  #touch(pod: Pod): void {
    for (const service of this.#services.get(pod.metadata.namespace ?? "")?.values() ?? [])
      if (isManaged(service) && selects(service, pod)) this.#change(formatKey(keyOf(service)));
  }

  async #reconcile(key: string): Promise<void> {
    const { informers } = this.#context;
    const service = informers.services.get(parseKey(key));
    if (service === undefined || !isManaged(service)) return void this.#changed.delete(key);
    if (informers.endpointSlices.revision < (this.#written.get(key) ?? 0)) return this.#queue.addAfter(key, 2);
    this.#written.delete(key);
    const plan = planSlices(service, {
      pods: [...(this.#pods.get(service.metadata.namespace ?? "default")?.values() ?? [])],
      slices: [...(this.#slices.get(key)?.values() ?? [])],
      zoneOfNode: (name) => zoneOf(informers.nodes.get({ name })),
    });
    const changedMs = this.#changed.get(key);
    this.#changed.delete(key);
    try {
      await this.#write(key, plan, changedMs);
    } catch (error) {
      // What is tried again happened when it did.
      if (changedMs !== undefined) this.#changed.set(key, changedMs);
      throw error;
    }
  }

  async #write(key: string, plan: SlicePlan, changedMs: number | undefined): Promise<void> {
    const { client } = this.#context;
    const wrote = ({ metadata }: EndpointSlice): void =>
      void this.#written.set(key, Math.max(this.#written.get(key) ?? 0, Number(metadata.resourceVersion ?? 0)));
    for (const slice of plan.update) wrote(await client.update(endpointSlices, stamp(slice, changedMs)));
    for (const slice of plan.create) wrote(await client.create(endpointSlices, stamp(slice, changedMs)));
    for (const slice of plan.remove) {
      await client.delete(endpointSlices, keyOf(slice)).then(wrote, (error: unknown) => {
        if (!isNotFound(error)) throw error;
      });
    }
  }
}

function zoneOf(node: Node | undefined): string | undefined {
  return node?.metadata.labels?.[zoneLabel];
}

/** The slice with when that happened for which it is written, in wall-clock ms; without, when that is not known. */
function stamp(slice: EndpointSlice, changedMs: number | undefined): EndpointSlice {
  const { [lastChangeAnnotation]: _before, ...others } = slice.metadata.annotations ?? {};
  const own = changedMs === undefined ? {} : { [lastChangeAnnotation]: new Date(changedMs).toISOString() };
  return { ...slice, metadata: { ...slice.metadata, annotations: { ...others, ...own } } };
}

/** The Service of a slice as a queue key. */
function serviceKeyOf({ metadata }: EndpointSlice): string | undefined {
  const name = metadata.labels?.[serviceNameLabel];
  return name === undefined ? undefined : `${metadata.namespace}/${name}`;
}

/** A handler that keeps objects by a key of theirs, and tells of each change afterwards. */
function indexed<T extends { readonly metadata: { readonly name: string; readonly namespace?: string } }>(
  index: Map<string, Map<string, T>>,
  keyOfObject: (object: T) => string,
  changed: (object: T) => void,
): { added(object: T): void; updated(object: T): void; deleted(object: T): void } {
  const put = (object: T): void => {
    const key = keyOfObject(object);
    const objects = index.get(key) ?? new Map<string, T>();
    objects.set(object.metadata.name, object);
    index.set(key, objects);
    changed(object);
  };
  return {
    added: put,
    updated: put,
    deleted(object) {
      const objects = index.get(keyOfObject(object));
      objects?.delete(object.metadata.name);
      if (objects?.size === 0) index.delete(keyOfObject(object));
      changed(object);
    },
  };
}
