/** Accepted connections, plain and of TLS, that read into memory of ours, through real sockets. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, type Server, type Socket, connect, createServer } from "node:net";
import { PassThrough } from "node:stream";
import test, { type TestContext } from "node:test";
import { TLSSocket, connect as connectTLS } from "node:tls";
import { readInto } from "./direct-reads.ts";
import { createAuthority } from "./tls/fixture.ts";

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
  /** What was read so far. */
  readonly texts: string[];
  /** Resolves when another text was read. */
  readonly read: () => Promise<void>;
}

function direct(socket: Socket): Direct {
  const memory = Buffer.alloc(16);
  const texts: string[] = [];
  let wake = (): void => undefined;
  const callback = (bytes: number): true => {
    texts.push(memory.toString("latin1", 0, bytes));
    wake();
    return true;
  };
  // Now and then it is told once more what it reads into.
  const next = (): Buffer | undefined => (texts.length % 2 === 0 ? memory : undefined);
  assert.equal(readInto(socket, { buffer: () => memory, callback, next }), true);
  // As an HTTP/1 connection has it: what comes otherwise, and the end.
  socket.on("data", (chunk: Buffer) => void texts.push(`data ${chunk.toString()}`));
  return { texts, read: () => new Promise((resolve) => (wake = resolve)) };
}

test("readInto() reads into the memory that it is given, and writes as ever", async (t) => {
  const { client, accepted: socket } = await pair(t);
  const { texts, read } = direct(socket);
  const first = read();
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
  const { client, accepted: socket } = await pair(t);
  const { texts, read } = direct(socket);
  socket.pause();
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

test("either side may end first", async (t) => {
  const { client, accepted: socket } = await pair(t);
  direct(socket);
  const ended = once(socket, "end");
  client.end();
  await ended;
  const closed = once(socket, "close");
  const text = once(client, "data");
  client.once("end", () => client.destroy());
  socket.end("bye");
  assert.equal(String((await text)[0]), "bye");
  await closed;
});

test("its server counts it until it is closed", async (t) => {
  const { server, client, accepted: socket } = await pair(t);
  direct(socket);
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

test("a reset is an error and a close", async (t) => {
  const { client, accepted: socket } = await pair(t);
  direct(socket);
  const failed = once(socket, "error");
  const closed = new Promise((resolve) => socket.once("close", resolve));
  client.resetAndDestroy();
  const [error] = (await failed) as [NodeJS.ErrnoException];
  assert.equal(error.code, "ECONNRESET");
  await closed;
});

test("over TLS it is the clear text that is read, also what came with the end of the handshake", async (t) => {
  const { client, accepted } = await pair(t);
  const authority = await createAuthority();
  const { cert, key } = await authority.issue("localhost");
  const secure = new TLSSocket(accepted, { isServer: true, cert, key });
  const secured = once(secure, "secure").then(() => direct(secure));
  const peer = connectTLS({ socket: client, ca: authority.cert, servername: "localhost" });
  // With the peer's last message of the handshake, in one segment.
  peer.once("secureConnect", () => peer.write("hello"));
  const { texts, read } = await secured;
  while (texts.join("") !== "hello") await read();
  secure.write("you");
  const [answer] = (await once(peer, "data")) as [Buffer];
  assert.equal(answer.toString(), "you");
  peer.write("more than sixteen bytes");
  while (texts.join("").length < 28) await read();
  assert.equal(texts.join(""), "hellomore than sixteen bytes");
  const ended = once(secure, "end");
  peer.end();
  await ended;
  secure.destroy();
});

test("who destroys it in a read is told of no more, though more came along", async (t) => {
  const { client, accepted } = await pair(t);
  const authority = await createAuthority();
  const { cert, key } = await authority.issue("localhost");
  const secure = new TLSSocket(accepted, { isServer: true, cert, key });
  const peer = connectTLS({ socket: client, ca: authority.cert, servername: "localhost" });
  await Promise.all([once(secure, "secure"), once(peer, "secureConnect")]);
  const memory = Buffer.alloc(16);
  let reads = 0;
  const callback = (): true => {
    reads++;
    secure.destroy();
    return true;
  };
  const closed = once(secure, "close");
  assert.equal(readInto(secure, { buffer: () => memory, callback, next: () => undefined }), true);
  secure.on("data", () => assert.fail("read as ever"));
  peer.on("error", () => undefined).write("several times as much as the memory holds, in one record");
  await closed;
  assert.equal(reads, 1);
  peer.destroy();
});

test("what is read already, is closed, has the option or no handle reads as ever", async (t) => {
  const memory = Buffer.alloc(16);
  const onread = { buffer: () => memory, callback: () => true as const, next: () => memory };
  const { accepted } = await pair(t);
  const readable = once(accepted, "readable");
  const client = connect({ port: accepted.localPort!, host: "127.0.0.1", onread });
  t.after(() => client.destroy());
  await once(client, "connect");
  assert.equal(readInto(client, onread), false);
  accepted.push("held");
  await readable;
  assert.equal(readInto(accepted, onread), false);
  assert.equal(String(accepted.read()), "held");
  accepted.destroy();
  assert.equal(readInto(accepted, onread), false);
  assert.equal(readInto(new PassThrough() as unknown as Socket, onread), false);
});
