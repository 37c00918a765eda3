/**
 * Commits compiled transactions: one socket that stays, one transaction at a time, in order.
 *
 *   exec.ts ─ run(bytes) ─▶ a thread sends ─▶ the kernel commits ─▶ its answers are read ─▶ done, or refused
 *
 * The kernel answers to the last message, and to each that it refuses, before the call that sends returns. It acts in
 * that call, so the call is made in a thread: somebody else's large transaction may hold the lock meanwhile.
 */
import { endianness } from "node:os";
import { errorsIn } from "./messages.ts";
import { NetlinkSocket } from "./socket.ts";

/** Answers without the request that they are about; netlink(7). */
const NETLINK_CAP_ACK = 10;

export class NetlinkLink {
  #socket: NetlinkSocket | undefined;
  /** Where there is no such socket there will be none later. */
  #isRefused: boolean = endianness() !== "LE";
  #tail: Promise<unknown> = Promise.resolve();
  readonly #answers = Buffer.alloc(65_536);

  /** Commits a transaction, whole or not at all. Resolves with whether it was committed; never rejects. */
  run(bytes: Buffer): Promise<boolean> {
    const result = this.#tail.then(() => this.#runNow(bytes));
    this.#tail = result;
    return result;
  }

  async #runNow(bytes: Buffer): Promise<boolean> {
    const socket = this.#open();
    if (socket === undefined) return false;
    const isSent = await socket.sendAside(bytes);
    const errors: number[] = [];
    let isLost = false;
    for (let answer = socket.receive(this.#answers); answer !== undefined; answer = socket.receive(this.#answers))
      if (answer === "lost") isLost = true;
      else errors.push(...errorsIn(answer));
    return isSent && !isLost && errors.length > 0 && errors.every((error) => error === 0);
  }

  #open(): NetlinkSocket | undefined {
    if (this.#isRefused || this.#socket !== undefined) return this.#socket;
    this.#socket = NetlinkSocket.open();
    this.#isRefused = this.#socket === undefined;
    this.#socket?.setOption(NETLINK_CAP_ACK, 1);
    return this.#socket;
  }
}
