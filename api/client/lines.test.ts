/** Lines out of chunks that are cut anywhere. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { splitLines } from "./lines.ts";

async function linesOf(chunks: readonly Uint8Array[], lineBytesMax = 1000): Promise<string[]> {
  async function* source(): AsyncGenerator<Uint8Array> {
    yield* chunks;
  }
  return Array.fromAsync(splitLines(source(), lineBytesMax));
}

describe("splitLines()", () => {
  it("gives the same lines however the bytes are cut, also inside a character", async () => {
    const text = 'one\n\nzwei äöü €\n{"three":3}\nlast';
    const bytes = Buffer.from(text);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 0, max: bytes.length }), { maxLength: 10 }), async (cuts) => {
        const at = [0, ...cuts.sort((a, b) => a - b), bytes.length];
        const chunks = at.slice(1).map((end, index) => bytes.subarray(at[index], end));
        assert.deepEqual(await linesOf(chunks), ["one", "zwei äöü €", '{"three":3}', "last"]);
      }),
    );
  });

  it("refuses a line that does not end within its bound", async () => {
    const chunk = Buffer.from("12345");
    assert.deepEqual(await linesOf([chunk, chunk], 10), ["1234512345"]);
    await assert.rejects(linesOf([chunk, chunk, chunk], 10), {
      code: "LineTooLong",
      message: "Cannot read line: more than 10 bytes",
    });
  });
});
