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
import { endianness } from "node:os";
import koffi from "koffi";
import {
  AF_INET6,
  DatagramError,
  describeSocket,
  type Destination,
  nameBytes,
  sizeOf,
  tellDestinations,
} from "./datagram-socket.ts";

const MSG_TRUNC = 0x20;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;

/** struct mmsghdr, in words of 4 bytes: where each field is, and the whole. */
const header = {
  name: 0,
  nameBytes: 2,
  vectors: 4,
  vectorCount: 6,
  control: 8,
  controlBytes: 10,
  flags: 12,
  bytes: 14,
  words: 16,
} as const;
/** struct iovec. */
const vector = { bytes: 2, words: 4 } as const;
const nameStride = 32;
/** Slots begin at other lines of the processor's cache, which a power of two alone would not give. */
const slotGap = 128;

const libc = koffi.load(null);
const recvmmsg = libc.func("int recvmmsg(int fd, uintptr_t headers, uint32_t count, int flags, uintptr_t timeout)");
const sendmmsg = libc.func("int sendmmsg(int fd, uintptr_t headers, uint32_t count, int flags)");

export interface DatagramBatchOptions {
  /** Datagrams that one call takes. Default 64. */
  readonly slots?: number;
  /** Bytes of a datagram, and of an answer. Default 4096. A longer datagram is cut, and says so. */
  readonly slotBytes?: number;
  /** Whether answers leave from where their datagrams went, of a socket of all addresses. Default true. */
  readonly keepsAddress?: boolean;
}

/**
 * The slots of one socket. Of one that is bound to all addresses, an answer leaves from the address that its datagram
 * went to: from another one, the sender would not take it. The socket stays its opener's: who closes it must not call
 * any more.
 */
export class DatagramBatch {
  /** All slots; slot `n` begins at `n * stride`. */
  readonly bytes: Buffer;
  readonly stride: number;
  readonly slotBytes: number;
  /** Datagrams that `receive` takes at most. One slot more is for `send`. */
  readonly slots: number;
  readonly isIPv6: boolean;
  readonly #fd: number;
  readonly #family: number;
  readonly #words: Uint32Array;
  readonly #names: Buffer;
  /** How it is told where a datagram went; undefined where there is one address only. */
  readonly #destination: Destination | undefined;
  /** One control message a slot. */
  readonly #controls: Buffer;
  /** Lengths of what is in the slots. */
  readonly #lengths: Uint32Array;
  readonly #base: number;
  readonly #outHeaders: number;
  readonly #outVectors: number;
  /** Answers that wait for `flush`. */
  #replies = 0;

  /** Throws DatagramError where the system is another, or `fd` no UDP socket over IP. */
  constructor(fd: number, { slots = 64, slotBytes = 4096, keepsAddress = true }: DatagramBatchOptions = {}) {
    if (endianness() !== "LE" || (process.arch !== "x64" && process.arch !== "arm64"))
      throw new DatagramError("Unsupported", `Cannot batch datagrams on ${process.arch}: wanted x64 or arm64`);
    const { family, isWildcard } = describeSocket(fd);
    this.#fd = fd;
    this.#family = family;
    this.isIPv6 = family === AF_INET6;
    this.#destination = isWildcard && keepsAddress ? tellDestinations(fd, family) : undefined;
    const controlStride = this.#destination?.stride ?? 0;
    this.slots = slots;
    this.slotBytes = slotBytes;
    this.stride = slotBytes + slotGap;
    const all = slots + 1;
    const headersBytes = all * header.words * 4;
    const vectorsBytes = all * vector.words * 4;
    const namesAt = 2 * (headersBytes + vectorsBytes);
    const controlsAt = namesAt + all * nameStride;
    const slotsAt = controlsAt + all * controlStride;
    const memory = new ArrayBuffer(slotsAt + all * this.stride);
    this.#words = new Uint32Array(memory, 0, slotsAt / 4);
    this.#names = Buffer.from(memory, namesAt, all * nameStride);
    this.#controls = Buffer.from(memory, controlsAt, all * controlStride);
    this.bytes = Buffer.from(memory, slotsAt);
    this.#lengths = new Uint32Array(all);
    // An ArrayBuffer's bytes never move.
    this.#base = Number(koffi.address(memory));
    this.#outHeaders = headersBytes + vectorsBytes;
    this.#outVectors = this.#outHeaders + headersBytes;
    for (let slot = 0; slot < all; slot++) {
      const name = namesAt + slot * nameStride;
      const bytes = slotsAt + slot * this.stride;
      const control = controlsAt + slot * controlStride;
      this.#lay(0, headersBytes, slot, { name, bytes, control });
      this.#lay(this.#outHeaders, this.#outVectors, slot, { name, bytes, control });
    }
  }

  /** Takes what the socket holds into the slots from 0 on. How many; fewer than `slots`: the socket is empty. */
  receive(): number {
    const words = this.#words;
    const controlBytes = this.#destination?.stride ?? 0;
    for (let slot = 0, at = 0; slot < this.slots; slot++, at += header.words) {
      words[at + header.nameBytes] = nameBytes;
      words[at + header.controlBytes] = controlBytes;
    }
    const count = recvmmsg(this.#fd, this.#base, this.slots, MSG_DONTWAIT, 0) as number;
    for (let slot = 0, at = 0; slot < count; slot++, at += header.words)
      this.#lengths[slot] = words[at + header.bytes] ?? 0;
    return Math.max(0, count);
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

  /** A copy of where the slot's datagram came from and went to, for `send`. */
  pathOf(slot: number): Buffer {
    const name = this.#names.subarray(slot * nameStride, (slot + 1) * nameStride);
    const control = this.#controlOf(slot);
    const bytes = this.#words[slot * header.words + header.controlBytes] ?? 0;
    return Buffer.concat([name, control.subarray(0, bytes)]);
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
    if (this.#destination === undefined) return;
    this.#point(at + header.control, this.#controls.byteOffset + slot * this.#destination.stride);
    words[at + header.controlBytes] = this.#source(this.#destination, slot);
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
      if (taken <= 0 && !this.#sendFromAny(headers)) failures++;
      sent += Math.max(1, taken);
    }
    return failures;
  }

  /** Sends one answer, of `slotBytes` at most, by a path of `pathOf`. False: the kernel did not take it. */
  send(bytes: Uint8Array, path: Uint8Array): boolean {
    const slot = this.slots;
    this.#names.set(path.subarray(0, nameStride), slot * nameStride);
    const control = path.subarray(nameStride);
    this.#controlOf(slot).set(control);
    this.#words[slot * header.words + header.controlBytes] = control.length;
    this.bytes.set(bytes, slot * this.stride);
    this.reply(slot, bytes.length);
    return this.flush() === 0;
  }

  /** An answer that cannot leave from where its query went: that was a group, say. */
  #sendFromAny(headers: number): boolean {
    if (this.#destination === undefined) return false;
    this.#words[(headers - this.#base) / 4 + header.controlBytes] = 0;
    return (sendmmsg(this.#fd, headers, 1, MSG_DONTWAIT | MSG_NOSIGNAL) as number) === 1;
  }

  #controlOf(slot: number): Buffer {
    const stride = this.#destination?.stride ?? 0;
    return this.#controls.subarray(slot * stride, (slot + 1) * stride);
  }

  /** Makes the slot's destination the source of its answer. Bytes of the control message; 0 where there is none. */
  #source({ level, type, bytes, stride, interfaceWord }: Destination, slot: number): number {
    const words = this.#words;
    const at = (this.#controls.byteOffset + slot * stride) / 4;
    const isTold = (words[slot * header.words + header.controlBytes] ?? 0) >= bytes;
    if (!isTold || words[at + 2] !== level || words[at + 3] !== type) return 0;
    // The interface is routing's to choose, but for link-local addresses (fe80::/10), which are nothing without it.
    const isLinkLocal = this.isIPv6 && ((words[at + 4] ?? 0) & 0xc0ff) === 0x80fe;
    if (!isLinkLocal) words[at + interfaceWord] = 0;
    return stride;
  }

  /** Fills one header with its vector; all places are offsets. */
  #lay(
    headersAt: number,
    vectorsAt: number,
    slot: number,
    to: { readonly name: number; readonly bytes: number; readonly control: number },
  ): void {
    const at = headersAt / 4 + slot * header.words;
    const vectorAt = vectorsAt / 4 + slot * vector.words;
    this.#point(at + header.name, to.name);
    this.#words[at + header.nameBytes] = sizeOf(this.#family);
    this.#point(at + header.vectors, vectorAt * 4);
    this.#words[at + header.vectorCount] = 1;
    if (this.#destination !== undefined) this.#point(at + header.control, to.control);
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
