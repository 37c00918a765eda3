/**
 * A UDP socket without node:dgram: bound, described, and watched as a descriptor.
 *
 *   bindDatagrams ─▶ descriptor ─▶ describeSocket, setReceiveBytes, tellDestinations ─▶ whenReadable ─▶ who reads it
 *
 * node:dgram reads before it says that there is something, and loses to which address a datagram went; here nothing is
 * read. Constants are those of x86-64 and arm64 Linux.
 */
import { closeSync } from "node:fs";
import koffi from "koffi";
import { CodedError } from "./errors.ts";
import { check } from "./linux.ts";

export const AF_INET = 2;
export const AF_INET6 = 10;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_ERROR = 4;
const SO_RCVBUF = 8;
const SOL_IP = 0;
const IP_PKTINFO = 8;
const SOL_IPV6 = 41;
const IPV6_RECVPKTINFO = 49;
const IPV6_PKTINFO = 50;

/** Room for a struct sockaddr_in6; a sockaddr_in has its port at the same place. */
export const nameBytes = 28;

/** Bytes of a struct sockaddr_in, and of a sockaddr_in6. */
export const sizeOf = (family: number): number => (family === AF_INET6 ? nameBytes : 16);

const libc = koffi.load(null);
const socket = libc.func("int socket(int domain, int type, int protocol)");
const bind = libc.func("int bind(int fd, const uint8_t *name, uint32_t nameBytes)");
const getsockname = libc.func("int getsockname(int fd, _Out_ uint8_t *name, _Inout_ uint32_t *nameBytes)");
const setsockopt = libc.func("int setsockopt(int fd, int level, int option, const uint8_t *value, uint32_t length)");
const getsockopt = libc.func(
  "int getsockopt(int fd, int level, int option, _Out_ uint8_t *value, _Inout_ uint32_t *length)",
);

/** This system's structs are not those that are laid out here, or the descriptor is no UDP socket. */
export class DatagramError extends CodedError<"Unsupported"> {}

export interface DatagramSocket {
  readonly family: typeof AF_INET | typeof AF_INET6;
  readonly port: number;
  /** Whether it is bound to all addresses. */
  readonly isWildcard: boolean;
}

/** The control message that tells where a datagram went, and from where one goes (ip(7), RFC 3542 §6). */
export interface Destination {
  readonly level: number;
  readonly type: number;
  /** Bytes of the message, and with what aligns the next. */
  readonly bytes: number;
  readonly stride: number;
  /** Where the number of the interface is, in words of 4 bytes; 0 leaves the choice to routing. */
  readonly interfaceWord: number;
}

const headerOfControlBytes = 16;
/** struct in_pktinfo: interface, local address, address in the header. */
const destination4: Destination = {
  level: SOL_IP,
  type: IP_PKTINFO,
  bytes: headerOfControlBytes + 12,
  stride: headerOfControlBytes + 16,
  interfaceWord: 4,
};
/** struct in6_pktinfo: address, interface. What came over IPv4 has its address written as IPv6. */
const destination6: Destination = {
  level: SOL_IPV6,
  type: IPV6_PKTINFO,
  bytes: headerOfControlBytes + 20,
  stride: headerOfControlBytes + 24,
  interfaceWord: 8,
};

/**
 * A UDP socket bound to an address (4 or 16 bytes), as a descriptor; port 0 lets the kernel choose. One of the IPv6
 * wildcard takes IPv4, too, as the kernel has it by default. Throws LinuxError.
 */
export function bindDatagrams(address: Uint8Array, port: number): number {
  const family = address.length === 16 ? AF_INET6 : AF_INET;
  const name = Buffer.alloc(nameBytes);
  name.writeUInt16LE(family, 0);
  name.writeUInt16BE(port, 2);
  name.set(address, family === AF_INET6 ? 8 : 4);
  const fd = check(socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) as number, "make a UDP socket");
  try {
    check(bind(fd, name, sizeOf(family)) as number, `bind UDP port ${port}`);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** What a descriptor is bound to. Throws DatagramError where it is no socket over IP. */
export function describeSocket(fd: number): DatagramSocket {
  const name = new Uint8Array(nameBytes);
  const result = getsockname(fd, name, [nameBytes]) as number;
  const family = (name[0] ?? 0) | ((name[1] ?? 0) << 8);
  if (result !== 0 || (family !== AF_INET && family !== AF_INET6))
    throw new DatagramError("Unsupported", `Cannot batch datagrams of descriptor ${fd}: it is no socket over IP`);
  const address = family === AF_INET6 ? name.subarray(8, 24) : name.subarray(4, 8);
  return { family, port: ((name[2] ?? 0) << 8) | (name[3] ?? 0), isWildcard: address.every((byte) => byte === 0) };
}

/** Has each datagram of the socket come with the address that it went to. Throws LinuxError. */
export function tellDestinations(fd: number, family: number): Destination {
  if (family === AF_INET6) setOption(fd, SOL_IPV6, IPV6_RECVPKTINFO, 1);
  else setOption(fd, SOL_IP, IP_PKTINFO, 1);
  return family === AF_INET6 ? destination6 : destination4;
}

/** Bytes that the kernel may hold for the reader; it holds that to net.core.rmem_max. Throws LinuxError. */
export function setReceiveBytes(fd: number, bytes: number): void {
  setOption(fd, SOL_SOCKET, SO_RCVBUF, bytes);
}

/**
 * Calls `tell` in each turn of the event loop in which the descriptor has something to read, until the result is
 * called; then the descriptor may be closed. Holds the process as an open socket does.
 */
export function whenReadable(fd: number, tell: () => void): () => void {
  let isClosed = false;
  const run = (): void => {
    if (!isClosed) tell();
  };
  // Nothing may be done in the callback itself: what it promised would wait for the next event (no callback scope).
  const onPoll = (status: unknown): void => {
    setImmediate(run);
    // An error of the socket ends the watch, and reading the error is what clears it.
    if (typeof status === "number" && status < 0) setImmediate(restart);
  };
  const restart = (): void => {
    if (isClosed) return;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, new Uint8Array(4), [4]);
    handle.start(onPoll);
  };
  const handle = koffi.node.poll(fd, onPoll);
  return () => {
    isClosed = true;
    handle.close();
  };
}

/** A socket option of four bytes. Throws LinuxError. */
export function setOption(fd: number, level: number, option: number, value: number): void {
  const bytes = new Uint8Array(new Int32Array([value]).buffer);
  check(setsockopt(fd, level, option, bytes, 4) as number, `set socket option ${level}/${option}`);
}
