/**
 * Which Services own an address: their clusterIPs and endpoints, for reverse names and for the namespace of a pod.
 *
 *   zone.ts ─▶ add, remove ─▶ AddressOwners.of(address) ─▶ names of Services, in the order in which they came
 *
 * Most addresses have one owner, which is kept without a list around it.
 */
import type { ServiceResource } from "#api/wire/service.ts";
import { canonical, toBytes } from "./address.ts";

export class AddressOwners {
  /** Canonical address → names of the Services. */
  readonly #owners = new Map<string, string | readonly string[]>();

  of(address: string): readonly string[] {
    const found = this.#owners.get(address);
    return found === undefined ? [] : [found].flat();
  }

  add(name: string, resource: ServiceResource): void {
    for (const address of addressesOf(resource)) {
      const owners = this.#owners.get(address);
      this.#owners.set(address, owners === undefined ? name : [owners, name].flat());
    }
  }

  remove(name: string, resource: ServiceResource): void {
    for (const address of addressesOf(resource)) {
      const left = this.of(address).filter((owner) => owner !== name);
      if (left.length === 0) this.#owners.delete(address);
      else this.#owners.set(address, left);
    }
  }
}

/** Every address that has a reverse name through the Service, once. */
function addressesOf({ clusterIPs, endpoints }: ServiceResource): ReadonlySet<string> {
  const all = new Set<string>();
  for (const text of clusterIPs) addAddress(all, text);
  for (const { address } of endpoints) addAddress(all, address);
  return all;
}

function addAddress(all: Set<string>, text: string): void {
  // IPv4 has one spelling, so most need no bytes.
  if (!text.includes(":")) return void all.add(text);
  const bytes = toBytes(text);
  if (bytes !== undefined) all.add(canonical(bytes));
}
