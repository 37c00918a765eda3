/** What connections read into is never written to while somebody looks at it. */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import { realClock } from "#lib/clock.ts";
import { routesTo, startRig, startUpstream, staticCluster } from "./fixture.ts";
import { ReadBuffer, type ReadResult } from "./read-buffers.ts";

/** Hands `text` to the buffer as a read would. */
function read(buffer: ReadBuffer, text: string): void {
  const { options } = buffer;
  const memory = Buffer.from(options.buffer().buffer);
  options.callback(memory.write(text, "latin1"));
}

test("ReadBuffer hands on copies of short reads, and its own memory again once it is written", () => {
  const seen: Buffer[] = [];
  let result: ReadResult = { isFree: false, isInBody: true };
  const buffer = new ReadBuffer((chunk) => {
    seen.push(chunk);
    return result;
  });
  const full = 16 * 1024;
  read(buffer, "short");
  read(buffer, "other");
  assert.deepEqual(seen.map(String), ["short", "other"]);
  // A full read: the rest of the body comes in memory of its own.
  read(buffer, "a".repeat(full));
  read(buffer, "b".repeat(full));
  read(buffer, "c".repeat(full));
  assert.equal(seen[3]!.toString(), "b".repeat(full));
  assert.notEqual(seen[3]!.buffer, seen[4]!.buffer);
  result = { isFree: true, isInBody: true };
  read(buffer, "d".repeat(full));
  read(buffer, "e".repeat(full));
  assert.equal(seen[5]!.buffer, seen[6]!.buffer);
  assert.notEqual(seen[4]!.buffer, seen[5]!.buffer);
  result = { isFree: true, isInBody: false };
  read(buffer, "f".repeat(full));
  read(buffer, "end");
  assert.notEqual(seen[7]!.buffer, seen[8]!.buffer);
  assert.equal(seen[0]!.toString(), "short");
});

test("A large buffer that is lent is used again once it is written, and not before", () => {
  const full = 16 * 1024;
  const seen: Buffer[] = [];
  const loans: { isFree: boolean }[] = [];
  const buffer = new ReadBuffer((chunk) => {
    seen.push(chunk);
    const loan = { isFree: false };
    loans.push(loan);
    return { isFree: false, isInBody: true, loan };
  });
  for (const letter of "abcd") read(buffer, letter.repeat(full));
  const memories = (): Set<ArrayBufferLike> => new Set(seen.map((chunk) => chunk.buffer));
  assert.equal(memories().size, 4);
  assert.deepEqual(
    seen.map(String),
    ["a", "b", "c", "d"].map((letter) => letter.repeat(full)),
  );
  // The third is written: the next but one is read into it.
  loans[2]!.isFree = true;
  read(buffer, "e".repeat(full));
  read(buffer, "f".repeat(full));
  assert.equal(seen[5]!.buffer, seen[2]!.buffer);
  assert.equal(memories().size, 5);
  assert.deepEqual(
    [seen[0]!, seen[1]!, seen[3]!].map(String),
    ["a", "b", "d"].map((letter) => letter.repeat(full)),
  );
});

test("A copy is written over once nobody looks at it, and not before", () => {
  const seen: Buffer[] = [];
  let isFree = true;
  const buffer = new ReadBuffer((chunk) => {
    seen.push(chunk);
    return { isFree, isInBody: false };
  });
  read(buffer, "first");
  isFree = false;
  read(buffer, "second");
  read(buffer, "third");
  assert.equal(seen[0]!.byteOffset, seen[1]!.byteOffset);
  assert.deepEqual(seen.slice(1).map(String), ["second", "third"]);
  // More than the memory for copies has place for: what was handed on stays as it is.
  for (let index = 0; index < 9; index++) read(buffer, String(index).repeat(15_000));
  assert.deepEqual(seen.slice(1, 3).map(String), ["second", "third"]);
  for (let index = 0; index < 9; index++) assert.equal(seen[index + 3]!.toString(), String(index).repeat(15_000));
});

test("A copy that another read stands behind is kept", () => {
  const seen: string[] = [];
  const inner = new ReadBuffer((chunk) => {
    seen.push(chunk.toString());
    return { isFree: false, isInBody: false };
  });
  const outer = new ReadBuffer((chunk) => {
    read(inner, "inner");
    seen.push(chunk.toString());
    return { isFree: true, isInBody: false };
  });
  read(outer, "outer");
  assert.deepEqual(seen, ["inner", "outer"]);
});

test("Bodies arrive whole at many downstreams that read slowly", async () => {
  const bytes = 3_000_000;
  const body = (index: number): Buffer => Buffer.alloc(bytes, `${index}-`);
  let served = 0;
  await using upstream = await startUpstream((socket) => {
    socket.once("data", () => {
      const index = served++;
      socket.write(`HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: ${bytes}\r\nx-index: ${index}\r\n\r\n`);
      socket.end(body(index));
    });
  });
  await using rig = await startRig({ routes: routesTo("up"), clusters: [staticCluster("up", [upstream.port])] });
  const wrong = await Promise.all(
    Array.from({ length: 12 }, async () => {
      const chunks: Buffer[] = [];
      const socket = connect(rig.port, "127.0.0.1");
      socket.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
      for await (const chunk of socket) {
        chunks.push(chunk as Buffer);
        if (chunks.length % 8 === 0) await realClock.sleep(1);
      }
      const all = Buffer.concat(chunks);
      const start = all.indexOf("\r\n\r\n") + 4;
      const index = Number(/x-index: (\d+)/.exec(all.toString("latin1", 0, start))![1]);
      return all.subarray(start).equals(body(index)) ? [] : [index];
    }),
  );
  assert.deepEqual(wrong.flat(), []);
});
