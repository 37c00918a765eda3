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
import { closeSync } from "node:fs";
import koffi from "koffi";
import type { TableNews, TableWatch } from "../../guard.ts";
import { generationIn, generationRequest, namesOurTable } from "./messages.ts";

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const NETLINK_NETFILTER = 12;
const SOL_NETLINK = 270;
const NETLINK_ADD_MEMBERSHIP = 1;
const NETLINK_DROP_MEMBERSHIP = 2;
const NFNLGRP_NFTABLES = 7;
const bufferBytes = 65_536;
/** Messages in one poll, more than the kernel keeps for a socket; what is beyond waits for the next. */
const readsMax = 4096;

/** Tells whether somebody else changed a table of ours. */
export class NetlinkTableWatch implements TableWatch {
  readonly #fd: number;
  /** Asks for the number of the last transaction: no member of the group, so that the answer is what comes next. */
  readonly #asking: number;
  readonly #buffer = Buffer.alloc(bufferBytes);
  #pauses = 0;
  /** Of ours, at most, since `#generation`. */
  #transactions = 0;
  #generation: number | undefined;
  #isMissed = false;
  #isClosed = false;

  private constructor(fd: number, asking: number) {
    this.#fd = fd;
    this.#asking = asking;
  }

  /** Starts to listen in the network namespace of this thread; undefined where that is refused. */
  static open(): NetlinkTableWatch | undefined {
    const asking = openSocket();
    if (asking === undefined) return undefined;
    const fd = openSocket();
    if (fd === undefined) closeSync(asking);
    if (fd === undefined) return undefined;
    const watch = new NetlinkTableWatch(fd, asking);
    if (watch.#setMembership(NETLINK_ADD_MEMBERSHIP)) return watch;
    watch.close();
    return undefined;
  }

  setPaused(isPaused: boolean): void {
    // The descriptor may be another file's by now.
    if (this.#isClosed) return;
    this.#pauses += isPaused ? 1 : -1;
    this.#transactions += isPaused ? 1 : 0;
    if (isPaused && this.#pauses === 1) {
      this.#generation = this.#askGeneration();
      this.#setMembership(NETLINK_DROP_MEMBERSHIP);
    }
    if (isPaused || this.#pauses > 0) return;
    this.#setMembership(NETLINK_ADD_MEMBERSHIP);
    const generation = this.#askGeneration();
    if (generation !== undefined && this.#generation !== undefined)
      this.#isMissed ||= (generation - this.#generation) >>> 0 > this.#transactions;
    this.#transactions = 0;
  }

  poll(): TableNews {
    const { recv } = calls();
    let isChanged = false;
    // To the end: one change of somebody's may be many messages, and is one for us.
    for (let reads = 0; reads < readsMax && !this.#isClosed; reads++) {
      const length = recv(this.#fd, this.#buffer, bufferBytes, 0) as number;
      if (length < 0 && koffi.errno() === koffi.os.errno["ENOBUFS"]) {
        // It could not keep all: what it kept comes next.
        this.#isMissed = true;
        continue;
      }
      if (length <= 0) break;
      isChanged ||= namesOurTable(this.#buffer.subarray(0, length));
    }
    const isMissed = this.#isMissed;
    this.#isMissed = false;
    if (isChanged) return "changed";
    return isMissed ? "missed" : "none";
  }

  close(): void {
    if (!this.#isClosed) for (const fd of [this.#fd, this.#asking]) closeSync(fd);
    this.#isClosed = true;
  }

  /** How many transactions the kernel has committed in this network namespace, modulo 2^32; undefined: it does not say. */
  #askGeneration(): number | undefined {
    const { send, recv } = calls();
    if ((send(this.#asking, generationRequest, generationRequest.length, 0) as number) < 0) return undefined;
    const length = recv(this.#asking, this.#buffer, bufferBytes, 0) as number;
    return length < 0 ? undefined : generationIn(this.#buffer.subarray(0, length));
  }

  #setMembership(option: number): boolean {
    const group = new Uint8Array(new Uint32Array([NFNLGRP_NFTABLES]).buffer);
    return (calls().setsockopt(this.#fd, SOL_NETLINK, option, group, group.length) as number) === 0;
  }
}

/** A netlink socket of the network namespace of this thread; undefined where it is refused. */
function openSocket(): number | undefined {
  const { socket, bind } = calls();
  const fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_NETFILTER) as number;
  if (fd < 0) return undefined;
  // struct sockaddr_nl: family, and zeros: the kernel chooses our port.
  const address = new Uint8Array(12);
  address[0] = AF_NETLINK;
  if ((bind(fd, address, address.length) as number) === 0) return fd;
  closeSync(fd);
  return undefined;
}

type Calls = ReturnType<typeof load>;

let loaded: Calls | undefined;

/** Loaded when first used: tests of what decodes messages need no C library. */
function calls(): Calls {
  return (loaded ??= load());
}

type Call = ReturnType<ReturnType<typeof koffi.load>["func"]>;

function load(): Readonly<Record<"socket" | "bind" | "setsockopt" | "send" | "recv", Call>> {
  const libc = koffi.load(null);
  return {
    socket: libc.func("int socket(int domain, int type, int protocol)"),
    bind: libc.func("int bind(int fd, const uint8_t *address, uint32_t length)"),
    setsockopt: libc.func("int setsockopt(int fd, int level, int option, const uint8_t *value, uint32_t length)"),
    send: libc.func("long send(int fd, const uint8_t *buffer, size_t length, int flags)"),
    recv: libc.func("long recv(int fd, _Out_ uint8_t *buffer, size_t length, int flags)"),
  };
}
