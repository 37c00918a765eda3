/**
 * Memory in which the pieces of one write stand side by side: a short head and its body, as bytes.
 *
 *   gathered-writer.ts ─▶ text(), bytes() ─▶ view() ─▶ socket ─▶ release(isFree)
 *
 * All writers of a thread use the same blocks, one behind the other, and use them again as soon as all that stood in
 * one is written: where a string for the body and another one for the whole were a quarter of a request's garbage.
 * Invariants: what was viewed is not written to before it is released as free, and never where it was released
 * otherwise; at most `freeMax` blocks wait.
 */

/** A block, in bytes. What is gathered is shorter. */
export const blockBytes: number = 64 * 1024;
const freeMax = 32;

interface Block {
  readonly memory: Buffer;
  /** Behind what is used of it. */
  end: number;
  /** Those who have something in it. */
  users: number;
  /** Somebody still looks at a part of it, and nobody knows for how long: it is used up to its end, and not again. */
  isLeft: boolean;
}

const free: Block[] = [];
let current: Block | undefined;

/** What one writer gathers. */
export class Gathering {
  #block: Block | undefined;
  #from = 0;
  #end = 0;

  /** In bytes. */
  get length(): number {
    return this.#end - this.#from;
  }

  /** Appends latin1 text. */
  text(text: string): void {
    const { memory } = this.#reserve(text.length);
    this.#advance(memory.write(text, this.#end, "latin1"));
  }

  /** Appends a copy. */
  bytes(slice: Buffer): void {
    const { memory } = this.#reserve(slice.length);
    this.#advance(slice.copy(memory, this.#end));
  }

  view(): Buffer {
    return this.#block!.memory.subarray(this.#from, this.#end);
  }

  /** Empty again. `isFree`: nobody looks at the view any more. */
  release(isFree: boolean): void {
    const block = this.#block;
    if (block === undefined) return;
    this.#block = undefined;
    this.#from = 0;
    this.#end = 0;
    leave(block, isFree);
  }

  /** Room for `bytes` behind what is there, which is moved if need be. */
  #reserve(bytes: number): Block {
    const held = this.#block;
    const isLast = held !== undefined && held === current && held.end === this.#end;
    if (isLast && held.end + bytes <= blockBytes) return held;
    const { length } = this;
    const block = blockFor(length + bytes);
    const from = block.end;
    block.users++;
    if (held !== undefined) {
      held.memory.copy(block.memory, from, this.#from, this.#end);
      leave(held, true);
    }
    this.#block = block;
    this.#from = from;
    this.#end = from + length;
    block.end = this.#end;
    return block;
  }

  #advance(bytes: number): void {
    this.#end += bytes;
    this.#block!.end = this.#end;
  }
}

/** The one that is used, or another one where it has no room for `bytes`. */
function blockFor(bytes: number): Block {
  if (current === undefined || current.end + bytes > blockBytes)
    current = free.pop() ?? { memory: Buffer.allocUnsafeSlow(blockBytes), end: 0, users: 0, isLeft: false };
  return current;
}

function leave(block: Block, isFree: boolean): void {
  block.users--;
  if (!isFree) block.isLeft = true;
  if (block.users > 0 || block.isLeft) return;
  block.end = 0;
  if (block !== current && free.length < freeMax) free.push(block);
}
