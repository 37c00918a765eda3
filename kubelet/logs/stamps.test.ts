/** Marks of logs: which time a byte has, and where a time begins. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { type Stamps, formatStamp, formatStamps, offsetSince, parseStamps, thin, timeAt } from "./stamps.ts";

const stampsArbitrary = fc
  .array(fc.record({ bytes: fc.integer({ min: 1, max: 1000 }), ms: fc.integer({ min: 0, max: 1000 }) }), {
    maxLength: 30,
  })
  .map((steps): Stamps => {
    let offset = 0;
    let timeMs = 0;
    return { start: 0, marks: steps.map(({ bytes, ms }) => ({ offset: (offset += bytes), timeMs: (timeMs += ms) })) };
  });

describe("stamps", () => {
  it("come back as they were written", () => {
    fc.assert(fc.property(stampsArbitrary, (stamps) => assert.deepEqual(parseStamps(formatStamps(stamps)), stamps)));
  });

  it("timeAt() is the time of the first mark beyond the byte", () => {
    fc.assert(
      fc.property(stampsArbitrary, fc.nat(20_000), (stamps, offset) => {
        assert.equal(timeAt(stamps, offset), stamps.marks.find((mark) => mark.offset > offset)?.timeMs);
      }),
    );
  });

  it("offsetSince() leaves out nothing of that time or later, and nothing earlier in", () => {
    fc.assert(
      fc.property(stampsArbitrary, fc.nat(30_000), (stamps, sinceMs) => {
        const offset = offsetSince(stamps, sinceMs);
        const last = stamps.marks.at(-1);
        if (offset === undefined) return assert.ok(last === undefined || last.timeMs < sinceMs);
        assert.ok((timeAt(stamps, offset) ?? Infinity) >= sinceMs);
        if (offset > 0) assert.ok((timeAt(stamps, offset - 1) ?? -1) < sinceMs);
      }),
    );
  });

  it("thin() keeps the newest mark and no more than wanted", () => {
    fc.assert(
      fc.property(stampsArbitrary, fc.integer({ min: 1, max: 10 }), (stamps, max) => {
        const thinned = thin(stamps, 0, max);
        assert.ok(thinned.marks.length <= max);
        assert.deepEqual(thinned.marks.at(-1), stamps.marks.at(-1));
      }),
    );
  });

  it("pass over what cannot be read", () => {
    assert.deepEqual(parseStamps("start 4\n6 100\nx\n7"), { start: 4, marks: [{ offset: 6, timeMs: 100 }] });
    assert.equal(formatStamp(1), "1970-01-01T00:00:00.001000000Z");
  });
});
