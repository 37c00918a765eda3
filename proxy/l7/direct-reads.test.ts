/** Accepted connections that read into memory of ours, through real sockets. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, type Server, type Socket, connect, createServer } from "node:net";
import { PassThrough } from "node:stream";
import test, { type TestContext } from "node:test";
import { readInto } from "./direct-reads.ts";

interface Pair {
  readonly server: Server;
  readonly client: Socket;
  readonly accepted: Socket;
}

async function pair(t: TestContext): Promise<Pair> {
  const server = createServer({ allowHalfOpen: true }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const client = connect({ port: (server.address() as AddressInfo).port, host: "127.0.0.1", allowHalfOpen: true });
  const [accepted] = (await once(server, "connection")) as [Socket];
  t.after(() => {
    client.destroy();
    accepted.destroy();
    server.close();
  });
  return { server, client, accepted };
}

interface Direct {
  readonly socket: Socket;
  /** What was read so far. */
  readonly texts: string[];
  /** Resolves when another text was read. */
  readonly read: () => Promise<void>;
}

function direct(accepted: Socket): Direct {
  const memory = Buffer.alloc(16);
  const texts: string[] = [];
  let wake = (): void => undefined;
  const callback = (bytes: number): boolean => {
    texts.push(memory.toString("latin1", 0, bytes));
    wake();
    return true;
  };
  const socket = readInto(accepted, { buffer: () => memory, callback });
  // As an HTTP/1 connection has it: what comes otherwise, and the end.
  socket.on("data", (chunk: Buffer) => void texts.push(`data ${chunk.toString()}`));
  return { socket, texts, read: () => new Promise((resolve) => (wake = resolve)) };
}

test("readInto() reads into the memory that it is given, and writes as ever", async (t) => {
  const { client, accepted } = await pair(t);
  const { socket, texts, read } = direct(accepted);
  assert.notEqual(socket, accepted);
  const first = read();
  socket.resume();
  client.write("hello");
  await first;
  socket.write("you");
  const [answer] = (await once(client, "data")) as [Buffer];
  assert.equal(answer.toString(), "you");
  client.write("more than sixteen bytes");
  while (texts.join("").length < 28) await read();
  assert.equal(texts.join(""), "hellomore than sixteen bytes");
  assert.equal(socket.remotePort, client.localPort);
});

test("a paused one reads nothing, and goes on where it was", async (t) => {
  const { client, accepted } = await pair(t);
  const { socket, texts, read } = direct(accepted);
  assert.equal(socket.isPaused(), true);
  await new Promise<void>((resolve) => client.write("early", () => resolve()));
  for (let turns = 0; turns < 20; turns++) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(texts, []);
  const first = read();
  socket.resume();
  await first;
  socket.pause();
  await new Promise<void>((resolve) => client.write("late", () => resolve()));
  for (let turns = 0; turns < 20; turns++) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(texts, ["early"]);
  const second = read();
  socket.resume();
  await second;
  assert.deepEqual(texts, ["early", "late"]);
});

test("either side may end first, and the accepted socket closes with it", async (t) => {
  const { client, accepted } = await pair(t);
  const { socket } = direct(accepted);
  socket.resume();
  const ended = once(socket, "end");
  client.end();
  await ended;
  const closed = Promise.all([once(socket, "close"), once(accepted, "close")]);
  const text = once(client, "data");
  client.once("end", () => client.destroy());
  socket.end("bye");
  assert.equal(String((await text)[0]), "bye");
  await closed;
  assert.equal(accepted.destroyed, true);
});

test("its server counts it until it is closed", async (t) => {
  const { server, client, accepted } = await pair(t);
  const { socket } = direct(accepted);
  const count = (): Promise<number> =>
    new Promise((resolve, reject) => server.getConnections((error, open) => (error ? reject(error) : resolve(open))));
  assert.equal(await count(), 1);
  let isClosed = false;
  const down = new Promise<void>((resolve) =>
    server.close(() => {
      isClosed = true;
      resolve();
    }),
  );
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(isClosed, false);
  socket.destroy();
  await down;
  assert.equal(await count(), 0);
  client.destroy();
});

test("a reset is an error and a close of both", async (t) => {
  const { client, accepted } = await pair(t);
  const { socket } = direct(accepted);
  socket.resume();
  const failed = once(socket, "error");
  const closed = once(accepted, "close");
  client.resetAndDestroy();
  const [error] = (await failed) as [NodeJS.ErrnoException];
  assert.equal(error.code, "ECONNRESET");
  await closed;
});

test("what is read already, has ended or is no connection of a server comes back as it is", async (t) => {
  const onread = { buffer: Buffer.alloc(16), callback: () => true };
  const { client, accepted } = await pair(t);
  assert.equal(readInto(client, onread), client);
  const readable = once(accepted, "readable");
  client.write("held");
  await readable;
  assert.equal(readInto(accepted, onread), accepted);
  assert.equal(String(accepted.read()), "held");
  accepted.destroy();
  assert.equal(readInto(accepted, onread), accepted);
  const stream = new PassThrough() as unknown as Socket;
  assert.equal(readInto(stream, onread), stream);
});
