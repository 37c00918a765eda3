/**
 * An unconnected UDP socket that hears what node:dgram's does not: which of its datagrams did not arrive.
 *
 *   descriptor ─▶ DatagramPort ─▶ "message" (bytes, { address, port }), "undelivered" (address, port, bytes)
 *
 * The parts of node:dgram's Socket that it has mean the same. IPv4 only.
 */
import { EventEmitter } from "node:events";
import { closeSync } from "node:fs";
import { reportErrors, takeErrors } from "./datagram-errors.ts";
import { whenReadable } from "./datagram-socket.ts";
import { DatagramBatch } from "./datagrams.ts";
import { encodeAddress } from "./socket-address.ts";

/** Datagrams that one call takes, and calls of a turn of the event loop. */
const slots = 8;
const callsMax = 32;
/** A struct sockaddr with what aligns the next: what DatagramBatch calls a path. */
const pathBytes = 32;

export interface DatagramPortEvents {
  readonly message: [bytes: Buffer, from: { readonly address: string; readonly port: number }];
  /** `bytes`: the first ones of the datagram, as many as the network gave back. */
  readonly undelivered: [address: string, port: number, bytes: Buffer];
  /** Never: what cannot be sent is told where it is sent. */
  readonly error: [error: Error];
}

export class DatagramPort extends EventEmitter<DatagramPortEvents> {
  readonly #fd: number;
  readonly #batch: DatagramBatch;
  readonly #unwatch: () => void;
  #isClosed = false;

  /** Takes the descriptor over. Throws DatagramError, LinuxError; then it stays its opener's. */
  constructor(fd: number) {
    super();
    this.#fd = fd;
    this.#batch = new DatagramBatch(fd, { slots, keepsAddress: false });
    reportErrors(fd);
    this.#unwatch = whenReadable(fd, () => this.#take());
  }

  /** `done` is told at once whether the kernel took it. */
  send(bytes: Uint8Array, port: number, address: string, done: (error: Error | null) => void): void {
    const path = Buffer.alloc(pathBytes);
    path.set(encodeAddress({ address, port }));
    const isTaken =
      !this.#isClosed &&
      bytes.length <= this.#batch.slotBytes &&
      // A report that waits makes the next call fail, whomever it is for.
      (this.#batch.send(bytes, path) || this.#batch.send(bytes, path));
    done(isTaken ? null : new Error(`Cannot send ${bytes.length} bytes to ${address}:${port}`));
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#unwatch();
    closeSync(this.#fd);
  }

  #take(): void {
    for (const { to, bytes } of takeErrors(this.#fd)) this.emit("undelivered", to.address, to.port, bytes);
    const batch = this.#batch;
    for (let calls = 0, count = slots; calls < callsMax && count === slots && !this.#isClosed; calls++) {
      count = batch.receive();
      const found = Array.from({ length: count }, (_, slot) => this.#read(slot));
      for (const [bytes, from] of found) this.emit("message", bytes, from);
    }
  }

  /** A copy: the next call takes the slot. */
  #read(slot: number): DatagramPortEvents["message"] {
    const batch = this.#batch;
    const start = slot * batch.stride;
    const address = Buffer.from(batch.addressOf(slot), "latin1").join(".");
    const bytes = Buffer.from(batch.bytes.subarray(start, start + batch.lengthOf(slot)));
    return [bytes, { address, port: batch.portOf(slot) }];
  }
}
