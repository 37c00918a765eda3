/**
 * Netlink sockets, by the C library: Node has none. Of the network namespace of the thread that opens them.
 * Sources: netlink(7); include/uapi/linux/netlink.h.
 */
import { closeSync } from "node:fs";
import koffi from "koffi";

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const NETLINK_NETFILTER = 12;
const SOL_NETLINK = 270;

export class NetlinkSocket {
  readonly #fd: number;
  readonly #sending = new Set<Buffer>();
  #isClosed = false;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /** A socket of netfilter; undefined where that is refused. */
  static open(): NetlinkSocket | undefined {
    const { socket, bind } = calls();
    const fd = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_NETFILTER) as number;
    if (fd < 0) return undefined;
    // struct sockaddr_nl: family, and zeros: the kernel chooses our port.
    const address = new Uint8Array(12);
    address[0] = AF_NETLINK;
    if ((bind(fd, address, address.length) as number) === 0) return new NetlinkSocket(fd);
    closeSync(fd);
    return undefined;
  }

  /** Sets an option to a number; false where that is refused. */
  setOption(option: number, value: number): boolean {
    const bytes = new Uint8Array(new Uint32Array([value]).buffer);
    return (calls().setsockopt(this.#fd, SOL_NETLINK, option, bytes, bytes.length) as number) === 0;
  }

  /** Sends, and has the kernel act on it, before it returns; false where that is refused. */
  send(bytes: Buffer): boolean {
    return (calls().send(this.#fd, bytes, bytes.length, 0) as number) === bytes.length;
  }

  /** The same in a thread of libuv's, for what the kernel needs time for. Rejects where there can be no such call. */
  async sendAside(bytes: Buffer): Promise<boolean> {
    // koffi keeps no reference to what the thread reads.
    this.#sending.add(bytes);
    try {
      return await new Promise((resolve) => {
        calls().send.async(this.#fd, bytes, bytes.length, 0, (error: unknown, sent: unknown) =>
          resolve(error === null && sent === bytes.length),
        );
      });
    } finally {
      this.#sending.delete(bytes);
    }
  }

  /** What has come, up to the buffer's length; undefined if nothing has, "lost" if some of it could not be kept. */
  receive(buffer: Buffer): Buffer | "lost" | undefined {
    const length = calls().recv(this.#fd, buffer, buffer.length, 0) as number;
    if (length > 0) return buffer.subarray(0, length);
    return length < 0 && koffi.errno() === koffi.os.errno["ENOBUFS"] ? "lost" : undefined;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** After this the descriptor may be another file's. */
  close(): void {
    if (!this.#isClosed) closeSync(this.#fd);
    this.#isClosed = true;
  }
}

type Call = ReturnType<ReturnType<typeof koffi.load>["func"]>;
type Calls = Readonly<Record<"socket" | "bind" | "setsockopt" | "send" | "recv", Call>>;

let loaded: Calls | undefined;

/** Loaded when first used: tests of what decodes messages need no C library. */
function calls(): Calls {
  return (loaded ??= load());
}

function load(): Calls {
  const libc = koffi.load(null);
  return {
    socket: libc.func("int socket(int domain, int type, int protocol)"),
    bind: libc.func("int bind(int fd, const uint8_t *address, uint32_t length)"),
    setsockopt: libc.func("int setsockopt(int fd, int level, int option, const uint8_t *value, uint32_t length)"),
    send: libc.func("long send(int fd, const uint8_t *buffer, size_t length, int flags)"),
    recv: libc.func("long recv(int fd, _Out_ uint8_t *buffer, size_t length, int flags)"),
  };
}
