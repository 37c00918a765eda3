/**
 * What waits, in turns by who asked: one pod's burst keeps no other pod waiting behind it. Pure.
 *
 *   push(source, id) ─▶ one line a source ─▶ next(mayGo): the sources in rotation, each its oldest
 *
 * Invariant: within a source, first in, first out; at most `sourceMax` wait for one source.
 */
export class FairQueue {
  readonly #sourceMax: number;
  /** In the order of their turns; a source without anything waiting is not here. */
  readonly #lines = new Map<string, Set<number>>();

  constructor(sourceMax: number) {
    this.#sourceMax = sourceMax;
  }

  /** False: the source has all it may have. */
  push(source: string, id: number): boolean {
    const line = this.#lines.get(source);
    if (line === undefined) {
      this.#lines.set(source, new Set([id]));
      return true;
    }
    if (line.size >= this.#sourceMax) return false;
    line.add(id);
    return true;
  }

  /** The id whose turn it is among the sources that may go, or undefined when none of them has any. */
  next(mayGo: (source: string) => boolean): number | undefined {
    for (const [source, line] of this.#lines) {
      if (!mayGo(source)) continue;
      const id = line.values().next().value;
      this.#lines.delete(source);
      if (id === undefined) return undefined;
      line.delete(id);
      // Behind the others: a map keeps the order of insertion.
      if (line.size > 0) this.#lines.set(source, line);
      return id;
    }
    return undefined;
  }

  /** True when it waited. */
  remove(source: string, id: number): boolean {
    const line = this.#lines.get(source);
    if (line?.delete(id) !== true) return false;
    if (line.size === 0) this.#lines.delete(source);
    return true;
  }

  clear(): void {
    this.#lines.clear();
  }
}
