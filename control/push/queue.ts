/**
 * The names that one client still has to hear about, of one type: the next push, while the last one is outstanding.
 *
 *   session.ts adds ─▶ (at most one push outstanding) ─▶ session.ts takes
 *
 * Invariant: bounded. A name is held once however often it changes; beyond `namesMax` names those that no longer matter
 * (deleted before the client ever saw them) are dropped, which `dropped` counts.
 */

/** Names above which a queue is searched for ones that no longer matter. */
const namesMax = 65_536;

export class PushQueue {
  readonly #names = new Set<string>();
  #sinceMs: number | undefined;
  #limit = namesMax;
  /** Changes that joined a name already waiting. */
  merged = 0;
  /** Names dropped because they no longer mattered. */
  dropped = 0;

  get size(): number {
    return this.#names.size;
  }

  /** When the oldest change that waits happened (monotonic ms), or undefined when nothing waits. */
  get sinceMs(): number | undefined {
    return this.#names.size === 0 ? undefined : this.#sinceMs;
  }

  /** `matters` says whether a name exists or was sent; it is asked only when the queue is long. */
  add(name: string, atMs: number, matters: (name: string) => boolean): void {
    if (this.#names.size === 0) this.#sinceMs = atMs;
    if (this.#names.has(name)) this.merged++;
    else this.#names.add(name);
    if (this.#names.size > this.#limit) this.#prune(matters);
  }

  delete(name: string): void {
    this.#names.delete(name);
  }

  /** The names in the order in which they were added; deleting while iterating is fine. */
  names(): Iterable<string> {
    return this.#names;
  }

  #prune(matters: (name: string) => boolean): void {
    for (const name of this.#names)
      if (!matters(name)) {
        this.#names.delete(name);
        this.dropped++;
      }
    // What is left exists or was sent; search again only after it doubled.
    this.#limit = Math.max(namesMax, this.#names.size * 2);
  }
}
