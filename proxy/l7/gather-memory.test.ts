/** Writers that share memory find in it what they put there, until they say that nobody looks at it any more. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Gathering, blockBytes } from "./gather-memory.ts";

interface Viewed {
  readonly view: Buffer;
  readonly wanted: Buffer;
}

test("Gathering keeps what each writer has in it, and what was viewed and not released as free", () => {
  const step = fc.record({
    who: fc.integer({ min: 0, max: 5 }),
    what: fc.constantFrom("text" as const, "bytes" as const, "bytes" as const, "write" as const, "leave" as const),
    size: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 12_000 })),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const writers = Array.from({ length: 6 }, () => ({ gathered: new Gathering(), wanted: Buffer.alloc(0) }));
      /** Written, and still looked at. */
      const left: Viewed[] = [];
      for (const [at, { who, what, size }] of steps.entries()) {
        const writer = writers[who]!;
        const { gathered } = writer;
        if (what === "write" || what === "leave" || gathered.length + size > blockBytes) {
          if (gathered.length === 0) continue;
          const view = gathered.view();
          assert.ok(view.equals(writer.wanted));
          if (what === "leave") left.push({ view, wanted: writer.wanted });
          gathered.release(what !== "leave");
          writer.wanted = Buffer.alloc(0);
          assert.equal(gathered.length, 0);
        } else {
          const piece = Buffer.alloc(size, at);
          if (what === "text") gathered.text(piece.toString("latin1"));
          else gathered.bytes(piece);
          writer.wanted = Buffer.concat([writer.wanted, piece]);
        }
        for (const { view, wanted } of left) assert.ok(view.equals(wanted));
      }
      for (const { gathered, wanted } of writers) {
        assert.equal(gathered.length, wanted.length);
        if (wanted.length > 0) assert.ok(gathered.view().equals(wanted));
        gathered.release(true);
      }
    }),
    { numRuns: 300, seed: 4 },
  );
});

test("Gathering uses the same memory again once it is released as free", () => {
  const gathered = new Gathering();
  const write = (isFree: boolean): Buffer => {
    gathered.text("text");
    const view = gathered.view();
    gathered.release(isFree);
    return view;
  };
  const first = write(true);
  const second = write(true);
  assert.deepEqual([second.buffer === first.buffer, second.byteOffset], [true, first.byteOffset]);
  // Somebody looks at it still: what follows stands behind it, in the same block as long as there is room.
  const left = write(false);
  const behind = write(true);
  assert.deepEqual([behind.buffer === left.buffer, behind.byteOffset], [true, left.byteOffset + left.length]);
  for (let turn = 0; turn < blockBytes; turn++) {
    gathered.bytes(Buffer.from("other"));
    gathered.release(true);
  }
  assert.equal(left.toString(), "text");
});
