/**
 * One look at the clock for all that a read brings about.
 *
 *   read-buffers.ts ─▶ enter() … leave()     EngineDeps.nowMs = readClock.of(clock) ─▶ the time as of the read in hand
 *
 * An answer's read asks for the time five times within some microseconds: of the response, of the request's end, of two
 * connections that are idle now. Looking costs 50 ns where the time comes from the hypervisor. Invariant: outside of a
 * read, and in the next one, the time is looked at anew.
 */

export class ReadClock {
  /** The number of the read in hand; 0 outside of reads. */
  #read = 0;
  #reads = 0;

  /** A read begins. */
  enter(): void {
    this.#read = ++this.#reads;
  }

  /** It is handled. */
  leave(): void {
    this.#read = 0;
  }

  /** `nowMs`, asked once a read. */
  of(nowMs: () => number): () => number {
    let askedIn = 0;
    let askedMs = 0;
    return () => {
      if (this.#read === 0) return nowMs();
      if (askedIn !== this.#read) {
        askedIn = this.#read;
        askedMs = nowMs();
      }
      return askedMs;
    };
  }
}

/** Of this thread's event loop. */
export const readClock: ReadClock = new ReadClock();
