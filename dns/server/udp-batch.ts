/**
 * The UDP side of DNS by the dozen: what a socket holds is taken at once, answered where it lies, and sent at once.
 *
 *   socket can be read ─▶ take() ─▶ slots (lib/datagrams.ts) ─▶ respond ─▶ slots ─▶ flush
 *
 * Bounded: `datagramsMax` of a turn, then others have theirs. An answer that comes later is sent on its own.
 */
import type { DatagramBatch } from "#lib/datagrams.ts";
import { fromBytes } from "../address.ts";
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
  #isClosed = false;

  constructor({ batch, respond, prebuilt, counters }: UDPBatchOptions) {
    this.#batch = batch;
    this.#prebuilt = prebuilt;
    this.#respond = respond;
    this.#counters = counters;
  }

  /** Answers what the socket holds: once a turn. */
  take(): void {
    const { slots } = this.#batch;
    for (let taken = 0, count = slots; count === slots && taken < datagramsMax; taken += count) {
      count = this.#batch.receive();
      if (count === 0) return;
      this.#prebuilt?.begin();
      for (let slot = 0; slot < count; slot++) this.#serve(slot);
      this.#flush();
    }
  }

  /** Nothing is sent from here on: the descriptor may be another's. */
  close(): void {
    this.#isClosed = true;
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
      const path = batch.pathOf(slot);
      void response.then((late) => this.#sendLate(late, path));
    } else if (Buffer.isBuffer(response)) batch.reply(slot, response.copy(batch.bytes, start));
  }

  /** Sockets of both families have IPv4 written as IPv6. */
  #isIPv6(slot: number): boolean {
    return this.#batch.isIPv6 && this.#textOf(this.#batch.addressOf(slot)).includes(":");
  }

  #sendLate(response: Response, path: Uint8Array): void {
    if (this.#isClosed || !Buffer.isBuffer(response)) return;
    if (!this.#batch.send(response, path)) this.#counters.sendFailures++;
  }

  #textOf(address: string): string {
    const known = this.#texts.get(address);
    if (known !== undefined) return known;
    if (this.#texts.size >= addressesMax) this.#texts.clear();
    const text = fromBytes(Buffer.from(address, "latin1"));
    this.#texts.set(address, text);
    return text;
  }
}
