/**
 * Key → set of values, for the reverse indexes of objects.ts.
 *
 * Invariant: a value is there as long as it was added more often than deleted, so that two objects may say the same
 * thing.
 */
export class Multimap {
  readonly #counts = new Map<string, Map<string, number>>();

  add(key: string, value: string): void {
    const counts = this.#counts.get(key) ?? new Map<string, number>();
    this.#counts.set(key, counts);
    counts.set(value, (counts.get(value) ?? 0) + 1);
  }

  delete(key: string, value: string): void {
    const counts = this.#counts.get(key);
    const count = counts?.get(value);
    if (counts === undefined || count === undefined) return;
    if (count > 1) counts.set(value, count - 1);
    else counts.delete(value);
    if (counts.size === 0) this.#counts.delete(key);
  }

  /** In the order of their first adding. */
  get(key: string): readonly string[] {
    return [...(this.#counts.get(key)?.keys() ?? [])];
  }
}
