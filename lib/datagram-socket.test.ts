/** Descriptors of UDP sockets, watched by the event loop. */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { closeSync } from "node:fs";
import test from "node:test";
import koffi from "koffi";
import { AF_INET, AF_INET6, bindDatagrams, describeSocket, whenReadable } from "./datagram-socket.ts";
import { DatagramBatch } from "./datagrams.ts";
import { encodeAddress } from "./socket-address.ts";

const libc = koffi.load(null);
const connect = libc.func("int connect(int fd, const uint8_t *name, uint32_t nameBytes)");
const write = libc.func("long write(int fd, const uint8_t *bytes, size_t length)");
const loopback = new Uint8Array([127, 0, 0, 9]);

test("describeSocket() tells sockets of all addresses from those of one", (t) => {
  const rows = [
    [loopback, AF_INET, false],
    [new Uint8Array(4), AF_INET, true],
    [new Uint8Array(16), AF_INET6, true],
    [Uint8Array.from({ length: 16 }, (_, at) => (at === 15 ? 1 : 0)), AF_INET6, false],
  ] as const;
  for (const [address, family, isWildcard] of rows) {
    const fd = bindDatagrams(address, 0);
    t.after(() => closeSync(fd));
    const { port, ...rest } = describeSocket(fd);
    assert.deepEqual(rest, { family, isWildcard });
    assert.ok(port > 0);
  }
  assert.throws(() => describeSocket(0), { code: "Unsupported" });
});

test("whenReadable() tells once a turn while there is something, runs promises, and ends", async (t) => {
  const fd = bindDatagrams(loopback, 0);
  const batch = new DatagramBatch(fd, { slots: 1 });
  const sender = createSocket("udp4");
  t.after(() => sender.close());
  const { port } = describeSocket(fd);
  const told: string[] = [];
  let tell = (): void => undefined;
  const unwatch = whenReadable(fd, () => {
    if (batch.receive() === 0) return;
    const text = batch.bytes.toString("latin1", 0, batch.lengthOf(0));
    void Promise.resolve().then(() => {
      told.push(text);
      tell();
    });
  });
  const whole = new Promise<void>((resolve) => (tell = () => told.length === 3 && resolve()));
  for (const text of ["a", "b", "c"]) sender.send(text, port, "127.0.0.9");
  await whole;
  assert.deepEqual(told, ["a", "b", "c"]);
  unwatch();
  await new Promise((resolve) => sender.send("d", port, "127.0.0.9", resolve));
  await new Promise((resolve) => setImmediate(resolve));
  closeSync(fd);
  assert.equal(told.length, 3);
});

test("whenReadable() goes on after an error of the socket", async (t) => {
  const peer = createSocket("udp4");
  peer.bind(0, "127.0.0.8");
  await once(peer, "listening");
  const { port: peerPort } = peer.address();
  peer.close();
  await once(peer, "close");
  const fd = bindDatagrams(loopback, 0);
  const name = encodeAddress({ address: "127.0.0.8", port: peerPort });
  assert.equal(connect(fd, name, name.length), 0);
  let turns = 0;
  let resolve = (): void => undefined;
  const unwatch = whenReadable(fd, () => {
    turns++;
    resolve();
  });
  t.after(() => {
    unwatch();
    closeSync(fd);
  });
  const next = (): Promise<void> => new Promise((done) => (resolve = done));
  // Nobody listens there: an ICMP message makes it an error of the socket (ECONNREFUSED).
  const failed = next();
  assert.equal(write(fd, new Uint8Array([1]), 1), 1);
  await failed;
  await new Promise((done) => setImmediate(done));
  assert.ok(turns < 5, `${turns} turns for one error`);
  const again = createSocket("udp4");
  t.after(() => again.close());
  again.bind(peerPort, "127.0.0.8");
  await once(again, "listening");
  const readable = next();
  again.send("here", describeSocket(fd).port, "127.0.0.9");
  await readable;
});
