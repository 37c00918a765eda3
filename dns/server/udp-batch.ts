/**
 * The UDP side of DNS by the dozen: what a socket holds is taken at once, answered where it lies, and sent at once.
 *
 *   first datagram of a turn (node:dgram) ─▶ slot ┐
 *   all others (lib/datagrams.ts) ─▶ slots ───────┴▶ respond ─▶ slots ─▶ flush
 *
 * node:dgram tells that there is something, and brings one datagram; the rest never passes it. Bounded:
 * `datagramsMax` of a turn, then others have theirs. An answer that comes later is sent on its own.
 */
import type { RemoteInfo } from "node:dgram";
import type { DatagramBatch } from "#lib/datagrams.ts";
import { fromBytes, toBytes } from "../address.ts";
import type { ServerCounters } from "../metrics.ts";
import { headerBytes } from "../wire/constants.ts";
import type { Prebuilt } from "./prebuilt.ts";
import type { Respond, Response } from "./respond.ts";

/** Datagrams of one turn of the event loop: about 5 ms, in which nobody else is served. */
const datagramsMax = 1024;
/** Addresses whose other form is kept. */
const addressesMax = 4096;

export interface UDPBatchOptions {
  readonly batch: DatagramBatch;
  readonly respond: Respond;
  readonly prebuilt?: Prebuilt;
  readonly counters: ServerCounters;
}

export class UDPBatchServer {
  readonly #batch: DatagramBatch;
  readonly #respond: Respond;
  readonly #prebuilt: Prebuilt | undefined;
  readonly #counters: ServerCounters;
  readonly #texts = new Map<string, string>();
  readonly #addresses = new Map<string, Uint8Array | undefined>();
  /** Datagrams taken in this turn. */
  #taken = 0;
  #isClosed = false;

  constructor({ batch, respond, prebuilt, counters }: UDPBatchOptions) {
    this.#batch = batch;
    this.#prebuilt = prebuilt;
    this.#respond = respond;
    this.#counters = counters;
  }

  /** Answers this datagram and those behind it. False: it is none that a slot can hold, and nothing was done. */
  take(datagram: Buffer, { address, port }: RemoteInfo): boolean {
    const bytes = this.#bytesOf(address);
    const slot = bytes === undefined ? -1 : this.#batch.put(datagram, bytes, port);
    if (slot < 0) return false;
    this.#prebuilt?.begin();
    this.#serve(slot);
    this.#takeMore();
    return true;
  }

  /** Nothing is sent from here on: the descriptor may be another's. */
  close(): void {
    this.#isClosed = true;
  }

  #takeMore(): void {
    const batch = this.#batch;
    for (let count = batch.slots; count === batch.slots && this.#taken < datagramsMax;) {
      count = batch.receive();
      for (let slot = 0; slot < count; slot++) this.#serve(slot);
      this.#flush();
      if (count === batch.slots) this.#prebuilt?.begin();
      if (this.#taken === 0 && count > 0) setImmediate(() => (this.#taken = 0));
      this.#taken += count;
    }
    this.#flush();
  }

  #flush(): void {
    this.#counters.sendFailures += this.#batch.flush();
    this.#prebuilt?.end();
  }

  #serve(slot: number): void {
    const batch = this.#batch;
    const port = batch.portOf(slot);
    // Port 0 is no address to answer to; forged datagrams have it.
    if (port === 0) return;
    const start = slot * batch.stride;
    // What is cut is no query: the header alone gets its FORMERR.
    const length = batch.isCut(slot) ? headerBytes : batch.lengthOf(slot);
    const done = this.#prebuilt?.answer(batch.bytes, start, length, this.#isIPv6(slot)) ?? 0;
    if (done > 0) return batch.reply(slot, done);
    // A copy, as who answers later reads it when the slot holds another.
    const message = Buffer.from(batch.bytes.subarray(start, start + length));
    const response = this.#respond(message, "udp", this.#textOf(batch.addressOf(slot)), port);
    if (response instanceof Promise) {
      const name = batch.nameOf(slot);
      void response.then((late) => this.#sendLate(late, name));
    } else if (Buffer.isBuffer(response)) batch.reply(slot, response.copy(batch.bytes, start));
  }

  /** Sockets of both families have IPv4 written as IPv6. */
  #isIPv6(slot: number): boolean {
    return this.#batch.isIPv6 && this.#textOf(this.#batch.addressOf(slot)).includes(":");
  }

  #sendLate(response: Response, name: Uint8Array): void {
    if (this.#isClosed || !Buffer.isBuffer(response)) return;
    if (!this.#batch.send(response, name)) this.#counters.sendFailures++;
  }

  #textOf(address: string): string {
    const known = this.#texts.get(address);
    if (known !== undefined) return known;
    if (this.#texts.size >= addressesMax) this.#texts.clear();
    const text = fromBytes(Buffer.from(address, "latin1"));
    this.#texts.set(address, text);
    return text;
  }

  #bytesOf(address: string): Uint8Array | undefined {
    const known = this.#addresses.get(address);
    if (known !== undefined) return known;
    if (this.#addresses.size >= addressesMax) this.#addresses.clear();
    const bytes = toBytes(address);
    this.#addresses.set(address, bytes);
    return bytes;
  }
}
