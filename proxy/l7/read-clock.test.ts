/** The time stands still within a read, and nowhere else. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ReadBuffer } from "./read-buffers.ts";
import { ReadClock, readClock } from "./read-clock.ts";

test("ReadClock asks once a read, and always outside of reads", () => {
  const clock = new ReadClock();
  let ms = 0;
  const nowMs = clock.of(() => ++ms);
  const other = clock.of(() => 100 + ms);
  assert.deepEqual([nowMs(), nowMs()], [1, 2]);
  clock.enter();
  assert.deepEqual([nowMs(), nowMs(), other(), other()], [3, 3, 103, 103]);
  clock.leave();
  assert.deepEqual([nowMs(), other()], [4, 104]);
  clock.enter();
  assert.equal(nowMs(), 5);
  clock.leave();
});

test("A read of a connection is one, whether it is handled or fails", () => {
  let ms = 0;
  const nowMs = readClock.of(() => ++ms);
  const seen: number[] = [];
  const reads = new ReadBuffer((chunk) => {
    seen.push(nowMs(), nowMs());
    if (chunk.toString() === "bad") throw new Error("Cannot read");
    return { isFree: false, isInBody: false };
  });
  const read = (text: string): boolean =>
    reads.options.callback(Buffer.from(reads.options.buffer().buffer).write(text));
  read("good");
  assert.throws(() => read("bad"), /Cannot read/);
  assert.deepEqual(seen, [1, 1, 2, 2]);
  assert.deepEqual([nowMs(), nowMs()], [3, 4]);
});
