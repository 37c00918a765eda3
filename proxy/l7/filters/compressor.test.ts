/** The compressor through the whole engine: bodies come out as they were, step by step, and are held back together. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { type Socket, connect } from "node:net";
import { describe, it } from "node:test";
import { brotliDecompressSync, createGunzip, gunzipSync, zstdDecompressSync } from "node:zlib";
import fc from "fast-check";
import { realClock } from "#lib/clock.ts";
import { RawClient, type Rig, type Upstream, eventually, raw, startUpstream } from "../fixture.ts";
import { filterType, startFilterRig } from "./fixture.ts";

const libraries = {
  gzip: { type: "Gzip", decompress: gunzipSync },
  brotli: { type: "Brotli", decompress: brotliDecompressSync },
  zstd: { type: "Zstd", decompress: zstdDecompressSync },
} as const;
type LibraryName = keyof typeof libraries;

const configOf = (library: LibraryName): object => ({
  "@type": filterType("compressor.v3.Compressor"),
  compressor_library: {
    name: "l",
    typed_config: {
      "@type": `type.googleapis.com/envoy.extensions.compression.${library}.compressor.v3.${libraries[library].type}`,
    },
  },
  response_direction_config: { common_config: { min_content_length: 1, content_type: ["text/plain"] } },
});
const own = { "@type": filterType("compressor.v3.CompressorPerRoute"), disabled: true };
const rigWith = (port: number, library: LibraryName = "gzip"): Promise<Rig> =>
  startFilterRig([port], { config: configOf(library), own });

const ask = (more = ""): string => `GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: *\r\n${more}\r\n`;
const head = (more: string): string => `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n${more}\r\n\r\n`;

/** An upstream that begins `answer` with the first bytes of a request. */
const startSending = (answer: (socket: Socket) => void): Promise<Upstream> =>
  startUpstream((socket) => {
    socket.setNoDelay(true);
    socket.on("end", () => socket.end());
    socket.on("data", () => answer(socket));
  });

describe("the compressor", () => {
  for (const library of ["gzip", "brotli", "zstd"] as const)
    it(`gives bodies that ${library} makes the same again, however they came`, async () => {
      let slices: readonly Uint8Array[] = [];
      let hasLength = false;
      await using upstream = await startSending((socket) => {
        const bytes = slices.reduce((sum, { length }) => sum + length, 0);
        socket.write(head(hasLength ? `Content-Length: ${bytes}` : "Transfer-Encoding: chunked"));
        for (const slice of slices) {
          if (!hasLength && slice.length > 0) socket.write(`${slice.length.toString(16)}\r\n`);
          socket.write(slice);
          if (!hasLength && slice.length > 0) socket.write("\r\n");
        }
        if (!hasLength) socket.write("0\r\n\r\n");
      });
      await using rig = await rigWith(upstream.port, library);
      const body = fc.array(fc.uint8Array({ maxLength: 5000 }), { minLength: 1, maxLength: 5 });
      await fc.assert(
        fc.asyncProperty(body, fc.boolean(), async (sent, isCounted) => {
          [slices, hasLength] = [sent, isCounted];
          const whole = Buffer.concat(sent);
          const answer = await raw(rig.port, ask("Connection: close\r\n"));
          const bytes = unchunked(answer);
          // An answer of no bytes with its length told is too short to be compressed.
          const isPlain = isCounted && whole.length === 0;
          assert.equal(/\r\nContent-Encoding: /.test(answer), !isPlain);
          assert.deepEqual(isPlain ? bytes : libraries[library].decompress(bytes), whole);
        }),
        { numRuns: 30, seed: 1 },
      );
    });

  it("tells what was sent so far, before the end", async () => {
    let socket: Socket | undefined;
    await using upstream = await startSending((one) => {
      socket = one;
      one.write(`${head("Transfer-Encoding: chunked")}5\r\nfirst\r\n`);
    });
    await using rig = await rigWith(upstream.port);
    const gunzip = createGunzip();
    const response = await fetch(`http://127.0.0.1:${rig.port}/off`, { headers: { "accept-encoding": "gzip" } });
    assert.equal(response.headers.get("content-encoding"), null);
    socket!.write("0\r\n\r\n");
    await response.text();
    const client = connect({ port: rig.port, host: "127.0.0.1" });
    client.write(ask());
    let text = "";
    client.on("data", (data: Buffer) => (text += data.toString("latin1")));
    await eventually(() => text.split("\r\n\r\n", 2)[1]?.includes("\r\n") === true, "first chunk");
    gunzip.write(unchunked(text));
    const [first] = (await once(gunzip, "data")) as [Buffer];
    assert.equal(first.toString(), "first");
    client.destroy();
    gunzip.destroy();
  });

  it("holds the upstream back while the downstream does not read, and loses nothing", async () => {
    const total = 32 * 1024 * 1024;
    const block = randomBytes(64 * 1024);
    let sent = 0;
    await using upstream = await startSending((socket) => {
      socket.write(head(`Content-Length: ${total}`));
      const more = (): void => {
        while (sent < total) {
          sent += block.length;
          if (!socket.write(block)) return void socket.once("drain", more);
        }
      };
      more();
    });
    await using rig = await rigWith(upstream.port);
    const client = connect({ port: rig.port, host: "127.0.0.1" });
    client.pause();
    client.write(ask("Connection: close\r\n"));
    let before = -1;
    while (sent !== before) {
      before = sent;
      await realClock.sleep(200);
    }
    assert.ok(sent > 0 && sent < total / 2, `${sent} bytes were taken of an upstream whose downstream reads none`);
    const chunks: Buffer[] = [];
    client.on("data", (chunk: Buffer) => chunks.push(chunk));
    client.resume();
    await once(client, "close");
    const body = gunzipSync(unchunked(Buffer.concat(chunks).toString("latin1")));
    assert.equal(body.length, total);
    for (let at = 0; at < total; at += block.length)
      assert.ok(body.subarray(at, at + block.length).equals(block), String(at));
    const { compressed, total_uncompressed_bytes: counted } = rig.counters.filters.get(
      "http.s.compressor.l.gzip.response.",
    )!;
    assert.deepEqual([compressed, counted], [1, total]);
  });

  it("does not end a body well whose upstream broke, and forgets one whose downstream left", async () => {
    let socket: Socket | undefined;
    await using upstream = await startSending((one) => {
      socket = one;
      one.write(`${head("Content-Length: 100000")}${"x".repeat(50_000)}`);
    });
    await using rig = await rigWith(upstream.port);
    const client = new RawClient(rig.port);
    client.send(ask());
    await client.until("\r\n\r\n");
    socket!.destroy();
    const text = await client.over();
    assert.ok(!text.endsWith("0\r\n\r\n"));
    const other = new RawClient(rig.port);
    other.send(ask());
    await other.until("\r\n\r\n");
    // A reset: an end alone would leave the response wanted.
    other.socket.resetAndDestroy();
    await eventually(() => rig.records.length === 2, "records of both");
    assert.deepEqual(
      rig.records.map(({ flag }) => flag),
      ["UC", "DC"],
    );
  });
});

/** The body of an answer, chunked or not. */
function unchunked(answer: string): Buffer {
  const at = answer.indexOf("\r\n\r\n") + 4;
  if (!/\r\ntransfer-encoding: chunked\r\n/i.test(answer.slice(0, at))) return Buffer.from(answer.slice(at), "latin1");
  const parts: Buffer[] = [];
  for (let from = at; ;) {
    const end = answer.indexOf("\r\n", from);
    const size = Number.parseInt(answer.slice(from, end), 16);
    if (end < 0 || !(size > 0)) return Buffer.concat(parts);
    parts.push(Buffer.from(answer.slice(end + 2, end + 2 + size), "latin1"));
    from = end + 4 + size;
  }
}
