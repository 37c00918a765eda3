/**
 * DNS over TCP and TLS: connections with pipelined messages (RFC 7766, RFC 7858).
 *
 *   framed message ─▶ respond ─▶ framed response ─▶ same connection, in the order in which answers come
 *
 * Bounded: `connectionsMax` connections (beyond it the new one is closed), `idleMs` without traffic and for a message
 * from its first byte to its last, one partial message of `queryBytesMax` and `waitingMax` unanswered ones a
 * connection, `turnMax` messages of one in a turn of the event loop, so that a flood of one is not the others' wait; a
 * downstream that does not read its answers is not read from. A longer message is FORMERR and the end of its
 * connection: no query needs it, and 20,000 connections that announce 64 KiB each would be more than a gigabyte.
 */
import type { Socket } from "node:net";
import type { Clock, Timer } from "#lib/clock.ts";
import type { ServerCounters } from "../metrics.ts";
import type { Proto } from "../plugin.ts";
import { headerBytes } from "../wire/constants.ts";
import type { Respond, Response } from "./respond.ts";

/** Responses written before the downstream must take them: one message may be 64 KiB, and queries for it are tiny. */
const batchBytesMax = 64 * 1024;
/** A query as long as this: name and OPT take 300 bytes, padding (RFC 8467) and cookies some hundreds more. */
export const queryBytesMax = 4096;
/** Messages of a connection, about 1 ms, before others have their turn. */
const turnMax = 256;
/** Messages of a connection that wait for an upstream. */
const waitingMax = 100;

export const connectionsMaxDefault = 20_000;
export const idleMsDefault = 10_000;

export interface StreamOptions {
  readonly respond: Respond;
  readonly counters: ServerCounters;
  readonly proto: Proto;
  readonly clock: Clock;
  /** TCP connections at a time. Default 20 000: an idle one costs a few KiB. */
  readonly connectionsMax?: number;
  /** Without traffic, and for one message to be whole, in ms. Default 10 000, CoreDNS' idle timeout. */
  readonly idleMs?: number;
}

/** Takes connections; `connections` is all that are open. */
export class StreamServer {
  readonly connections: Set<Socket> = new Set();
  /** Connections that TLS runs over, those in their handshake among them; the listener keeps and closes them. */
  readonly carriers: Set<Socket> = new Set();
  readonly #options: StreamOptions;

  constructor(options: StreamOptions) {
    this.#options = options;
  }

  accept(socket: Socket): void {
    const { connectionsMax = connectionsMaxDefault, idleMs = idleMsDefault, counters } = this.#options;
    // A reset by the downstream; "close" follows and cleans up.
    socket.on("error", () => socket.destroy());
    if (this.connections.size >= connectionsMax) {
      counters.connectionsRefused++;
      socket.destroy();
      return;
    }
    this.connections.add(socket);
    socket.setNoDelay(true);
    socket.setTimeout(idleMs, () => socket.destroy());
    socket.once("close", () => this.connections.delete(socket));
    new Connection(socket, this.#options).start();
  }
}

class Connection {
  readonly #socket: Socket;
  readonly #options: StreamOptions;
  readonly #address: string;
  readonly #port: number;
  #unread: Buffer = Buffer.alloc(0);
  #waiting = 0;
  #hasEnded = false;
  /** Runs from the first byte of a message until it is whole: bytes alone keep no connection. */
  #deadline: Timer | undefined;
  /** Messages taken since others last had their turn. */
  #taken = 0;

  constructor(socket: Socket, options: StreamOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#address = socket.remoteAddress ?? "";
    this.#port = socket.remotePort ?? 0;
  }

  start(): void {
    const socket = this.#socket;
    socket.on("data", (chunk: Buffer) => {
      this.#unread = this.#unread.length === 0 ? chunk : Buffer.concat([this.#unread, chunk]);
      this.#pump();
    });
    socket.on("drain", () => this.#pump());
    socket.once("close", () => this.#endDeadline());
    socket.on("end", () => {
      this.#hasEnded = true;
      this.#pump();
    });
  }

  /** Answers whole messages until one bound is reached; then nothing more is read until it is left. */
  #pump(): void {
    const socket = this.#socket;
    while (this.#unread.length >= 2 && this.#mayGoOn()) {
      if (this.#unread.readUInt16BE(0) > queryBytesMax) return this.#refuse();
      const taken = this.#answerFrames();
      if (taken === 0) break;
      this.#endDeadline();
      // A copy, so that a few bytes do not hold a large chunk.
      this.#unread = Buffer.from(this.#unread.subarray(taken));
    }
    // What waits here because we are slow is not the downstream's delay.
    if (this.#unread.length === 0 || !this.#mayGoOn()) this.#endDeadline();
    else this.#beginDeadline();
    if (!this.#mayGoOn()) return void socket.pause();
    if (this.#hasEnded && this.#waiting === 0) socket.end();
    else socket.resume();
  }

  #beginDeadline(): void {
    const { clock, idleMs = idleMsDefault } = this.#options;
    this.#deadline ??= clock.after(idleMs, () => this.#socket.destroy());
  }

  #endDeadline(): void {
    this.#deadline?.cancel();
    this.#deadline = undefined;
  }

  #mayGoOn(): boolean {
    return this.#hasRoom() && !this.#socket.writableNeedDrain && !this.#socket.destroyed;
  }

  /** Frames: a length of two bytes, then the message (RFC 1035 §4.2.2). Bytes that were taken. */
  #answerFrames(): number {
    const { respond, proto } = this.#options;
    const bytes = this.#unread;
    const responses: Buffer[] = [];
    let at = 0;
    let responseBytes = 0;
    while (at + 2 <= bytes.length && responseBytes < batchBytesMax && this.#hasRoom()) {
      const end = at + 2 + bytes.readUInt16BE(at);
      if (end > bytes.length || end - at - 2 > queryBytesMax) break;
      const response = respond(bytes.subarray(at + 2, end), proto, this.#address, this.#port);
      at = end;
      this.#countTurn();
      if (response instanceof Promise) this.#await(response);
      else responseBytes += frame(responses, response);
    }
    if (responses.length > 0) this.#socket.write(Buffer.concat(responses));
    return at;
  }

  #hasRoom(): boolean {
    return this.#taken < turnMax && this.#waiting < waitingMax;
  }

  /** Counts a message. Who has had its share goes on in the next turn. */
  #countTurn(): void {
    if (++this.#taken < turnMax) return;
    setImmediate(() => {
      this.#taken = 0;
      if (!this.#socket.destroyed) this.#pump();
    });
  }

  /** Answers the header of a message that is too long, and takes nothing more of this connection. */
  #refuse(): void {
    const socket = this.#socket;
    if (this.#unread.length < 2 + headerBytes && !this.#hasEnded) return this.#beginDeadline();
    const { respond, proto, counters } = this.#options;
    counters.framesRefused++;
    const responses: Buffer[] = [];
    const response = respond(this.#unread.subarray(2, 2 + headerBytes), proto, this.#address, this.#port);
    if (!(response instanceof Promise)) frame(responses, response);
    this.#unread = Buffer.alloc(0);
    socket.end(Buffer.concat(responses), () => socket.destroy());
  }

  #await(response: Promise<Response>): void {
    this.#waiting++;
    void response.then((late) => {
      this.#waiting--;
      if (this.#socket.destroyed || this.#socket.writableEnded) return;
      const responses: Buffer[] = [];
      frame(responses, late);
      if (responses.length > 0) this.#socket.write(Buffer.concat(responses));
      this.#pump();
    });
  }
}

/** Appends a response with its length; its bytes. */
function frame(responses: Buffer[], response: Response): number {
  if (response === undefined) return 0;
  let bytes = 0;
  for (const message of Buffer.isBuffer(response) ? [response] : response) {
    responses.push(Buffer.from([message.length >> 8, message.length & 255]), message);
    bytes += message.length;
  }
  return bytes;
}
