/**
 * The two readers of the differential test: the engine in front of an upstream that records bytes, and node:http.
 *
 *   bytes ─▶ Engine.send() ─▶ status, and the bytes that reached the upstream
 *   bytes ─▶ readByLLHTTP() ─▶ the requests that llhttp reads in them, or its error
 */
import { type IncomingMessage, type ServerResponse, createServer as createHTTPServer } from "node:http";
import { type Socket, connect } from "node:net";
import { Duplex } from "node:stream";
import { type Rig, type Upstream, routesTo, startRig, startUpstream, staticCluster } from "../../proxy/l7/fixture.ts";
import { readForwarded } from "./reading.ts";

/** One request as llhttp reads it. */
export interface ReadRequest {
  readonly method: string;
  readonly url: string;
  readonly body: string;
}

export interface LLHTTPReading {
  readonly requests: readonly ReadRequest[];
  /** Its code when the bytes were refused. */
  readonly error: string | undefined;
}

/** Bytes in, nothing out: what node:http takes for a connection. */
export class OneWay extends Duplex {
  override _read(): void {
    // Nothing to read until it is pushed.
  }

  override _write(_chunk: Buffer, _encoding: string, done: () => void): void {
    done();
  }
}

/** All that llhttp reads in `bytes`, as one connection that then ends. */
export async function readByLLHTTP(bytes: string): Promise<LLHTTPReading> {
  const requests: ReadRequest[] = [];
  let error: string | undefined;
  const socket = new OneWay();
  const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    let body = "";
    request.on("data", (chunk: Buffer) => (body += chunk.toString("latin1")));
    request.on("end", () => {
      requests.push({ method: request.method ?? "", url: request.url ?? "", body });
      response.end();
    });
    // What is cut in its body is no request.
    request.on("error", () => undefined);
  };
  const server = createHTTPServer(onRequest);
  // What node:http answers by itself is a request no less.
  server.on("checkExpectation", onRequest);
  // Every header counts: what is not shown could frame the message.
  server.maxHeadersCount = 0;
  const closed = new Promise<void>((resolve) => {
    server.on("clientError", (failure: NodeJS.ErrnoException) => {
      error ??= failure.code ?? failure.message;
      resolve();
    });
    socket.on("close", resolve);
    socket.on("finish", resolve);
  });
  // A tunnel or an upgrade that nobody takes ends the reading.
  server.on("connect", (_request, duplex) => duplex.destroy());
  server.emit("connection", socket);
  socket.push(Buffer.from(bytes, "latin1"));
  socket.push(null);
  await closed;
  await new Promise<void>((resolve) => setImmediate(resolve));
  socket.destroy();
  return { requests, error };
}

export interface Engine extends AsyncDisposable {
  readonly rig: Rig;
  /** Status of the first answer (0: none), and all that reached the upstream for it. */
  send(bytes: string): Promise<{ status: number; upstream: string }>;
}

/** The engine with HTTP/1 on both sides; each connection of a downstream gets an upstream connection of its own. */
export async function startEngine(): Promise<Engine> {
  const upstream: Upstream = await startUpstream((socket: Socket) => {
    socket.on("end", () => socket.end());
    // Answers whatever comes, so that nothing waits; the connection is not used again.
    socket.once("data", () => {
      setImmediate(() => socket.end("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"));
    });
  });
  const clusters = [staticCluster("up", [upstream.port])];
  const rig = await startRig({ routes: routesTo("up"), clusters });
  return {
    rig,
    async send(bytes) {
      const from = upstream.received.length;
      const answer = await sendAndEnd(rig.port, bytes);
      const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 0);
      return { status, upstream: upstream.received.slice(from).join("") };
    },
    async [Symbol.asyncDispose]() {
      await rig[Symbol.asyncDispose]();
      await upstream[Symbol.asyncDispose]();
    },
  };
}

/** Sends the bytes, and ends when all that they ask for is answered: who ends before is gone. Resolves with the answer. */
async function sendAndEnd(port: number, bytes: string): Promise<string> {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  const asked = readForwarded(bytes).length;
  let text = "";
  socket.on("data", (chunk: Buffer) => {
    text += chunk.toString("latin1");
    if ((text.match(/^HTTP\/1\.1 [2-5]/gm)?.length ?? 0) >= asked) socket.end();
  });
  // A reset ends the answer, as an end does.
  socket.on("error", () => socket.destroy());
  socket.write(Buffer.from(bytes, "latin1"));
  if (asked === 0) socket.end();
  await new Promise<void>((resolve) => socket.once("close", () => resolve()).once("end", () => resolve()));
  socket.destroy();
  return text;
}
