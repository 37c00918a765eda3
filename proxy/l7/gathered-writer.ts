/**
 * Writes text and slices to a socket so that what belongs together goes out in one system call.
 *
 *   response-writer.ts, upstream.ts ─▶ text(), bytes() between cork() and uncork() ─▶ one write on the socket
 *
 * A short slice is taken into the text in front of it (latin1 keeps each byte): writing one string costs half of what a
 * vector of a string and a buffer does. A longer slice is never copied. Invariants: what is written arrives in order;
 * at most `textMax` characters wait, and none behind the last uncork().
 */
import type { Socket } from "node:net";

/** Longest slice that is copied, in bytes: above it the copy costs more than the vector. */
const shortMax = 4096;
/** Text that waits; Node writes a string of up to 16 KiB without an allocation. */
const textMax: number = 16 * 1024;

export class GatheredWriter {
  readonly #socket: Socket;
  #text = "";
  #corks = 0;
  /** The socket gathers, because a slice was too long to be taken in. */
  #isSocketCorked = false;

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  cork(): void {
    this.#corks++;
  }

  uncork(): void {
    if (this.#corks > 0 && --this.#corks === 0) this.flush();
  }

  /** The system has all that was written. */
  get isWritten(): boolean {
    return this.#corks === 0 && this.#socket.writableLength === 0;
  }

  /** False when the socket takes no more for now: it will drain. */
  text(text: string): boolean {
    const socket = this.#socket;
    if (this.#corks === 0) return socket.write(text, "latin1");
    if (this.#text.length + text.length > textMax) this.#pass();
    this.#text += text;
    return !socket.writableNeedDrain;
  }

  /** The same for bytes. */
  bytes(slice: Buffer): boolean {
    if (this.#corks > 0 && slice.length <= shortMax) return this.text(slice.toString("latin1"));
    if (this.#text !== "") this.#pass();
    return this.#socket.write(slice);
  }

  /** What waits goes out now: before somebody else writes to the socket, or ends it. */
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
