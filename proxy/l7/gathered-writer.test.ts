/** What a socket is given for what is written: the bytes in order, few writes. */
import assert from "node:assert/strict";
import { type Socket, connect, createServer } from "node:net";
import { test } from "node:test";
import fc from "fast-check";
import { listenOn } from "./fixture.ts";
import { GatheredWriter } from "./gathered-writer.ts";
import { WriteQueue } from "./write-queue.ts";

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

/** A queue and the end of its turn. */
function handTurn(): { queue: WriteQueue; end: () => void } {
  let due: (() => void)[] = [];
  const queue = new WriteQueue((callback) => void due.push(callback));
  const end = (): void => {
    const callbacks = due;
    due = [];
    for (const callback of callbacks) callback();
  };
  return { queue, end };
}

const bytes = Buffer.from(Array.from({ length: 256 }, (_, at) => at));

test("GatheredWriter takes short slices into the text: one write at the end of the turn, each byte as it was", () => {
  const { socket, writes } = fakeSocket();
  const { queue, end } = handTurn();
  const out = new GatheredWriter(socket, { queue });
  out.cork();
  out.text("head\r\n");
  out.bytes(bytes);
  out.uncork();
  out.text("tail");
  assert.equal(writes.length, 0);
  end();
  assert.deepEqual(writes, [Buffer.concat([Buffer.from("head\r\n"), bytes, Buffer.from("tail")])]);
  end();
  assert.equal(writes.length, 1);
});

test("GatheredWriter writes a long slice, with what was in front of it, behind the last uncork", () => {
  const { socket, writes, corks } = fakeSocket();
  const { queue, end } = handTurn();
  const out = new GatheredWriter(socket, { queue });
  const long = Buffer.alloc(5000, "x");
  out.cork();
  out.text("head");
  out.bytes(long);
  assert.equal(corks(), 1);
  out.uncork();
  assert.deepEqual([writes, corks()], [[Buffer.from("head"), long], 0]);
  out.text("more");
  out.bytes(long);
  assert.deepEqual([writes.slice(2), corks()], [[Buffer.from("more"), long], 0]);
  end();
  assert.equal(writes.length, 4);
});

test("GatheredWriter keeps the order, leaves nothing behind, and undoes each cork", () => {
  const step = fc.oneof(
    fc.constantFrom("cork" as const, "uncork" as const, "flush" as const, "end" as const),
    fc.integer({ min: 0, max: 9000 }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), fc.boolean(), (steps, isFlushed) => {
      const { socket, writes, corks } = fakeSocket();
      const { queue, end } = handTurn();
      const out = new GatheredWriter(socket, { queue });
      const wanted: Buffer[] = [];
      let corked = 0;
      for (const [at, one] of steps.entries()) {
        if (one === "end") end();
        else if (typeof one === "string") {
          corked = one === "cork" ? corked + 1 : one === "uncork" ? Math.max(0, corked - 1) : corked;
          out[one]();
        } else {
          const slice = Buffer.alloc(one, at);
          wanted.push(slice);
          if (one % 2 === 0) out.bytes(slice);
          else out.text(slice.toString("latin1"));
        }
      }
      // At the end of a turn, or told to.
      if (isFlushed) out.flush();
      else for (; corked > 0; corked--) out.uncork();
      end();
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
