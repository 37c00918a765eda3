/** Answers that an upstream gives before it has the whole request, end to end on loopback, many times each. */
import assert from "node:assert/strict";
import { type Socket, connect } from "node:net";
import { test } from "node:test";
import tls from "node:tls";
import type { Cluster as ClusterResource } from "#api/xds/envoy.ts";
import { listenOn, routesTo, startRig, startUpstream, staticCluster } from "./fixture.ts";
import { createAuthority } from "./tls/fixture.ts";

const tries = 150;
const answer = "HTTP/1.1 413 Payload Too Large\r\nContent-Length: 9\r\nConnection: close\r\n\r\ntoo large";
const uploadBytes = 4 * 1024 * 1024;
/** Long ones go through the socket's stream, short ones past it. */
const sliceSizes = [16 * 1024, 2 * 1024];

/** How an upstream that has answered goes, while there is more of the request that it has not read. */
const ends: Readonly<Record<string, (socket: Socket) => void>> = {
  "destroys its socket": (socket) => socket.write(answer, () => socket.destroy()),
  "ends its side, then destroys its socket": (socket) => socket.end(answer, () => socket.destroy()),
};

/** Uploads to the proxy until it has answered; its status line and what came behind it. */
async function upload(port: number, framing: string, sliceBytes: number): Promise<string> {
  const slice = Buffer.alloc(sliceBytes, "x");
  const socket = connect({ port, host: "127.0.0.1" });
  socket.on("error", () => socket.destroy());
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  const over = new Promise<void>((resolve) => void socket.on("end", resolve).on("close", () => resolve()));
  socket.write(`POST / HTTP/1.1\r\nHost: a\r\n${framing}\r\n\r\n`);
  const chunkLine = framing.startsWith("Content-Length") ? "" : `${slice.length.toString(16)}\r\n`;
  for (let sent = 0; sent < uploadBytes && chunks.length === 0 && !socket.destroyed; sent += sliceBytes) {
    socket.write(chunkLine);
    socket.write(slice);
    if (chunkLine !== "") socket.write("\r\n");
    await new Promise((resolve) => setImmediate(resolve));
  }
  await over;
  socket.destroy();
  const text = Buffer.concat(chunks).toString("latin1");
  return `${text.slice(0, text.indexOf("\r\n"))} … ${text.slice(text.indexOf("\r\n\r\n") + 4)}`;
}

const first = `Content-Length: ${uploadBytes}`;

/** What the proxy made of an upload, and how often. */
async function answersOf(port: number, framing: string): Promise<Readonly<Record<string, number>>> {
  const answers: Record<string, number> = {};
  for (let index = 0; index < tries; index++) {
    const text = await upload(port, framing, sliceSizes[index % sliceSizes.length]!);
    answers[text] = (answers[text] ?? 0) + 1;
  }
  return answers;
}

const delivered = { "HTTP/1.1 413 Payload Too Large … too large": tries };

for (const [how, end] of Object.entries(ends))
  for (const framing of [first, "Transfer-Encoding: chunked"])
    test(`UpstreamConnection delivers an answer of an upstream that ${how} in the request (${framing})`, async () => {
      await using upstream = await startUpstream((socket) => {
        socket.once("data", () => {
          socket.pause();
          end(socket);
        });
      });
      await using rig = await startRig({ routes: routesTo("up"), clusters: [staticCluster("up", [upstream.port])] });
      assert.deepEqual(await answersOf(rig.port, framing), delivered);
    });

test("UpstreamConnection delivers an answer of an upstream that leaves in the request over TLS", async () => {
  const server = tls.createServer(await (await createAuthority()).issue("up"), (socket) => {
    socket.on("error", () => socket.destroy());
    socket.once("data", () => socket.write(answer, () => socket.destroy()));
  });
  const port = await listenOn(server);
  const name = "envoy.transport_sockets.tls";
  const typed_config = { "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext" };
  const cluster = { ...staticCluster("up", [port]), transport_socket: { name, typed_config } } as ClusterResource;
  try {
    await using rig = await startRig({ routes: routesTo("up"), clusters: [cluster] });
    assert.deepEqual(await answersOf(rig.port, first), delivered);
  } finally {
    server.close();
  }
});

test("UpstreamConnection does not take a body for whole whose end is that of a connection that was cut", async () => {
  const untilClose = answer.replace("Content-Length: 9\r\n", "");
  await using upstream = await startUpstream((socket) => {
    socket.once("data", () => socket.pause().write(untilClose, () => socket.destroy()));
  });
  await using rig = await startRig({ routes: routesTo("up"), clusters: [staticCluster("up", [upstream.port])] });
  // What has come of it is passed on, and the downstream is reset: a whole one would end in an empty chunk.
  assert.doesNotMatch(await upload(rig.port, first, sliceSizes[0]!), /\r\n0\r\n\r\n$/);
  assert.deepEqual([rig.records[0]!.status, rig.records[0]!.flag], [413, "UC"]);
});
