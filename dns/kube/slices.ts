/**
 * EndpointSlices by the Service that they belong to.
 *
 *   slices as they come, change and go ─▶ set, delete ─▶ endpointsOf(service)
 *
 * Nothing is kept of a Service whose last slice is gone.
 */
import type { ServiceResourceEndpoint } from "#api/wire/service.ts";
import type { SlimSlice } from "./slim.ts";

export class Slices {
  /** By `namespace/name` of the slice. */
  readonly #slices = new Map<string, SlimSlice>();
  /** Service → its slices. */
  readonly #ofService = new Map<string, Set<string>>();

  /** Services that have a slice. */
  get serviceCount(): number {
    return this.#ofService.size;
  }

  /** The Service that the slice belonged to before, if there was one. */
  set(key: string, slice: SlimSlice): string | undefined {
    const before = this.delete(key);
    this.#slices.set(key, slice);
    const siblings = this.#ofService.get(slice.service) ?? new Set();
    this.#ofService.set(slice.service, siblings.add(key));
    return before;
  }

  /** The Service that has it no more; undefined when there was no such slice. */
  delete(key: string): string | undefined {
    const slice = this.#slices.get(key);
    if (slice === undefined) return undefined;
    this.#slices.delete(key);
    const siblings = this.#ofService.get(slice.service);
    siblings?.delete(key);
    if (siblings?.size === 0) this.#ofService.delete(slice.service);
    return slice.service;
  }

  /** Sorted by address, each once: slices may name one twice for a moment. */
  endpointsOf(service: string): readonly ServiceResourceEndpoint[] {
    const endpoints = [...(this.#ofService.get(service) ?? [])].flatMap(
      (key) => this.#slices.get(key)?.endpoints ?? [],
    );
    return [...new Map(endpoints.map((endpoint) => [endpoint.address, endpoint])).values()].sort(byAddress);
  }
}

function byAddress(a: ServiceResourceEndpoint, b: ServiceResourceEndpoint): number {
  return a.address < b.address ? -1 : 1;
}
