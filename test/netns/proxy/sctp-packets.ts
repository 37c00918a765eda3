/**
 * SCTP packets by hand, for a kernel that forwards SCTP and may not speak it itself: the first two packets of an
 * association, sent and read on raw sockets.
 *
 *   SCTPSocket.send(INIT) ─▶ the node's rules ─▶ SCTPSocket.receive() on the endpoint ─▶ INIT ACK, the same way back
 *
 * Source: RFC 9260 §3.1, §3.3.2, §3.3.3, appendix A (CRC32c). IPv4 only.
 */
import { closeSync } from "node:fs";
import koffi from "koffi";
import { realClock as clock } from "#lib/clock.ts";
import { inNamespace } from "#lib/linux.ts";
import { AF_INET, encodeAddress } from "#lib/socket-address.ts";
import type { Address } from "./endpoints.ts";
import type { Place } from "./network.ts";

const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
export const IPPROTO_ICMP = 1;
export const IPPROTO_SCTP = 132;
const INIT = 1;
const INIT_ACK = 2;
const ipHeaderBytes = 20;
const bufferBytes = 2048;

const libc = koffi.load(null);
const socket = libc.func("int socket(int domain, int type, int protocol)");
const bind = libc.func("int bind(int fd, const uint8_t *address, uint32_t length)");
const sendto = libc.func(
  "long sendto(int fd, const uint8_t *data, size_t length, int flags, const uint8_t *address, uint32_t addressLength)",
);
const recv = libc.func("long recv(int fd, _Out_ uint8_t *buffer, size_t length, int flags)");

/** A packet as it came: who sent it, from and to which port, and its first chunk. */
export interface SCTPPacket {
  readonly source: string;
  readonly sourcePort: number;
  readonly port: number;
  readonly isAnswer: boolean;
}

/** A raw socket in a place: it sees every packet of its protocol that comes to the place's address. */
export class RawSocket {
  readonly #fd: number;
  readonly #buffer = Buffer.alloc(bufferBytes);

  constructor({ address, namespace }: Place, protocol: number) {
    const type = SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC;
    this.#fd = inNamespace(namespace, () => socket(AF_INET, type, protocol) as number);
    if (this.#fd < 0) throw new Error(`Cannot open a raw socket: errno ${koffi.errno()}`);
    const own = encodeAddress({ address, port: 0 });
    if ((bind(this.#fd, own, own.length) as number) !== 0) throw new Error(`Cannot bind ${address}`);
  }

  /** Sends what is behind the IP header. */
  send(data: Uint8Array, address: string): void {
    const to = encodeAddress({ address, port: 0 });
    const sent = sendto(this.#fd, data, data.length, 0, to, to.length) as number;
    if (sent !== data.length) throw new Error(`Cannot send to ${address}: errno ${koffi.errno()}`);
  }

  /** The first packet, its IP header included, that `is` what is wanted; undefined when none is within `withinMs`. */
  async receive(is: (packet: Buffer) => boolean, withinMs: number): Promise<Buffer | undefined> {
    const untilMs = clock.monotonicMs() + withinMs;
    do {
      const length = recv(this.#fd, this.#buffer, bufferBytes, 0) as number;
      if (length > 0 && is(this.#buffer.subarray(0, length))) return Buffer.from(this.#buffer.subarray(0, length));
      if (length <= 0) await clock.sleep(2);
    } while (clock.monotonicMs() < untilMs);
    return undefined;
  }

  close(): void {
    closeSync(this.#fd);
  }
}

/** An INIT to `port`, or the INIT ACK that answers one. */
export function encodeSCTP(sourcePort: number, port: number, isAnswer = false): Uint8Array {
  const bytes = Buffer.alloc(12 + 20 + (isAnswer ? 8 : 0));
  bytes.writeUInt16BE(sourcePort, 0);
  bytes.writeUInt16BE(port, 2);
  // The tag that the other side chose; none is known yet for an INIT.
  bytes.writeUInt32BE(isAnswer ? 7 : 0, 4);
  bytes.writeUInt8(isAnswer ? INIT_ACK : INIT, 12);
  bytes.writeUInt16BE(bytes.length - 12, 14);
  bytes.writeUInt32BE(7, 16);
  bytes.writeUInt32BE(65_536, 20);
  bytes.writeUInt16BE(1, 24);
  bytes.writeUInt16BE(1, 26);
  bytes.writeUInt32BE(1, 28);
  // An answer has a cookie: type 7, 8 bytes with its head.
  if (isAnswer) bytes.set([0, 7, 0, 8], 32);
  bytes.writeUInt32LE(crc32c(bytes), 8);
  return bytes;
}

/** Of a packet with its IP header. */
export function decodeSCTP(packet: Buffer): SCTPPacket {
  return {
    source: packet.subarray(12, 16).join("."),
    sourcePort: packet.readUInt16BE(ipHeaderBytes),
    port: packet.readUInt16BE(ipHeaderBytes + 2),
    isAnswer: packet.readUInt8(ipHeaderBytes + 12) === INIT_ACK,
  };
}

/** Answers every INIT to `port`, until the function that it returns is called. */
export function serveSCTP(place: Place, port: number): () => void {
  const raw = new RawSocket(place, IPPROTO_SCTP);
  const over = new AbortController();
  const serve = async (): Promise<void> => {
    while (!over.signal.aborted) {
      const packet = await raw.receive((each) => {
        const { port: to, isAnswer } = decodeSCTP(each);
        return to === port && !isAnswer;
      }, 50);
      if (packet === undefined) continue;
      const { source, sourcePort } = decodeSCTP(packet);
      raw.send(encodeSCTP(port, sourcePort, true), source);
    }
    raw.close();
  };
  void serve();
  return () => over.abort();
}

/** The answer to an INIT; undefined when none comes. */
export async function callSCTP(
  from: Place,
  { address, port }: Address,
  sourcePort: number,
): Promise<SCTPPacket | undefined> {
  const raw = new RawSocket(from, IPPROTO_SCTP);
  try {
    raw.send(encodeSCTP(sourcePort, port), address);
    const packet = await raw.receive((each) => {
      const { port: to, isAnswer } = decodeSCTP(each);
      return to === sourcePort && isAnswer;
    }, 400);
    return packet === undefined ? undefined : decodeSCTP(packet);
  } finally {
    raw.close();
  }
}

function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}
