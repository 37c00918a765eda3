/** Writes past the stream arrive in order with those through it, over TCP and TLS, and what fails is told once. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type Server, type Socket, connect, createServer } from "node:net";
import { after, before, describe, it } from "node:test";
import { connect as connectTLS, createServer as createTLSServer } from "node:tls";
import fc from "fast-check";
import { DirectWrites } from "./direct-writes.ts";
import { listenOn } from "./fixture.ts";
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

for (const isTLS of [false, true])
  describe(`DirectWrites over ${isTLS ? "TLS" : "TCP"}`, () => {
    let pairs: Pairs;
    before(async () => void (pairs = await Pairs.start(isTLS)));
    after(() => pairs[Symbol.asyncDispose]());

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
      let sent = 0;
      // Until the system takes no more.
      for (; sent < 2000; sent++) {
        if (!writes.write(Buffer.alloc(16_384, sent % 251))) break;
        await new Promise((resolve) => setImmediate(resolve));
        if (writes.isBusy) await new Promise((resolve) => setTimeout(resolve, 20));
      }
      assert.ok(writes.isBusy && sent < 2000, `${sent} were taken`);
      assert.equal(writes.write("x"), false);
      socket.write("behind it");
      socket.end();
      const received = await allOf(peer.resume());
      assert.equal(received.length, sent * 16_384 + "behind it".length);
      for (let at = 0; at < sent; at++) assert.equal(received[at * 16_384 + 16_383], at % 251);
    });

    it("are at most one error of a socket whose peer has gone, and its end", async () => {
      const { socket, peer } = await pairs.open();
      const errors: Error[] = [];
      const isClosed = new Promise<void>((resolve) => void socket.once("close", () => resolve()));
      socket.on("error", (error) => void errors.push(error));
      const writes = new DirectWrites(socket, never);
      peer.destroy();
      for (let turn = 0; turn < 100 && !socket.destroyed; turn++) {
        // What the call itself refuses the stream meets.
        if (!writes.write("x")) socket.write("x");
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
      await isClosed;
      assert.ok(errors.length <= 1, String(errors));
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
