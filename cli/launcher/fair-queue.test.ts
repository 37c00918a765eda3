/** Turns among sources. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { FairQueue } from "./fair-queue.ts";

const any = (): boolean => true;

function drain(queue: FairQueue): number[] {
  const order: number[] = [];
  for (let id = queue.next(any); id !== undefined; id = queue.next(any)) order.push(id);
  return order;
}

describe("FairQueue", () => {
  it("next() takes the sources in turns, each its oldest first", () => {
    const queue = new FairQueue(10);
    for (const id of [1, 2, 3]) queue.push("a", id);
    queue.push("b", 4);
    queue.push("c", 5);
    assert.deepEqual(drain(queue), [1, 4, 5, 2, 3]);
  });

  it("next() passes over a source that may not go, which keeps its place", () => {
    const queue = new FairQueue(10);
    queue.push("a", 1);
    queue.push("b", 2);
    assert.equal(
      queue.next((source) => source !== "a"),
      2,
    );
    assert.equal(
      queue.next((source) => source !== "a"),
      undefined,
    );
    assert.equal(queue.next(any), 1);
  });

  it("push() refuses a source that has all it may have, and no other", () => {
    const queue = new FairQueue(1);
    assert.equal(queue.push("a", 1), true);
    assert.equal(queue.push("a", 2), false);
    assert.equal(queue.push("b", 3), true);
    assert.deepEqual(drain(queue), [1, 3]);
  });

  it("remove() takes out what waits, and says whether it did", () => {
    const queue = new FairQueue(2);
    queue.push("a", 1);
    queue.push("a", 2);
    assert.equal(queue.remove("a", 1), true);
    assert.equal(queue.remove("a", 1), false);
    assert.deepEqual(drain(queue), [2]);
  });

  it("loses nothing, and lets no source wait for more than one turn of each other", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 60 }), (sources) => {
        const queue = new FairQueue(100);
        sources.forEach((source, id) => queue.push(String(source), id));
        const order = drain(queue);
        assert.deepEqual(
          [...order].sort((a, b) => a - b),
          [...sources.keys()],
        );
        // The k-th of a source comes before the (k+1)-th of any that has as many.
        const turns = new Map<number, number>();
        const turnOf = order.map((id) => {
          const turn = (turns.get(sources[id]!) ?? 0) + 1;
          turns.set(sources[id]!, turn);
          return turn;
        });
        assert.deepEqual(
          turnOf,
          [...turnOf].sort((a, b) => a - b),
        );
      }),
    );
  });
});
