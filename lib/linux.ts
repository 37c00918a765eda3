/**
 * The few system calls that Node has no name for: network namespaces, marks, original destinations.
 *
 *   pod's namespace file ─▶ openNamespace ─▶ connectTCP / listenTCP / bindUDP in it ─▶ file descriptor ─▶ node:net, node:dgram
 *
 * Invariant: the calling thread is back in its own network namespace when any function here returns; if it cannot go
 * back, the process aborts, for a socket made in the wrong namespace would be worse.
 * Constants are those of x86-64 and arm64 Linux (asm-generic).
 */
import { closeSync, openSync } from "node:fs";
import { type OnReadOpts, Socket } from "node:net";
import koffi from "koffi";
import { CodedError } from "./errors.ts";
import { AF_INET6, decodeAddress, encodeAddress, familyOf, type SocketAddress } from "./socket-address.ts";

const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_MARK = 36;
const SOL_IP = 0;
const SOL_IPV6 = 41;
const IP_FREEBIND = 15;
/** The same number for IPv6, at its own level. */
const SO_ORIGINAL_DST = 80;
const CLONE_NEWNET = 0x40000000;
const SYS_pidfd_open = 434;
const SYS_pidfd_getfd = 438;

const libc = koffi.load(null);
const setns = libc.func("int setns(int fd, int nstype)");
const socket = libc.func("int socket(int domain, int type, int protocol)");
const bind = libc.func("int bind(int fd, const uint8_t *address, uint32_t length)");
const listen = libc.func("int listen(int fd, int backlog)");
const setsockopt = libc.func("int setsockopt(int fd, int level, int option, const uint8_t *value, uint32_t length)");
const getsockopt = libc.func(
  "int getsockopt(int fd, int level, int option, _Out_ uint8_t *value, _Inout_ uint32_t *length)",
);
const getsockname = libc.func("int getsockname(int fd, _Out_ uint8_t *address, _Inout_ uint32_t *length)");
const syscall = libc.func("long syscall(long number, long a, long b, long c)");
const strerror = libc.func("const char *strerror(int code)");

/** A system call that failed; `code` is the errno name. */
export class LinuxError extends CodedError {}

/** A network namespace held open. Close it when its pod is gone. */
export interface NetworkNamespace {
  readonly fd: number;
  close(): void;
}

const namesOfErrno: Readonly<Record<number, string>> = {
  1: "EPERM",
  2: "ENOENT",
  13: "EACCES",
  22: "EINVAL",
  24: "EMFILE",
  97: "EAFNOSUPPORT",
  98: "EADDRINUSE",
  99: "EADDRNOTAVAIL",
};

/** The result of a call; throws LinuxError where it is negative. To be called at once, while errno is the call's. */
export function check(result: number, action: string): number {
  if (result >= 0) return result;
  const errno = koffi.errno();
  const code = namesOfErrno[errno] ?? `errno ${errno}`;
  throw new LinuxError(code, `Cannot ${action}: ${code} ${String(strerror(errno))}`);
}

/** Opens the namespace behind `path` (a bind-mounted namespace file, or /proc/PID/ns/net). */
export function openNamespace(path: string): NetworkNamespace {
  const fd = openSync(path, "r");
  return { fd, close: () => closeSync(fd) };
}

let own: NetworkNamespace | undefined;

/** Runs `action` with the calling thread in `namespace`; undefined stays where we are. */
export function inNamespace<T>(namespace: NetworkNamespace | undefined, action: () => T): T {
  if (namespace === undefined) return action();
  own ??= openNamespace("/proc/thread-self/ns/net");
  check(setns(namespace.fd, CLONE_NEWNET) as number, "enter network namespace");
  try {
    return action();
  } finally {
    if ((setns(own.fd, CLONE_NEWNET) as number) !== 0) process.abort();
  }
}

function setOption(fd: number, level: number, option: number, value: number): void {
  const bytes = new Uint8Array(new Int32Array([value]).buffer);
  check(setsockopt(fd, level, option, bytes, 4) as number, `set socket option ${level}/${option}`);
}

interface SocketOptions {
  readonly namespace: NetworkNamespace | undefined;
  /** Of the address's family. */
  readonly address: string;
  readonly type: number;
}

/** Runs `configure` on a new socket in `namespace`; closes it when that throws. */
function makeSocket(
  { namespace, address, type }: SocketOptions,
  action: string,
  configure: (fd: number) => void,
): number {
  return inNamespace(namespace, () => {
    const fd = check(socket(familyOf(address), type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) as number, action);
    try {
      configure(fd);
      return fd;
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  });
}

/**
 * Connections that may wait for accept; the kernel holds it to net.core.somaxconn (4096). Give it to
 * `server.listen({ fd }, backlog)`, too: Node listens again, and would make it 511. Beyond it the kernel drops what
 * comes, which costs its sender a second.
 */
export const backlogDefault = 4096;

function bindTo(fd: number, at: SocketAddress): number {
  const bytes = encodeAddress(at);
  return bind(fd, bytes, bytes.length) as number;
}

export interface ListenOptions extends SocketAddress {
  readonly namespace?: NetworkNamespace;
}

/** A listening TCP socket in a namespace, as a file descriptor. Port 0 lets the kernel choose. */
export function listenTCP({ namespace, ...at }: ListenOptions): number {
  return makeSocket({ ...at, namespace, type: SOCK_STREAM }, `listen on ${at.address}:${at.port}`, (fd) => {
    setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    check(bindTo(fd, at), `bind ${at.address}:${at.port}`);
    check(listen(fd, backlogDefault) as number, `listen on ${at.address}:${at.port}`);
  });
}

/** A bound UDP socket in a namespace, as a file descriptor. The address may be one that is not up yet. */
export function bindUDP({ namespace, ...at }: ListenOptions): number {
  return makeSocket({ ...at, namespace, type: SOCK_DGRAM }, `bind ${at.address}:${at.port}`, (fd) => {
    setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    // Of IPv6 sockets, too.
    setOption(fd, SOL_IP, IP_FREEBIND, 1);
    check(bindTo(fd, at), `bind ${at.address}:${at.port}`);
  });
}

export interface DialOptions extends SocketAddress {
  readonly namespace?: NetworkNamespace;
  /** Firewall mark: a pod's interception rules let marked connections pass. Needs CAP_NET_ADMIN. */
  readonly mark?: number;
  /** Who takes the bytes instead of "data", and into which memory they are read. */
  readonly onread?: OnReadOpts | undefined;
}

/** Starts a TCP connection from inside a namespace. The socket behaves as from `net.connect`. */
export function connectTCP({ namespace, mark, address, port, onread }: DialOptions): Socket {
  const fd = makeSocket({ address, namespace, type: SOCK_STREAM }, `connect to ${address}:${port}`, (made) => {
    if (mark !== undefined) setOption(made, SOL_SOCKET, SO_MARK, mark);
  });
  const connection = new Socket({ fd, allowHalfOpen: true, ...(onread === undefined ? {} : { onread }) });
  connection.connect({ host: address, port });
  return connection;
}

/** The descriptor of an open socket; undefined when it has been closed. Uses node:net's undocumented `_handle`. */
export function descriptorOf(connection: Socket): number | undefined {
  const { _handle } = connection as unknown as { readonly _handle: { readonly fd: number } | null };
  return _handle === null || _handle.fd < 0 ? undefined : _handle.fd;
}

/** The address that an intercepted connection was made to, before nftables redirected it; undefined when it was not. */
export function originalDestination(fd: number): SocketAddress | undefined {
  const bytes = new Uint8Array(28);
  const level = nameOf(fd)[0] === AF_INET6 ? SOL_IPV6 : SOL_IP;
  if ((getsockopt(fd, level, SO_ORIGINAL_DST, bytes, [bytes.length]) as number) !== 0) return undefined;
  return decodeAddress(bytes);
}

/** The address that a socket is bound to. */
export function localAddress(fd: number): SocketAddress {
  return decodeAddress(nameOf(fd));
}

function nameOf(fd: number): Uint8Array {
  const bytes = new Uint8Array(28);
  check(getsockname(fd, bytes, [bytes.length]) as number, "read the socket address");
  return bytes;
}

/**
 * Duplicates descriptor `fd` of process `pid` into this process (pidfd_getfd, Linux 5.6). Works on descendants in user
 * namespaces that we own. The duplicate is close-on-exec.
 */
export function takeDescriptor(pid: number, fd: number): number {
  const pidfd = check(syscall(SYS_pidfd_open, pid, 0, 0) as number, `open process ${pid}`);
  try {
    return check(syscall(SYS_pidfd_getfd, pidfd, fd, 0) as number, `take descriptor ${fd} of process ${pid}`);
  } finally {
    closeSync(pidfd);
  }
}
