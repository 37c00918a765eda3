/**
 * Writes text and slices to a socket so that what belongs together goes out in one system call, at the end of the turn
 * of the event loop (write-queue.ts).
 *
 *   response-writer.ts, upstream.ts ─▶ text(), bytes() ─▶ one write on the socket
 *
 * A short slice is copied behind the text in front of it (gather-memory.ts): writing one piece costs half of what a
 * vector of a string and a buffer does. A longer slice is never copied, and goes out, with what was there before,
 * behind the last uncork(): its memory is wanted for the next read. Invariants: what is written arrives in order; at
 * most `waitingMax` bytes wait, and none behind flush().
 */
import type { Socket } from "node:net";
import { DirectWrites } from "./direct-writes.ts";
import { Gathering } from "./gather-memory.ts";
import { type TurnWriter, type WriteQueue, writeQueue } from "./write-queue.ts";

/** Longest slice that is copied, in bytes: above it the copy costs more than the vector. */
const shortMax = 4096;
/** What waits, in bytes; Node writes a string of up to 16 KiB without an allocation. */
const waitingMax: number = 16 * 1024;

/** How it writes. */
export interface WriterOptions {
  readonly queue?: WriteQueue;
  /** Told of an error in writing past the stream; true: it is not the socket's. */
  readonly passOver?: (error: Error) => boolean;
}

export class GatheredWriter implements TurnWriter {
  readonly #socket: Socket;
  readonly #queue: WriteQueue;
  /** What waits is text, or else is gathered. */
  #text = "";
  readonly #gathered = new Gathering();
  readonly #direct: DirectWrites;
  #corks = 0;
  /** The socket gathers, because a slice was too long to be taken in. */
  #isSocketCorked = false;
  /** For the end of the turn. */
  #isQueued = false;

  constructor(socket: Socket, { queue = writeQueue, passOver = () => false }: WriterOptions = {}) {
    this.#socket = socket;
    this.#queue = queue;
    this.#direct = new DirectWrites(socket, passOver);
  }

  cork(): void {
    this.#corks++;
  }

  uncork(): void {
    if (this.#corks === 0 || --this.#corks > 0) return;
    if (this.#isSocketCorked) this.flush();
    else if (this.#isWaiting) this.#enqueue();
  }

  /** Nobody looks any more at the slices that were given. */
  get isFree(): boolean {
    return this.#corks === 0 && this.#socket.writableLength === 0;
  }

  /** A write is under way that the socket does not count. */
  get isWriting(): boolean {
    return this.#direct.isBusy;
  }

  /** False when the socket takes no more for now: it will drain. */
  text(text: string): boolean {
    this.#makeRoom(text.length);
    if (this.#gathered.length > 0) this.#gathered.text(text);
    else this.#text += text;
    return this.#added();
  }

  /** The same for bytes. */
  bytes(slice: Buffer): boolean {
    if (slice.length <= shortMax) {
      this.#makeRoom(slice.length);
      if (this.#text !== "") this.#gatherText();
      this.#gathered.bytes(slice);
      return this.#added();
    }
    if (this.#isWaiting) this.#pass();
    const isWritable = this.#socket.write(slice);
    if (this.#corks === 0) this.flush();
    return isWritable;
  }

  /** What waits goes out now: before somebody else writes to the socket, or closes it. */
  flush(): void {
    if (!this.#isSocketCorked) return this.#write();
    if (this.#isWaiting) this.#pass();
    this.#isSocketCorked = false;
    this.#socket.uncork();
  }

  endTurn(): void {
    this.#isQueued = false;
    // To nobody: node:net would make an error of it.
    if (this.#socket.destroyed) this.#drop();
    if (this.#corks === 0) this.flush();
  }

  #enqueue(): void {
    if (this.#isQueued) return;
    this.#isQueued = true;
    this.#queue.add(this);
  }

  get #isWaiting(): boolean {
    return this.#text !== "" || this.#gathered.length > 0;
  }

  #added(): boolean {
    if (this.#corks === 0) this.#enqueue();
    return !this.#socket.writableNeedDrain;
  }

  #makeRoom(bytes: number): void {
    if (this.#text.length + this.#gathered.length + bytes > waitingMax) this.#pass();
  }

  /** The text becomes bytes, so that others may follow. */
  #gatherText(): void {
    this.#gathered.text(this.#text);
    this.#text = "";
  }

  #drop(): void {
    this.#text = "";
    this.#gathered.release(true);
  }

  /** To the socket, in front of what follows. */
  #pass(): void {
    if (!this.#isSocketCorked) {
      this.#isSocketCorked = true;
      this.#socket.cork();
    }
    this.#write();
  }

  #write(): void {
    if (this.#text !== "") {
      const text = this.#text;
      this.#text = "";
      if (!this.#direct.write(text)) this.#socket.write(text, "latin1");
    } else if (this.#gathered.length > 0) this.#writeGathered();
  }

  #writeGathered(): void {
    const socket = this.#socket;
    const view = this.#gathered.view();
    if (this.#direct.write(view)) {
      // TLS has its own copy by then, though its write ends later.
      const isCopied = (socket as { readonly encrypted?: boolean }).encrypted === true;
      return this.#gathered.release(isCopied || !this.#direct.isBusy);
    }
    socket.write(view);
    this.#gathered.release(socket.writableLength === 0);
  }
}
