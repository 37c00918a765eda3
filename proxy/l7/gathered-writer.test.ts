/** What a socket is given for what is written: the bytes in order, few writes. */
import assert from "node:assert/strict";
import { type Socket, connect, createServer } from "node:net";
import { test } from "node:test";
import fc from "fast-check";
import { listenOn } from "./fixture.ts";
import { GatheredWriter } from "./gathered-writer.ts";

/** The writes that arrive at a socket, and how often it is corked. */
function fakeSocket(): { socket: Socket; writes: Buffer[]; corks: () => number } {
  const writes: Buffer[] = [];
  let corks = 0;
  const socket = {
    writableNeedDrain: false,
    write: (data: string | Buffer) => (writes.push(Buffer.from(data as string, "latin1")), true),
    cork: () => void corks++,
    uncork: () => void corks--,
  };
  return { socket: socket as unknown as Socket, writes, corks: () => corks };
}

const bytes = Buffer.from(Array.from({ length: 256 }, (_, at) => at));

test("GatheredWriter takes a short slice into the text: one write, each byte as it was", () => {
  const { socket, writes } = fakeSocket();
  const out = new GatheredWriter(socket);
  out.cork();
  out.text("head\r\n");
  out.bytes(bytes);
  assert.equal(writes.length, 0);
  out.uncork();
  assert.deepEqual(writes, [Buffer.concat([Buffer.from("head\r\n"), bytes])]);
  out.text("alone");
  assert.equal(writes.length, 2);
});

test("GatheredWriter keeps the order, leaves nothing behind, and undoes each cork", () => {
  const step = fc.oneof(
    fc.constantFrom("cork" as const, "uncork" as const, "flush" as const),
    fc.integer({ min: 0, max: 9000 }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const { socket, writes, corks } = fakeSocket();
      const out = new GatheredWriter(socket);
      const wanted: Buffer[] = [];
      for (const [at, one] of steps.entries()) {
        if (typeof one === "string") out[one]();
        else {
          const slice = Buffer.alloc(one, at);
          wanted.push(slice);
          if (one % 2 === 0) out.bytes(slice);
          else out.text(slice.toString("latin1"));
        }
      }
      out.flush();
      assert.ok(Buffer.concat(writes).equals(Buffer.concat(wanted)));
      assert.equal(corks(), 0);
    }),
    { numRuns: 300, seed: 1 },
  );
});

test("GatheredWriter tells when the socket takes no more", async () => {
  const server = createServer((socket) => socket.pause());
  const socket = connect(await listenOn(server), "127.0.0.1");
  try {
    const out = new GatheredWriter(socket);
    out.cork();
    assert.equal(out.text("x"), true);
    assert.equal(out.bytes(Buffer.alloc(1024 * 1024)), false);
    assert.equal(out.text("y"), false);
    out.uncork();
  } finally {
    socket.destroy();
    server.close();
  }
});
