/** TCP connections that want more than their share, against others beside them. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import test from "node:test";
import { type Clock, ManualClock, realClock } from "#lib/clock.ts";
import { ServerCounters } from "../metrics.ts";
import type { Respond } from "./respond.ts";
import { StreamServer } from "./stream.ts";

async function serve(t: test.TestContext, respond: Respond, clock: Clock = realClock): Promise<number> {
  const streams = new StreamServer({ respond, counters: new ServerCounters(), proto: "tcp", clock });
  const server = createServer({ allowHalfOpen: true }, (socket) => streams.accept(socket));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    for (const socket of streams.connections) socket.destroy();
    server.close();
  });
  const bound = server.address();
  return typeof bound === "object" && bound !== null ? bound.port : 0;
}

async function open(t: test.TestContext, port: number): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  t.after(() => socket.destroy());
  await once(socket, "connect");
  return socket;
}

/** A frame of `length` bytes that begin with `mark`. */
function framed(mark: number, length = 20): Buffer {
  const bytes = Buffer.alloc(2 + length);
  bytes.writeUInt16BE(length, 0);
  bytes[2] = mark;
  return bytes;
}

const flooder = 1;
const other = 2;

test("accept() gives each connection its turn, however much another one sends", async (t) => {
  const order: number[] = [];
  const port = await serve(t, (message) => {
    order.push(message[0] ?? 0);
    return Buffer.alloc(12);
  });
  const [greedy, modest] = [await open(t, port), await open(t, port)];
  greedy.resume();
  // Sixty thousand queries, more than a megabyte, and one of another connection are there together.
  greedy.write(Buffer.concat(Array.from({ length: 60_000 }, () => framed(flooder))));
  modest.write(framed(other));
  await once(modest, "data");
  const waited = order.indexOf(other);
  assert.ok(waited < 5000, `${waited} answers of the flood came first`);
  while (order.length < 60_001) await new Promise((resolve) => setImmediate(resolve));
});

test("accept() answers every query of a flood once and in order", async (t) => {
  const port = await serve(t, (message) => Buffer.from(message));
  const socket = await open(t, port);
  const count = 20_000;
  const numbered = Array.from({ length: count }, (_, index) => {
    const bytes = framed(0, 12);
    bytes.writeUInt32BE(index, 2);
    return bytes;
  });
  socket.end(Buffer.concat(numbered));
  const chunks: Buffer[] = [];
  for await (const chunk of socket as AsyncIterable<Buffer>) chunks.push(chunk);
  const answers = Buffer.concat(chunks);
  assert.equal(answers.length, count * 14);
  for (let index = 0; index < count; index++) assert.equal(answers.readUInt32BE(index * 14 + 2), index);
});

test("accept() ends who sends a message a byte at a time, however often, and nobody else", async (t) => {
  const clock = new ManualClock();
  let answered = 0;
  const port = await serve(t, (message) => (answered++, Buffer.from(message)), clock);
  const [slow, honest, waiting] = [await open(t, port), await open(t, port), await open(t, port)];
  const closed = [slow, honest, waiting].map((socket) => once(socket, "close"));
  slow.resume();
  /** One whole message and a byte of the next: the second one's time begins with its byte. */
  const ask = async (socket: Socket): Promise<void> => {
    const before = answered;
    socket.write(Buffer.concat([framed(1, 12), Buffer.from([0])]));
    await once(socket, "data");
    assert.equal(answered, before + 1);
    socket.write(framed(1, 12).subarray(1));
    await once(socket, "data");
  };
  await ask(slow);
  for (let second = 0; second < 9; second++) {
    slow.write(Buffer.from([1]));
    await ask(honest);
    await clock.advance(1000);
  }
  assert.equal(slow.destroyed || honest.destroyed, false);
  slow.write(Buffer.from([1]));
  await ask(honest);
  await clock.advance(1001);
  await closed[0];
  await ask(honest);
  await ask(waiting);
  assert.equal(honest.destroyed || waiting.destroyed, false);
});
