/**
 * A server that speaks HTTP/2 frame by frame to the engine as its client.
 *
 *   two requests (streams 1 and 3) ─▶ engine ─▶ here: the case's bytes, then an answer to stream 3
 *
 * Only the first connection misbehaves, and only towards streams 1 and 3; whatever else comes is answered, so that a
 * request behind a case shows that others are unharmed.
 */
import { once } from "node:events";
import { type AddressInfo, type Socket, createServer } from "node:net";
import { errorCodes, fields, flags, headers, preface, readFrame, settings, settingsAck, types } from "./frames.ts";

export class FramePeer implements AsyncDisposable {
  /** Errors that the engine told on the first connection, in order; "close" behind them. */
  readonly told: string[] = [];
  connections = 0;
  readonly #send: readonly Buffer[];
  readonly #server = createServer((socket) => this.#serve(socket));
  readonly #sockets = new Set<Socket>();

  private constructor(send: readonly Buffer[]) {
    this.#send = send;
  }

  static async start(send: readonly Buffer[]): Promise<FramePeer> {
    const peer = new FramePeer(send);
    peer.#server.listen(0, "127.0.0.1");
    await once(peer.#server, "listening");
    return peer;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #serve(socket: Socket): void {
    const isFirst = ++this.connections === 1;
    this.#sockets.add(socket);
    const waiting = new Set<number>();
    let bytes: Buffer = Buffer.alloc(0);
    let hasPreface = false;
    socket.on("error", () => socket.destroy());
    socket.on("close", () => {
      this.#sockets.delete(socket);
      if (isFirst) this.told.push("close");
    });
    socket.write(settings());
    socket.on("data", (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk]);
      if (!hasPreface && bytes.length < preface.length) return;
      if (!hasPreface) bytes = bytes.subarray(preface.length);
      hasPreface = true;
      for (let frame = readFrame(bytes); frame !== undefined; frame = readFrame(bytes)) {
        bytes = bytes.subarray(9 + frame.payload.length);
        const { type, stream } = frame;
        if (type === types.settings && (frame.flags & flags.ack) === 0) socket.write(settingsAck);
        if (isFirst && type === types.goaway) this.#tell(`GOAWAY ${codeAt(frame.payload, 4)}`);
        if (isFirst && type === types.rstStream) this.#tell(`RST_STREAM ${stream} ${codeAt(frame.payload, 0)}`);
        if (type === types.headers && isFirst && stream <= 3) this.#hold(socket, waiting.add(stream));
        else if (type === types.headers) socket.write(answerTo(stream));
      }
    });
  }

  #tell(error: string): void {
    // node:http2 says goodbye without an error when it closes, too.
    if (error !== "GOAWAY NO_ERROR") this.told.push(error);
  }

  /** Both requests are here: one of them gets the case. */
  #hold(socket: Socket, waiting: ReadonlySet<number>): void {
    if (waiting.size < 2) return;
    for (const part of this.#send) socket.write(part);
    socket.write(answerTo(3));
  }
}

function codeAt(payload: Buffer, at: number): string {
  return errorCodes[payload.readUInt32BE(at)] ?? "UNKNOWN";
}

function answerTo(stream: number): Buffer {
  return headers(stream, fields([[":status", "200"]]));
}
