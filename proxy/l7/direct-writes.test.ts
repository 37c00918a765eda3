/** Writes past the stream arrive in order with those through it, over TCP and TLS, and what fails is told once. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type Server, type Socket, connect, createServer } from "node:net";
import { after, before, describe, it } from "node:test";
import { connect as connectTLS, createServer as createTLSServer } from "node:tls";
import fc from "fast-check";
import { DirectWrites } from "./direct-writes.ts";
import { eventually, listenOn } from "./fixture.ts";
import { GatheredWriter } from "./gathered-writer.ts";
import { createAuthority } from "./tls/fixture.ts";

const never = (): boolean => false;

/** A server of either kind, and a socket of it with its peer. */
class Pairs implements AsyncDisposable {
  readonly #server: Server;
  readonly #port: number;
  readonly #ca: string | undefined;
  readonly #open = new Set<Socket>();

  private constructor(server: Server, port: number, ca: string | undefined) {
    this.#server = server;
    this.#port = port;
    this.#ca = ca;
  }

  static async start(isTLS: boolean): Promise<Pairs> {
    if (!isTLS) {
      const server = createServer({ allowHalfOpen: true });
      return new Pairs(server, await listenOn(server), undefined);
    }
    const authority = await createAuthority();
    const server = createTLSServer({ ...(await authority.issue("localhost")), allowHalfOpen: true });
    return new Pairs(server, await listenOn(server), authority.cert);
  }

  async open(): Promise<{ socket: Socket; peer: Socket }> {
    const accepted = once(this.#server, this.#ca === undefined ? "connection" : "secureConnection");
    const at = { host: "127.0.0.1", port: this.#port, allowHalfOpen: true };
    const peer = this.#ca === undefined ? connect(at) : connectTLS({ ...at, ca: this.#ca, servername: "localhost" });
    const [socket] = (await accepted) as [Socket];
    for (const one of [socket, peer]) this.#open.add(one.on("error", () => undefined));
    return { socket, peer };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#open) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }
}

async function allOf(peer: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of peer) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** Of a peer that stops now and then, the more often the higher `pauses` is. */
async function slowly(peer: Socket, pauses: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of peer) {
    chunks.push(chunk as Buffer);
    for (let pause = 0; pause < pauses; pause++) await new Promise((resolve) => setImmediate(resolve));
  }
  return Buffer.concat(chunks);
}

const reused = Buffer.alloc(4096);

for (const isTLS of [false, true])
  describe(`DirectWrites over ${isTLS ? "TLS" : "TCP"}`, () => {
    let pairs: Pairs;
    before(async () => void (pairs = await Pairs.start(isTLS)));
    after(() => pairs[Symbol.asyncDispose]());

    it("hand over what writers gather, to peers that read at their own pace", async () => {
      const step = fc.record({
        who: fc.integer({ min: 0, max: 3 }),
        how: fc.constantFrom("text" as const, "bytes" as const, "turn" as const),
        size: fc.oneof(fc.integer({ min: 1, max: 400 }), fc.integer({ min: 1, max: 6000 })),
      });
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 200 }), async (steps) => {
          const opened: { socket: Socket; peer: Socket }[] = [];
          while (opened.length < 4) opened.push(await pairs.open());
          const writers = opened.map(({ socket, peer }, at) => ({
            out: new GatheredWriter(socket),
            socket,
            received: slowly(peer, at),
            wanted: [] as Buffer[],
          }));
          for (const [at, { who, how, size }] of steps.entries()) {
            const { out, wanted } = writers[who]!;
            if (how === "turn") {
              await new Promise((resolve) => setImmediate(resolve));
              continue;
            }
            const piece = Buffer.alloc(size, at + 1);
            wanted.push(piece);
            // Given again and again, as the memory of reads is.
            if (how === "text") out.text(piece.toString("latin1"));
            else out.bytes(size <= reused.length ? reused.subarray(0, piece.copy(reused)) : piece);
          }
          for (const { out, socket } of writers) {
            out.flush();
            socket.end();
          }
          for (const { received, wanted } of writers) assert.ok((await received).equals(Buffer.concat(wanted)));
          for (const { peer } of opened) peer.end();
        }),
        { numRuns: 15, seed: 6 },
      );
    });

    it("write in order with the stream, which ends behind them", async () => {
      const step = fc.record({
        how: fc.constantFrom("text" as const, "bytes" as const, "stream" as const, "corked" as const, "turn" as const),
        size: fc.oneof(fc.integer({ min: 1, max: 100 }), fc.integer({ min: 1, max: 40_000 })),
      });
      let direct = 0;
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
          const { socket, peer } = await pairs.open();
          const received = allOf(peer);
          const writes = new DirectWrites(socket, never);
          const wanted: Buffer[] = [];
          for (const [at, { how, size }] of steps.entries()) {
            if (how === "turn") {
              await new Promise((resolve) => setImmediate(resolve));
              continue;
            }
            const piece = Buffer.alloc(size, at + 1);
            wanted.push(piece);
            if (how === "corked") {
              socket.cork();
              socket.write(piece.subarray(0, size >> 1));
              socket.write(piece.subarray(size >> 1));
              socket.uncork();
            } else if (how === "stream") socket.write(piece);
            else {
              const isWritten = writes.write(how === "text" ? piece.toString("latin1") : Buffer.from(piece));
              if (isWritten) direct++;
              else socket.write(piece);
            }
          }
          socket.end();
          assert.ok((await received).equals(Buffer.concat(wanted)));
          peer.end();
        }),
        { numRuns: 60, seed: 8 },
      );
      assert.ok(direct > 30, `${direct} went past the stream`);
    });

    it("wait for a peer that does not read, and keep what they were given", async () => {
      const { socket, peer } = await pairs.open();
      peer.pause();
      const writes = new DirectWrites(socket, never);
      const large = Buffer.alloc(64 * 1024 * 1024, "x");
      assert.equal(writes.write(large), true);
      assert.equal(writes.isBusy, true);
      assert.equal(writes.write("y"), false);
      socket.write("behind it");
      socket.end();
      const received = await allOf(peer.resume());
      assert.equal(received.length, large.length + "behind it".length);
      assert.ok(received.subarray(0, large.length).equals(large));
      assert.equal(received.subarray(large.length).toString(), "behind it");
    });

    it("may begin another one while one is told to be done", async () => {
      for (let turn = 0; turn < 8; turn++) {
        const { socket, peer } = await pairs.open();
        const received = allOf(peer);
        const writes = new DirectWrites(socket, never);
        // More than the system takes at once, each time.
        const [first, second] = [Buffer.alloc(8 * 1024 * 1024, "a"), Buffer.alloc(16 * 1024 * 1024, "b")];
        writes.write(first);
        socket.write(Buffer.alloc(70_000, "-"));
        socket.once("drain", () =>
          process.nextTick(() => {
            if (!writes.write(second)) socket.write(second);
            socket.end();
          }),
        );
        const all = await received;
        assert.equal(all.length, first.length + 70_000 + second.length);
        assert.ok(all.subarray(-second.length).equals(second));
        peer.end();
      }
    });

    it("tell an error of the socket once, where it is not passed over", async () => {
      for (const isPassed of [false, true]) {
        const { socket, peer } = await pairs.open();
        // What is read would tell, too.
        socket.pause();
        const errors: unknown[] = [];
        socket.on("error", ({ code }: NodeJS.ErrnoException) => void errors.push(code));
        const passed: unknown[] = [];
        const writes = new DirectWrites(socket, (error) => {
          passed.push((error as NodeJS.ErrnoException).code);
          return isPassed;
        });
        // With bytes unread the system resets it.
        socket.write("unread");
        await once(peer, "readable");
        peer.destroy();
        await eventually(() => {
          if (passed.length === 0) writes.write("x");
          return passed.length > 0;
        }, "an error");
        assert.match(String(passed[0]), /^(?:EPIPE|ECONNRESET)$/);
        await eventually(() => isPassed || errors.length > 0, "the error of the socket");
        assert.equal(writes.write("x"), false);
        assert.equal(passed.length, 1);
        assert.deepEqual(errors, isPassed ? [] : passed);
        socket.destroy();
      }
    });

    it("end with a socket that is destroyed while they are under way", async () => {
      const { socket } = await pairs.open();
      const writes = new DirectWrites(socket, never);
      writes.write(Buffer.alloc(60_000));
      socket.write("x");
      socket.destroy();
      await once(socket, "close");
      assert.equal(writes.write("x"), false);
    });
  });
