/**
 * Commits compiled transactions: one socket that stays, one transaction at a time, in order.
 *
 *   exec.ts ─ run(bytes) ─▶ a thread sends ─▶ the kernel commits ─▶ its answers are read ─▶ done, or refused
 *
 * The kernel answers to the last message, and to each that it refuses, before the call that sends returns. It acts in
 * that call, so the call is made in a thread: somebody else's large transaction may hold the lock meanwhile.
 */
import { endianness } from "node:os";
import { errorsIn, setSequence } from "./messages.ts";
import { NetlinkSocket } from "./socket.ts";

/** Answers without the request that they are about; netlink(7). */
const NETLINK_CAP_ACK = 10;

export class NetlinkLink {
  #socket: NetlinkSocket | undefined;
  #sequence = 0;
  #tail: Promise<unknown> = Promise.resolve();
  readonly #answers = Buffer.alloc(65_536);

  /** Commits a transaction, whole or not at all. Resolves with whether it was committed; never rejects. */
  run(bytes: Buffer): Promise<boolean> {
    // Whatever fails here, nft is asked to do it, and says why it cannot.
    const result = this.#tail.then(() => this.#runNow(bytes)).catch(() => false);
    this.#tail = result;
    return result;
  }

  async #runNow(bytes: Buffer): Promise<boolean> {
    const socket = this.#open();
    if (socket === undefined) return false;
    this.#sequence = (this.#sequence + 1) >>> 0;
    setSequence(bytes, this.#sequence);
    const isSent = await socket.sendAside(bytes);
    const errors: number[] = [];
    let isLost = false;
    for (let answer = socket.receive(this.#answers); answer !== undefined; answer = socket.receive(this.#answers))
      if (answer === "lost") isLost = true;
      else errors.push(...errorsIn(answer, this.#sequence));
    // What was committed while its answer was lost nft may refuse to do again: then the table is replaced.
    return isSent && !isLost && errors.length > 0 && errors.every((error) => error === 0);
  }

  #open(): NetlinkSocket | undefined {
    if (this.#socket !== undefined || endianness() !== "LE") return this.#socket;
    // Asked again each time where it is refused: descriptors may be short for a while.
    this.#socket = NetlinkSocket.open();
    this.#socket?.setOption(NETLINK_CAP_ACK, 1);
    return this.#socket;
  }
}
