/**
 * Assertions for broken invariants. A failed assertion is a bug of ours, never a user's mistake or a network failure:
 * it crashes the unit that owns the invariant.
 */

/** Throws when `condition` is false. `message` says the invariant in the positive. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`Broken invariant: ${message}`);
}
