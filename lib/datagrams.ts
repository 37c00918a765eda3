/**
 * Datagrams by the dozen: one system call takes what a UDP socket holds, one sends the answers from where they lie.
 *
 *   socket ─▶ receive() ─▶ slots ─▶ reply(slot, bytes) … flush() ─▶ socket
 *
 * node:dgram makes a buffer, an object, a string and a callback of each datagram, and another request object of each
 * answer: more than half of what a short answer costs. Here all memory is made once, and no datagram makes an object.
 * Nothing waits: what the kernel does not take at once is counted and lost, as UDP may lose it anywhere.
 * Struct layouts are those of 64-bit little-endian Linux (x86-64 and arm64 alike): recvmmsg(2), sendmmsg(2).
 */
import { closeSync } from "node:fs";
import { endianness } from "node:os";
import koffi from "koffi";
import { CodedError } from "./errors.ts";
import { check } from "./linux.ts";

const MSG_TRUNC = 0x20;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;

/** struct mmsghdr, in words of 4 bytes: where each field is, and the whole. */
const header = { name: 0, nameBytes: 2, vectors: 4, vectorCount: 6, flags: 12, bytes: 14, words: 16 } as const;
/** struct iovec. */
const vector = { bytes: 2, words: 4 } as const;
/** Room for a struct sockaddr_in6; a sockaddr_in has its port at the same place. */
const nameBytes = 28;
const nameStride = 32;
/** Slots begin at other lines of the processor's cache, which a power of two alone would not give. */
const slotGap = 128;

/** Bytes of a struct sockaddr_in, and of a sockaddr_in6. */
const sizeOf = (family: number): number => (family === AF_INET6 ? nameBytes : 16);

const libc = koffi.load(null);
const socket = libc.func("int socket(int domain, int type, int protocol)");
const bind = libc.func("int bind(int fd, const uint8_t *name, uint32_t nameBytes)");
const recvmmsg = libc.func("int recvmmsg(int fd, uintptr_t headers, uint32_t count, int flags, uintptr_t timeout)");
const sendmmsg = libc.func("int sendmmsg(int fd, uintptr_t headers, uint32_t count, int flags)");
const sendto = libc.func(
  "long sendto(int fd, const void *bytes, size_t length, int flags, const void *name, uint32_t nameBytes)",
);
const getsockname = libc.func("int getsockname(int fd, _Out_ uint8_t *name, _Inout_ uint32_t *nameBytes)");

/** This system's structs are not those that are laid out here, or the descriptor is no UDP socket. */
export class DatagramError extends CodedError<"Unsupported"> {}

/**
 * A UDP socket bound to an address (4 or 16 bytes), as a descriptor; port 0 lets the kernel choose. One of the IPv6
 * wildcard takes IPv4, too, as the kernel has it by default. Throws LinuxError.
 */
export function bindDatagrams(address: Uint8Array, port: number): number {
  const family = address.length === 16 ? AF_INET6 : AF_INET;
  const name = Buffer.alloc(nameBytes);
  writeName(name, 0, { family, address, port });
  const fd = check(socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) as number, "make a UDP socket");
  try {
    check(bind(fd, name, sizeOf(family)) as number, `bind UDP port ${port}`);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

interface SocketName {
  readonly family: number;
  readonly address: Uint8Array;
  readonly port: number;
}

/** A struct sockaddr_in or sockaddr_in6: family in host order, port and address in network order. */
function writeName(bytes: Buffer, at: number, { family, address, port }: SocketName): void {
  bytes.fill(0, at, at + nameBytes);
  bytes.writeUInt16LE(family, at);
  bytes.writeUInt16BE(port, at + 2);
  bytes.set(address, at + (family === AF_INET6 ? 8 : 4));
}

export interface DatagramBatchOptions {
  /** Datagrams that one call takes. Default 64. */
  readonly slots?: number;
  /** Bytes of a datagram, and of an answer. Default 4096. A longer datagram is cut, and says so. */
  readonly slotBytes?: number;
}

/** The slots of one socket. The socket stays its opener's: who closes it must not call any more. */
export class DatagramBatch {
  /** All slots; slot `n` begins at `n * stride`. */
  readonly bytes: Buffer;
  readonly stride: number;
  readonly slotBytes: number;
  /** Datagrams that `receive` takes at most. One slot more is for `put`. */
  readonly slots: number;
  readonly isIPv6: boolean;
  readonly #fd: number;
  readonly #family: number;
  readonly #words: Uint32Array;
  readonly #names: Buffer;
  /** Lengths of what is in the slots. */
  readonly #lengths: Uint32Array;
  readonly #base: number;
  readonly #outHeaders: number;
  readonly #outVectors: number;
  /** Answers that wait for `flush`. */
  #replies = 0;

  /** Throws DatagramError where the system is another, or `fd` no UDP socket over IP. */
  constructor(fd: number, { slots = 64, slotBytes = 4096 }: DatagramBatchOptions = {}) {
    if (endianness() !== "LE" || (process.arch !== "x64" && process.arch !== "arm64"))
      throw new DatagramError("Unsupported", `Cannot batch datagrams on ${process.arch}: wanted x64 or arm64`);
    this.#fd = fd;
    this.#family = familyOf(fd);
    this.isIPv6 = this.#family === AF_INET6;
    this.slots = slots;
    this.slotBytes = slotBytes;
    this.stride = slotBytes + slotGap;
    const all = slots + 1;
    const headersBytes = all * header.words * 4;
    const vectorsBytes = all * vector.words * 4;
    const namesAt = 2 * (headersBytes + vectorsBytes);
    const slotsAt = namesAt + all * nameStride;
    const memory = new ArrayBuffer(slotsAt + all * this.stride);
    this.#words = new Uint32Array(memory, 0, namesAt / 4);
    this.#names = Buffer.from(memory, namesAt, all * nameStride);
    this.bytes = Buffer.from(memory, slotsAt);
    this.#lengths = new Uint32Array(all);
    // An ArrayBuffer's bytes never move.
    this.#base = Number(koffi.address(memory));
    this.#outHeaders = headersBytes + vectorsBytes;
    this.#outVectors = this.#outHeaders + headersBytes;
    for (let slot = 0; slot < all; slot++) {
      const name = namesAt + slot * nameStride;
      const bytes = slotsAt + slot * this.stride;
      this.#lay(0, headersBytes, slot, { name, bytes });
      this.#lay(this.#outHeaders, this.#outVectors, slot, { name, bytes });
    }
  }

  /** Takes what the socket holds into the slots from 0 on. How many; fewer than `slots`: the socket is empty. */
  receive(): number {
    const words = this.#words;
    for (let slot = 0, at = 0; slot < this.slots; slot++, at += header.words) words[at + header.nameBytes] = nameBytes;
    const count = recvmmsg(this.#fd, this.#base, this.slots, MSG_DONTWAIT, 0) as number;
    for (let slot = 0, at = 0; slot < count; slot++, at += header.words)
      this.#lengths[slot] = words[at + header.bytes] ?? 0;
    return Math.max(0, count);
  }

  /**
   * Copies a datagram that came another way into the slot behind the others; which it is. -1 when it is too long, or
   * `address` (4 or 16 bytes) is not of the socket's family.
   */
  put(datagram: Uint8Array, address: Uint8Array, port: number): number {
    if (datagram.length > this.slotBytes || address.length !== (this.isIPv6 ? 16 : 4)) return -1;
    const slot = this.slots;
    this.bytes.set(datagram, slot * this.stride);
    this.#lengths[slot] = datagram.length;
    this.#words[slot * header.words + header.flags] = 0;
    writeName(this.#names, slot * nameStride, { family: this.#family, address, port });
    return slot;
  }

  lengthOf(slot: number): number {
    return this.#lengths[slot] ?? 0;
  }

  /** Whether the datagram was longer than a slot. */
  isCut(slot: number): boolean {
    return ((this.#words[slot * header.words + header.flags] ?? 0) & MSG_TRUNC) !== 0;
  }

  portOf(slot: number): number {
    return this.#names.readUInt16BE(slot * nameStride + 2);
  }

  /** The sender's address: 4 or 16 characters, one for each byte. */
  addressOf(slot: number): string {
    const from = slot * nameStride + (this.isIPv6 ? 8 : 4);
    return this.#names.toString("latin1", from, from + (this.isIPv6 ? 16 : 4));
  }

  /** A copy of the sender's socket address, for `send`. */
  nameOf(slot: number): Buffer {
    return Buffer.from(this.#names.subarray(slot * nameStride, slot * nameStride + sizeOf(this.#family)));
  }

  /** Has the first `length` bytes of the slot sent to where its datagram came from, with the next `flush`. */
  reply(slot: number, length: number): void {
    const words = this.#words;
    const at = this.#outHeaders / 4 + this.#replies * header.words;
    const vectorAt = this.#outVectors / 4 + this.#replies * vector.words;
    this.#replies++;
    this.#point(at + header.name, this.#names.byteOffset + slot * nameStride);
    this.#point(vectorAt, this.bytes.byteOffset + slot * this.stride);
    words[vectorAt + vector.bytes] = length;
  }

  /** Sends what `reply` collected. How many the kernel did not take: they are lost. */
  flush(): number {
    const count = this.#replies;
    this.#replies = 0;
    let failures = 0;
    for (let sent = 0; sent < count;) {
      const headers = this.#base + this.#outHeaders + sent * header.words * 4;
      const taken = sendmmsg(this.#fd, headers, count - sent, MSG_DONTWAIT | MSG_NOSIGNAL) as number;
      // The first one failed: the others may still go.
      if (taken <= 0) failures++;
      sent += Math.max(1, taken);
    }
    return failures;
  }

  /** Sends one answer to a socket address of `nameOf`. False: the kernel did not take it. */
  send(bytes: Uint8Array, name: Uint8Array): boolean {
    return (sendto(this.#fd, bytes, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL, name, name.length) as number) >= 0;
  }

  /** Fills one header with its vector; all places are offsets. */
  #lay(
    headersAt: number,
    vectorsAt: number,
    slot: number,
    to: { readonly name: number; readonly bytes: number },
  ): void {
    const at = headersAt / 4 + slot * header.words;
    const vectorAt = vectorsAt / 4 + slot * vector.words;
    this.#point(at + header.name, to.name);
    this.#words[at + header.nameBytes] = sizeOf(this.#family);
    this.#point(at + header.vectors, vectorAt * 4);
    this.#words[at + header.vectorCount] = 1;
    this.#point(vectorAt, to.bytes);
    this.#words[vectorAt + vector.bytes] = this.slotBytes;
  }

  /** Writes the address of an offset: a pointer of 8 bytes. */
  #point(word: number, offset: number): void {
    const address = this.#base + offset;
    this.#words[word] = address;
    this.#words[word + 1] = address / 2 ** 32;
  }
}

/** The slots of `fd`; undefined where there can be none. */
export function tryBatch(fd: number, options?: DatagramBatchOptions): DatagramBatch | undefined {
  try {
    return new DatagramBatch(fd, options);
  } catch (error) {
    if (error instanceof DatagramError) return undefined;
    throw error;
  }
}

function familyOf(fd: number): number {
  const name = new Uint8Array(nameBytes);
  const result = getsockname(fd, name, [nameBytes]) as number;
  const family = (name[0] ?? 0) | ((name[1] ?? 0) << 8);
  if (result !== 0 || (family !== AF_INET && family !== AF_INET6))
    throw new DatagramError("Unsupported", `Cannot batch datagrams of descriptor ${fd}: it is no socket over IP`);
  return family;
}
