/** A socket that hears of what did not arrive, against sockets of node:dgram on loopback. */
import assert from "node:assert/strict";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import test from "node:test";
import { DatagramPort } from "./datagram-port.ts";
import { bindDatagrams } from "./datagram-socket.ts";

function open(t: test.TestContext): DatagramPort {
  const port = new DatagramPort(bindDatagrams(new Uint8Array(4), 0));
  t.after(() => port.close());
  return port;
}

async function peer(): Promise<Socket> {
  const socket = createSocket("udp4");
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  return socket;
}

/** A port where nobody listens. */
async function deadPort(): Promise<number> {
  const socket = await peer();
  const { port } = socket.address();
  socket.close();
  await once(socket, "close");
  return port;
}

const send = (port: DatagramPort, text: string, to: number): void =>
  port.send(Buffer.from(text), to, "127.0.0.1", (error) => assert.equal(error, null));

test("DatagramPort sends, and hears from whom what comes is", async (t) => {
  const port = open(t);
  const peers = await Promise.all([peer(), peer()]);
  for (const each of peers) {
    t.after(() => each.close());
    each.on("message", (bytes, from) => each.send(`echo ${String(bytes)}`, from.port, "127.0.0.1"));
  }
  const found = new Set<string>();
  port.on("message", (bytes, from) => found.add(`${from.address} ${from.port} ${String(bytes)}`));
  const wanted = new Set<string>();
  for (let at = 0; at < 40; at++) {
    const to = peers[at % 2]?.address().port ?? 0;
    send(port, `n${at}`, to);
    wanted.add(`127.0.0.1 ${to} echo n${at}`);
  }
  while (found.size < 40) await once(port, "message", { signal: AbortSignal.timeout(5000) });
  assert.deepEqual(found, wanted);
});

test("DatagramPort tells what nobody took, by its bytes, and everything else goes on", async (t) => {
  const port = open(t);
  const [dead, other, there] = [await deadPort(), await deadPort(), await peer()];
  t.after(() => there.close());
  there.on("message", (bytes, from) => there.send(bytes, from.port, "127.0.0.1"));
  const found = new Set<string>();
  port.on("undelivered", (address, to, bytes) => found.add(`lost ${address} ${to} ${String(bytes)}`));
  port.on("message", (bytes) => found.add(String(bytes)));
  const wanted = new Set<string>();
  // Reports come between the sends of one turn, too: those must not take them for their own.
  for (let at = 0; at < 30; at++) {
    const to = [dead, other, there.address().port][at % 3] ?? 0;
    send(port, `n${at}`, to);
    wanted.add(at % 3 === 2 ? `n${at}` : `lost 127.0.0.1 ${to} n${at}`);
  }
  const startMs = performance.now();
  while (found.size < 30 && performance.now() - startMs < 5000) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(found, wanted);
});

test("DatagramPort is silent once it is closed", async () => {
  const port = new DatagramPort(bindDatagrams(new Uint8Array(4), 0));
  port.on("undelivered", () => assert.fail("told after close"));
  send(port, "nobody", await deadPort());
  port.close();
  port.close();
  port.send(Buffer.from("late"), 9, "127.0.0.1", (error) => assert.match(error?.message ?? "", /^Cannot send 4 bytes/));
  await new Promise((resolve) => setImmediate(resolve));
});
