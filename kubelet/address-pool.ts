/**
 * The pod addresses of one node: .2 to .254 of its /24; .1 is the node's end of each pod's link.
 *
 * Invariant: an address is held by at most one pod; a freed one is the last to be given out again, so that late packets
 * for its former pod reach nobody new.
 */
import { KubeletError } from "./errors.ts";

export class AddressPool {
  readonly #prefix: string;
  readonly #held = new Map<string, string>();
  readonly #free: number[];

  /** `podCIDR` is a /24, as `10.244.1.0/24`. */
  constructor(podCIDR: string) {
    this.#prefix = podCIDR.slice(0, podCIDR.lastIndexOf("."));
    this.#free = Array.from({ length: 253 }, (_, at) => at + 2);
  }

  get gatewayIP(): string {
    return `${this.#prefix}.1`;
  }

  /** The address of a pod, a new one or the one it has. Throws KubeletError when all are held. */
  allocate(podUid: string): string {
    const held = this.#held.get(podUid);
    if (held !== undefined) return held;
    const last = this.#free.shift();
    if (last === undefined) {
      throw new KubeletError(
        "FailedCreatePodSandBox",
        `Cannot give pod an address: all of ${this.#prefix}.0/24 are in use`,
      );
    }
    const address = `${this.#prefix}.${last}`;
    this.#held.set(podUid, address);
    return address;
  }

  /** Takes back the address of a pod that was there before a restart. */
  adopt(podUid: string, address: string): void {
    const at = this.#free.indexOf(Number(address.slice(address.lastIndexOf(".") + 1)));
    // Not among the free: held already, or not of this node. Nothing else must go in its place.
    if (at >= 0) this.#free.splice(at, 1);
    this.#held.set(podUid, address);
  }

  release(podUid: string): void {
    const address = this.#held.get(podUid);
    if (address === undefined) return;
    this.#held.delete(podUid);
    this.#free.push(Number(address.slice(address.lastIndexOf(".") + 1)));
  }
}
