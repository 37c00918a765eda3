/**
 * Hears what others do to our tables: the kernel tells every change of nftables on a netlink group.
 *
 *   somebody: `nft flush ruleset` ─▶ kernel ─▶ NFNLGRP_NFTABLES ─▶ poll() ─▶ state.ts replaces the table
 *
 * A socket that is read when asked, a few times a second: netlink sockets are none that Node can wait for. While we
 * change the table ourselves, the group is left, so that neither the kernel nor we write and read what we know.
 * What happens in that moment, and what the kernel could not keep for us, is found by the check that follows our
 * changes within a second, or four while they never end, as far as it takes rules of base chains away; the rest within
 * the hour (state.ts).
 * Sources: include/uapi/linux/netfilter/nf_tables.h, nfnetlink.h; netlink(7).
 */
import { closeSync } from "node:fs";
import koffi from "koffi";
import { policyTableNames, tableNames } from "./names.ts";

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const NETLINK_NETFILTER = 12;
const SOL_NETLINK = 270;
const NETLINK_ADD_MEMBERSHIP = 1;
const NETLINK_DROP_MEMBERSHIP = 2;
const NFNLGRP_NFTABLES = 7;
const NFNL_SUBSYS_NFTABLES = 10;
/** NFTA_TABLE_NAME, NFTA_CHAIN_TABLE, NFTA_RULE_TABLE, NFTA_SET_TABLE, NFTA_SET_ELEM_LIST_TABLE: the first attribute. */
const NFTA_TABLE = 1;
/** NFT_MSG_NEWGEN: a transaction has ended; names no table. */
const NFT_MSG_NEWGEN = 15;
/** After nlmsghdr and nfgenmsg. */
const attributesAt = 20;
const bufferBytes = 65_536;
/** Messages in one poll, more than the kernel keeps for a socket; what is beyond waits for the next. */
const readsMax = 4096;

/** Tells whether somebody else changed a table of ours. */
export class NetlinkTableWatch {
  readonly #fd: number;
  readonly #buffer = Buffer.alloc(bufferBytes);
  #pauses = 0;
  #isClosed = false;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /** Starts to listen in the network namespace of this thread; undefined where that is refused. */
  static open(): NetlinkTableWatch | undefined {
    const { socket, bind } = calls();
    const fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_NETFILTER) as number;
    if (fd < 0) return undefined;
    // struct sockaddr_nl: family, and zeros: the kernel chooses our port.
    const address = new Uint8Array(12);
    address[0] = AF_NETLINK;
    const watch = new NetlinkTableWatch(fd);
    if ((bind(fd, address, address.length) as number) === 0 && watch.#setMembership(NETLINK_ADD_MEMBERSHIP))
      return watch;
    watch.close();
    return undefined;
  }

  setPaused(isPaused: boolean): void {
    // The descriptor may be another file's by now.
    if (this.#isClosed) return;
    this.#pauses += isPaused ? 1 : -1;
    if (isPaused && this.#pauses === 1) this.#setMembership(NETLINK_DROP_MEMBERSHIP);
    if (!isPaused && this.#pauses === 0) this.#setMembership(NETLINK_ADD_MEMBERSHIP);
  }

  poll(): boolean {
    const { recv } = calls();
    let isChanged = false;
    // To the end: one change of somebody's may be many messages, and is one for us.
    for (let reads = 0; reads < readsMax && !this.#isClosed; reads++) {
      const length = recv(this.#fd, this.#buffer, bufferBytes, 0) as number;
      // It could not keep all: what it kept comes next.
      if (length < 0 && koffi.errno() === koffi.os.errno["ENOBUFS"]) continue;
      if (length <= 0) break;
      isChanged ||= namesOurTable(this.#buffer.subarray(0, length));
    }
    return isChanged;
  }

  close(): void {
    if (!this.#isClosed) closeSync(this.#fd);
    this.#isClosed = true;
  }

  #setMembership(option: number): boolean {
    const group = new Uint8Array(new Uint32Array([NFNLGRP_NFTABLES]).buffer);
    return (calls().setsockopt(this.#fd, SOL_NETLINK, option, group, group.length) as number) === 0;
  }
}

/** Whether a datagram of netlink messages is about a table of ours. Pure. */
export function namesOurTable(datagram: Buffer): boolean {
  for (let at = 0; at + attributesAt <= datagram.length;) {
    const length = datagram.readUInt32LE(at);
    if (length < attributesAt || at + length > datagram.length) return false;
    const type = datagram.readUInt16LE(at + 4);
    const isChange = type >> 8 === NFNL_SUBSYS_NFTABLES && (type & 0xff) !== NFT_MSG_NEWGEN;
    const name = isChange ? tableNameIn(datagram.subarray(at + attributesAt, at + length)) : undefined;
    if (name !== undefined && (tableNames.includes(name) || policyTableNames.includes(name))) return true;
    // Messages are aligned to four bytes.
    at += (length + 3) & ~3;
  }
  return false;
}

function tableNameIn(attributes: Buffer): string | undefined {
  for (let at = 0; at + 4 <= attributes.length;) {
    const length = attributes.readUInt16LE(at);
    if (length < 4 || at + length > attributes.length) return undefined;
    // Text ends with a zero byte.
    if (attributes.readUInt16LE(at + 2) === NFTA_TABLE) return attributes.toString("utf8", at + 4, at + length - 1);
    at += (length + 3) & ~3;
  }
  return undefined;
}

type Calls = ReturnType<typeof load>;

let loaded: Calls | undefined;

/** Loaded when first used: tests of what decodes messages need no C library. */
function calls(): Calls {
  return (loaded ??= load());
}

type Call = ReturnType<ReturnType<typeof koffi.load>["func"]>;

function load(): Readonly<Record<"socket" | "bind" | "setsockopt" | "recv", Call>> {
  const libc = koffi.load(null);
  return {
    socket: libc.func("int socket(int domain, int type, int protocol)"),
    bind: libc.func("int bind(int fd, const uint8_t *address, uint32_t length)"),
    setsockopt: libc.func("int setsockopt(int fd, int level, int option, const uint8_t *value, uint32_t length)"),
    recv: libc.func("long recv(int fd, _Out_ uint8_t *buffer, size_t length, int flags)"),
  };
}
