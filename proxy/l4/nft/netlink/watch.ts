/**
 * Hears what others do to our tables: the kernel tells every change of nftables on a netlink group.
 *
 *   somebody: `nft flush ruleset` ─▶ kernel ─▶ NFNLGRP_NFTABLES ─▶ poll() ─▶ guard.ts replaces the table
 *
 * A socket that is read when asked, a few times a second: netlink sockets are none that Node can wait for. While we
 * change the table ourselves, the group is left, so that neither the kernel nor we write and read what we know; the
 * kernel counts transactions, and one that was not ours in that time is missed. So is what it could not keep for us.
 * Sources: include/uapi/linux/netfilter/nf_tables.h, nfnetlink.h; netlink(7).
 */
import type { TableNews, TableWatch } from "../../../guard.ts";
import { generationIn, generationRequest, namesOurTable } from "./messages.ts";
import { NetlinkSocket } from "./socket.ts";

const NETLINK_ADD_MEMBERSHIP = 1;
const NETLINK_DROP_MEMBERSHIP = 2;
const NFNLGRP_NFTABLES = 7;
const bufferBytes = 65_536;
/** Messages in one poll, more than the kernel keeps for a socket; what is beyond waits for the next. */
const readsMax = 4096;

/** Tells whether somebody else changed a table of ours. */
export class NetlinkTableWatch implements TableWatch {
  readonly #socket: NetlinkSocket;
  /** Asks for the number of the last transaction: no member of the group, so that the answer is what comes next. */
  readonly #asking: NetlinkSocket;
  readonly #buffer = Buffer.alloc(bufferBytes);
  #pauses = 0;
  /** Of ours, at most, since `#generation`. */
  #transactions = 0;
  #generation: number | undefined;
  #isMissed = false;

  private constructor(socket: NetlinkSocket, asking: NetlinkSocket) {
    this.#socket = socket;
    this.#asking = asking;
  }

  /** Starts to listen in the network namespace of this thread; undefined where that is refused. */
  static open(): NetlinkTableWatch | undefined {
    const asking = NetlinkSocket.open();
    const socket = NetlinkSocket.open();
    if (asking === undefined || socket === undefined) {
      asking?.close();
      socket?.close();
      return undefined;
    }
    const watch = new NetlinkTableWatch(socket, asking);
    if (socket.setOption(NETLINK_ADD_MEMBERSHIP, NFNLGRP_NFTABLES)) return watch;
    watch.close();
    return undefined;
  }

  setPaused(isPaused: boolean): void {
    if (this.#socket.isClosed) return;
    this.#pauses += isPaused ? 1 : -1;
    this.#transactions += isPaused ? 1 : 0;
    if (isPaused && this.#pauses === 1) {
      this.#generation = this.#askGeneration();
      this.#socket.setOption(NETLINK_DROP_MEMBERSHIP, NFNLGRP_NFTABLES);
    }
    if (isPaused || this.#pauses > 0) return;
    this.#socket.setOption(NETLINK_ADD_MEMBERSHIP, NFNLGRP_NFTABLES);
    const generation = this.#askGeneration();
    if (generation !== undefined && this.#generation !== undefined)
      this.#isMissed ||= (generation - this.#generation) >>> 0 > this.#transactions;
    this.#transactions = 0;
  }

  poll(): TableNews {
    let isChanged = false;
    // To the end: one change of somebody's may be many messages, and is one for us.
    for (let reads = 0; reads < readsMax && !this.#socket.isClosed; reads++) {
      const datagram = this.#socket.receive(this.#buffer);
      if (datagram === undefined) break;
      // It could not keep all: what it kept comes next.
      if (datagram === "lost") this.#isMissed = true;
      else isChanged ||= namesOurTable(datagram);
    }
    const isMissed = this.#isMissed;
    this.#isMissed = false;
    if (isChanged) return "changed";
    return isMissed ? "missed" : "none";
  }

  close(): void {
    this.#socket.close();
    this.#asking.close();
  }

  /** How many transactions the kernel has committed in this network namespace, modulo 2^32; undefined: it does not say. */
  #askGeneration(): number | undefined {
    if (!this.#asking.send(generationRequest)) return undefined;
    const answer = this.#asking.receive(this.#buffer);
    return answer === undefined || answer === "lost" ? undefined : generationIn(answer);
  }
}
