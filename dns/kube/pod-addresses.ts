/**
 * Which namespace an address is a pod's of.
 *
 *   pods as they come, change and go ─▶ set, delete ─▶ namespaceOf
 *
 * An address is the pod's that got it last: what is said later of a pod that had it before neither takes it back nor
 * frees it. Order across objects is the watch's: a pod may be seen to go after another was seen with its address.
 */
export class PodAddresses {
  /** Pod (`namespace/name`) → its addresses, canonical. */
  readonly #addresses = new Map<string, readonly string[]>();
  /** Address → its pod. */
  readonly #owners = new Map<string, string>();

  set(pod: string, addresses: readonly string[]): void {
    const before = this.#addresses.get(pod) ?? [];
    for (const address of before) if (!addresses.includes(address)) this.#free(address, pod);
    for (const address of addresses) if (!before.includes(address)) this.#owners.set(address, pod);
    this.#addresses.set(pod, addresses);
  }

  delete(pod: string): void {
    for (const address of this.#addresses.get(pod) ?? []) this.#free(address, pod);
    this.#addresses.delete(pod);
  }

  namespaceOf(address: string): string | undefined {
    return this.#owners.get(address)?.split("/")[0];
  }

  #free(address: string, pod: string): void {
    if (this.#owners.get(address) === pod) this.#owners.delete(address);
  }
}
