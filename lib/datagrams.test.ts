/** Batches of datagrams against sockets of node:dgram on loopback. */
import assert from "node:assert/strict";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { closeSync } from "node:fs";
import test from "node:test";
import { bindDatagrams, describeSocket } from "./datagram-socket.ts";
import { DatagramBatch, tryBatch } from "./datagrams.ts";

const loopback4 = new Uint8Array([127, 0, 0, 1]);
const loopback6 = Uint8Array.from({ length: 16 }, (_, at) => (at === 15 ? 1 : 0));
const wildcard6 = new Uint8Array(16);

async function peer(t: test.TestContext, address = "127.0.0.1"): Promise<Socket> {
  const socket = createSocket(address.includes(":") ? "udp6" : "udp4");
  t.after(() => socket.close());
  socket.bind(0, address);
  await once(socket, "listening");
  return socket;
}

/** The batch of a bound socket, and its port. */
function bound(t: test.TestContext, address: Uint8Array, slotBytes?: number): [DatagramBatch, number] {
  const fd = bindDatagrams(address, 0);
  t.after(() => closeSync(fd));
  const batch = new DatagramBatch(fd, { slots: 4, ...(slotBytes === undefined ? {} : { slotBytes }) });
  return [batch, describeSocket(fd).port];
}

function sendAll(socket: Socket, texts: readonly string[], port: number, address: string): Promise<unknown> {
  return Promise.all(
    texts.map((text) => new Promise((resolve) => socket.send(text, port, address, () => resolve(undefined)))),
  );
}

for (const [name, address, target] of [
  ["IPv4", loopback4, "127.0.0.1"],
  ["IPv6", loopback6, "::1"],
  ["IPv4 on a socket of both", wildcard6, "127.0.0.1"],
] as const) {
  test(`receive() takes what is there and flush() answers each to its sender, over ${name}`, async (t) => {
    const [batch, port] = bound(t, address);
    assert.equal(batch.receive(), 0);
    const [one, two] = [await peer(t, target), await peer(t, target)];
    await sendAll(one, ["a", "bb", "ccc"], port, target);
    await sendAll(two, ["dddd", "e"], port, target);
    const found: string[] = [];
    const answers: string[] = [];
    one.on("message", (bytes) => answers.push(`one ${String(bytes)}`));
    two.on("message", (bytes) => answers.push(`two ${String(bytes)}`));
    for (const count of [4, 1]) {
      assert.equal(batch.receive(), count);
      for (let slot = 0; slot < count; slot++) {
        const start = slot * batch.stride;
        const text = batch.bytes.toString("latin1", start, start + batch.lengthOf(slot));
        const sender = batch.portOf(slot) === one.address().port ? "one" : "two";
        found.push(`${sender} ${text}`);
        // One is not answered: the next takes its place in the call, not in memory.
        if (text !== "bb") batch.reply(slot, batch.bytes.write(text.toUpperCase(), start, "latin1"));
      }
      assert.equal(batch.flush(), 0);
    }
    assert.deepEqual(found, ["one a", "one bb", "one ccc", "two dddd", "two e"]);
    while (answers.length < 4) await Promise.race([once(one, "message"), once(two, "message")]);
    assert.deepEqual(answers.sort(), ["one A", "one CCC", "two DDDD", "two E"]);
  });
}

test("receive() says what was cut, and what was not", async (t) => {
  const [batch, port] = bound(t, loopback4, 8);
  await sendAll(await peer(t), ["12345678", "123456789"], port, "127.0.0.1");
  assert.equal(batch.receive(), 2);
  assert.deepEqual([batch.isCut(0), batch.isCut(1)], [false, true]);
  assert.equal(batch.lengthOf(1), 8);
});

test("send() reaches the sender of a slot that holds another by then", async (t) => {
  const [batch, port] = bound(t, loopback4);
  const [one, two] = [await peer(t), await peer(t)];
  await sendAll(one, ["first"], port, "127.0.0.1");
  assert.equal(batch.receive(), 1);
  const path = batch.pathOf(0);
  await sendAll(two, ["second"], port, "127.0.0.1");
  assert.equal(batch.receive(), 1);
  const arrived = once(one, "message");
  assert.equal(batch.send(Buffer.from("late"), path), true);
  assert.equal(String(((await arrived) as [Buffer])[0]), "late");
});

test("flush() counts what the kernel refuses and sends the rest", async (t) => {
  const [batch, port] = bound(t, loopback4);
  const to = await peer(t);
  const arrived = once(to, "message");
  await sendAll(to, ["nobody", "somebody"], port, "127.0.0.1");
  assert.equal(batch.receive(), 2);
  const path = batch.pathOf(0);
  // More than a datagram can hold (EMSGSIZE).
  batch.reply(0, 70_000);
  batch.reply(1, 8);
  assert.equal(batch.flush(), 1);
  assert.equal(String(((await arrived) as [Buffer])[0]), "somebody");
  // Port 0 is no destination (EINVAL).
  path.writeUInt16BE(0, 2);
  assert.equal(batch.send(Buffer.from("nobody"), path), false);
  assert.equal(batch.flush(), 0);
});

test("bindDatagrams() names why it cannot, and tryBatch() makes none of what is no socket", async (t) => {
  const [, port] = bound(t, loopback4);
  assert.throws(() => bindDatagrams(loopback4, port), { code: "EADDRINUSE" });
  assert.equal(tryBatch(0), undefined);
});
