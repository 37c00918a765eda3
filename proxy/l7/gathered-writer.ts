/**
 * Writes text and slices to a socket so that what belongs together goes out in one system call, at the end of the turn
 * of the event loop (write-queue.ts).
 *
 *   response-writer.ts, upstream.ts ─▶ text(), bytes() ─▶ one write on the socket
 *
 * A short slice is taken into the text in front of it (latin1 keeps each byte): writing one string costs half of what a
 * vector of a string and a buffer does. A longer slice is never copied, and goes out, with what was there before,
 * behind the last uncork(): its memory is wanted for the next read. Invariants: what is written arrives in order; at
 * most `textMax` characters wait, and none behind flush().
 */
import type { Socket } from "node:net";
import { type TurnWriter, type WriteQueue, writeQueue } from "./write-queue.ts";

/** Longest slice that is copied, in bytes: above it the copy costs more than the vector. */
const shortMax = 4096;
/** Text that waits; Node writes a string of up to 16 KiB without an allocation. */
const textMax: number = 16 * 1024;

export class GatheredWriter implements TurnWriter {
  readonly #socket: Socket;
  readonly #queue: WriteQueue;
  #text = "";
  #corks = 0;
  /** The socket gathers, because a slice was too long to be taken in. */
  #isSocketCorked = false;
  /** For the end of the turn. */
  #isQueued = false;

  constructor(socket: Socket, queue: WriteQueue = writeQueue) {
    this.#socket = socket;
    this.#queue = queue;
  }

  cork(): void {
    this.#corks++;
  }

  uncork(): void {
    if (this.#corks === 0 || --this.#corks > 0) return;
    if (this.#isSocketCorked) this.flush();
    else if (this.#text !== "") this.#enqueue();
  }

  /** Nobody looks any more at the slices that were given. */
  get isFree(): boolean {
    return this.#corks === 0 && this.#socket.writableLength === 0;
  }

  /** False when the socket takes no more for now: it will drain. */
  text(text: string): boolean {
    if (this.#text.length + text.length > textMax) this.#pass();
    this.#text += text;
    if (this.#corks === 0) this.#enqueue();
    return !this.#socket.writableNeedDrain;
  }

  /** The same for bytes. */
  bytes(slice: Buffer): boolean {
    if (slice.length <= shortMax) return this.text(slice.toString("latin1"));
    if (this.#text !== "") this.#pass();
    const isWritable = this.#socket.write(slice);
    if (this.#corks === 0) this.flush();
    return isWritable;
  }

  /** What waits goes out now: before somebody else writes to the socket, or closes it. */
  flush(): void {
    if (this.#text !== "" && !this.#isSocketCorked) {
      const text = this.#text;
      this.#text = "";
      this.#socket.write(text, "latin1");
      return;
    }
    if (this.#text !== "") this.#pass();
    if (!this.#isSocketCorked) return;
    this.#isSocketCorked = false;
    this.#socket.uncork();
  }

  endTurn(): void {
    this.#isQueued = false;
    // To nobody: node:net would make an error of it.
    if (this.#socket.destroyed) this.#text = "";
    if (this.#corks === 0) this.flush();
  }

  #enqueue(): void {
    if (this.#isQueued) return;
    this.#isQueued = true;
    this.#queue.add(this);
  }

  /** To the socket, in front of what follows. */
  #pass(): void {
    if (!this.#isSocketCorked) {
      this.#isSocketCorked = true;
      this.#socket.cork();
    }
    const text = this.#text;
    this.#text = "";
    this.#socket.write(text, "latin1");
  }
}
