/** HeadScanner: a head that comes whole is read as one that comes in pieces, and marked where its lines stand. */
import assert from "node:assert/strict";
import { it } from "node:test";
import fc from "fast-check";
import { HTTP1Error } from "./errors.ts";
import { type Headers, parseHeaders } from "./headers.ts";
import { type HeadMarks, HeadScanner } from "./scanner.ts";

interface Found {
  readonly end: number;
  readonly text: string;
}

/** Of the first head in `pieces`; undefined while it has no end; the code of what is wrong with it. */
function find(pieces: readonly Buffer[], scanner: HeadScanner): Found | string | undefined {
  let before = 0;
  try {
    for (const piece of pieces) {
      const end = scanner.push(piece, 0);
      if (end >= 0) return { end: before + end, text: scanner.take(piece, 0, end) };
      before += piece.length;
    }
    return undefined;
  } catch (error) {
    return (error as { readonly code: string }).code;
  }
}

/** Pieces of what a head may be made of, and of what it must not. */
const parts = fc.array(
  fc.constantFrom("a", ":", " ", "\t", "\r\n", "\r\n\r\n", "\r", "\n", "\0", "\x7f", "\xe9", "b: c\r\n"),
  {
    maxLength: 12,
  },
);
const bytesMax = 40;

it("HeadScanner finds the same in one piece as in several", () => {
  fc.assert(
    fc.property(parts, fc.array(fc.nat(20), { maxLength: 4 }), fc.boolean(), (texts, lengths, skips) => {
      const bytes = Buffer.from(texts.join(""), "latin1");
      const pieces: Buffer[] = [];
      let at = 0;
      for (const length of lengths) pieces.push(bytes.subarray(at, (at += length)));
      pieces.push(bytes.subarray(at));
      const whole = find([bytes], new HeadScanner(skips, bytesMax));
      const inPieces = find(
        pieces.filter(({ length }) => length > 0),
        new HeadScanner(skips, bytesMax),
      );
      // One that is too long may be told so before what else is wrong with it comes.
      const isEarly = bytes.length > bytesMax && typeof whole === "string" && typeof inPieces === "string";
      if (!isEarly) assert.deepEqual(inPieces, whole);
    }),
    { seed: 1, numRuns: 5000 },
  );
});

it("HeadScanner marks the lines of a head that came whole, wherever it begins", () => {
  const scanner = new HeadScanner(true);
  const text = "GET / HTTP/1.1\r\na: b:c\r\nnone\r\n\r\n";
  const chunk = Buffer.from(`before${text}behind`);
  const end = scanner.push(chunk, 6);
  assert.equal(scanner.take(chunk, 6, end), text);
  const { marks } = scanner;
  assert.equal(marks?.count, 3);
  assert.deepEqual([...marks.ends.subarray(0, 3)], [14, 22, 28]);
  assert.deepEqual([...marks.colons.subarray(0, 3)], [-1, 17, -1]);
});

it("HeadScanner marks none that came in pieces, has a blank line in front, or too many lines", () => {
  for (const [text, split] of [
    ["GET / HTTP/1.1\r\na: b\r\n\r\n", 5],
    ["\r\nGET / HTTP/1.1\r\na: b\r\n\r\n", 0],
    [`GET / HTTP/1.1\r\n${"a: b\r\n".repeat(256)}\r\n`, 0],
  ] as const) {
    const scanner = new HeadScanner(true);
    const bytes = Buffer.from(text);
    if (split > 0) assert.equal(scanner.push(bytes.subarray(0, split), 0), -1);
    const rest = bytes.subarray(split);
    const end = scanner.push(rest, 0);
    assert.equal(scanner.take(rest, 0, end), text.trimStart());
    assert.equal(scanner.marks, undefined);
  }
});

/** Its headers, or the code of what is wrong with one. */
function parsed(text: string, marks: HeadMarks | undefined): Headers | string {
  try {
    return parseHeaders(text, text.indexOf("\r") + 2, { countMax: 5, marks });
  } catch (error) {
    assert.ok(error instanceof HTTP1Error, String(error));
    return error.code;
  }
}

it("parseHeaders() reads the same by marks as without", () => {
  const piece = fc.constantFrom("a", "b", ":", ": ", " ", "\t", "\xe9", "connection: x", "c:", "d:  e ");
  const line = fc.array(piece, { minLength: 1, maxLength: 4 }).map((pieces) => pieces.join(""));
  fc.assert(
    fc.property(fc.array(line, { maxLength: 7 }), (lines) => {
      const text = ["GET / HTTP/1.1", ...lines, "", ""].join("\r\n");
      const bytes = Buffer.from(text, "latin1");
      const scanner = new HeadScanner(true);
      assert.equal(scanner.push(bytes, 0), bytes.length);
      assert.equal(scanner.marks?.count, lines.length + 1);
      assert.deepEqual(parsed(text, scanner.marks), parsed(text, undefined));
    }),
    { seed: 1, numRuns: 5000 },
  );
});
