/**
 * Which datagrams of an unconnected IPv4 socket did not arrive, as far as the network says so (ICMP).
 *
 *   reportErrors(fd) ─▶ kernel's error queue ─▶ takeErrors(fd) ─▶ Undelivered: to whom, and the bytes that came back
 *
 * A connected socket hears that nobody listens, by an error of its next call; one that is not, only so (ip(7),
 * IP_RECVERR). Whoever asks for reports must take them, and must not be node:dgram, which aborts on them.
 * Constants and layouts are those of 64-bit little-endian Linux.
 */
import koffi from "koffi";
import { setOption } from "./datagram-socket.ts";
import { decodeAddress, type SocketAddress } from "./socket-address.ts";

const SOL_IP = 0;
const IP_RECVERR = 11;
const MSG_DONTWAIT = 0x40;
const MSG_ERRQUEUE = 0x2000;
/** EMSGSIZE is about the path's size: the kernel heeds it. */
const EMSGSIZE = 90;

const libc = koffi.load(null);
const recvmsg = libc.func("long recvmsg(int fd, uintptr_t header, int flags)");

export interface Undelivered {
  /** Where it was sent. */
  readonly to: SocketAddress;
  /** Its first bytes, as many as the network gave back: none, or some hundreds. */
  readonly bytes: Buffer;
}

/** Where struct msghdr and what it points to are in the memory, in bytes. */
const [headerBytes, nameAt, nameBytes, vectorAt] = [56, 64, 28, 96];
const [controlAt, controlBytes, dataAt, dataBytes] = [128, 128, 256, 512];
/** Of the control message: its level and type, then struct sock_extended_err, whose first word is the errno. */
const [levelAt, typeAt, errnoAt] = [controlAt + 8, controlAt + 12, controlAt + 16];
/** Taken in one call; the others make the socket readable again. */
const errorsMax = 64;

let memory: { readonly bytes: Buffer; readonly address: number } | undefined;

/** Has the kernel keep what the network says of this socket's datagrams. Throws LinuxError. */
export function reportErrors(fd: number): void {
  setOption(fd, SOL_IP, IP_RECVERR, 1);
}

/** What was not delivered since the last call; each is told once. */
export function takeErrors(fd: number): readonly Undelivered[] {
  const { bytes, address } = (memory ??= layMemory());
  const found: Undelivered[] = [];
  for (let times = 0; times < errorsMax; times++) {
    bytes.fill(0, 0, headerBytes);
    point(bytes, 0, { address: address + nameAt, length: nameBytes });
    point(bytes, 16, { address: address + vectorAt, length: 1 });
    point(bytes, 32, { address: address + controlAt, length: controlBytes });
    const length = recvmsg(fd, address, MSG_ERRQUEUE | MSG_DONTWAIT) as number;
    if (length < 0) break;
    const isError = bytes.readInt32LE(levelAt) === SOL_IP && bytes.readInt32LE(typeAt) === IP_RECVERR;
    if (!isError || bytes.readUInt32LE(errnoAt) === EMSGSIZE) continue;
    const to = decodeAddress(bytes.subarray(nameAt, nameAt + nameBytes));
    found.push({ to, bytes: Buffer.from(bytes.subarray(dataAt, dataAt + length)) });
  }
  return found;
}

function layMemory(): NonNullable<typeof memory> {
  const buffer = new ArrayBuffer(dataAt + dataBytes);
  const bytes = Buffer.from(buffer);
  // An ArrayBuffer's bytes never move.
  const address = Number(koffi.address(buffer));
  point(bytes, vectorAt, { address: address + dataAt, length: dataBytes });
  return { bytes, address };
}

/** A pointer and a length, of 8 bytes each. */
function point(bytes: Buffer, at: number, to: { readonly address: number; readonly length: number }): void {
  bytes.writeBigUInt64LE(BigInt(to.address), at);
  bytes.writeBigUInt64LE(BigInt(to.length), at + 8);
}
