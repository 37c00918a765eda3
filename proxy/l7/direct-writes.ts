/**
 * Lets a socket that has nothing else to write hand what is written to its handle, as node:net does below its stream.
 *
 *   gathered-writer.ts ─▶ write(data) ─▶ the socket's handle        false: the stream has to write it
 *
 * A stream's write keeps an account of what is under way, in a dozen calls; for the one short write of a message that
 * costs more than the copy into the system. While one of these is under way (over TLS each is, to the end of the turn)
 * what the stream has to write or to end waits. Where node:net's handles are not as they are known, sockets write as
 * ever.
 * Invariants: a handle has one write at a time; bytes go out in the order in which they were written; a write that
 * failed is the socket's error, unless `passOver` says that it is to be passed over.
 */
import type { Socket } from "node:net";
import { getSystemErrorName } from "node:util";

/** Of the system, as node:net's handles have them. */
interface Handle {
  writeLatin1String?(request: WriteRequest, text: string): number;
  writeBuffer?(request: WriteRequest, bytes: Uint8Array): number;
}

/** What a handle needs for one write, and may be used for the next. */
interface WriteRequest {
  oncomplete: (status: number) => void;
  /** Kept until it is written. */
  buffer: Uint8Array | undefined;
}

interface Binding {
  readonly WriteWrap: new () => WriteRequest;
  /** Of the last write. */
  readonly streamBaseState: Readonly<Record<number, number>>;
  readonly kLastWriteWasAsync: number;
}

type WriteCallback = (error?: Error | null) => void;

function findBinding(): Binding | undefined {
  try {
    const found = (process as unknown as { binding(name: string): Partial<Binding> }).binding("stream_wrap");
    const isKnown = found.WriteWrap !== undefined && found.streamBaseState !== undefined;
    return isKnown && found.kLastWriteWasAsync !== undefined ? (found as Binding) : undefined;
  } catch {
    return undefined; // A Node that has none, or does not give it away.
  }
}

const binding = findBinding();

export class DirectWrites {
  readonly #socket: Socket & { readonly _handle?: Handle | null };
  readonly #passOver: (error: Error) => boolean;
  /** Made for the first write. */
  #request: WriteRequest | undefined;
  #isBusy = false;
  /** What the stream does behind it. */
  #next: (() => void) | undefined;

  constructor(socket: Socket, passOver: (error: Error) => boolean) {
    this.#socket = socket;
    this.#passOver = passOver;
  }

  /** A write is under way. Of one over TCP the bytes are still looked at; TLS has its own copy. */
  get isBusy(): boolean {
    return this.#isBusy;
  }

  /** False: nothing was written. */
  write(data: string | Buffer): boolean {
    const socket = this.#socket;
    const { _handle: handle } = socket;
    if (binding === undefined || this.#isBusy || handle?.writeBuffer === undefined || socket.connecting) return false;
    if (socket.writableLength > 0 || socket.writableCorked > 0 || !socket.writable) return false;
    const request = (this.#request ??= this.#begin(binding));
    // It may be done, or have failed, before the call is back.
    this.#isBusy = true;
    const isText = typeof data === "string";
    const status = isText ? handle.writeLatin1String!(request, data) : handle.writeBuffer(request, data);
    if (status === 0 && binding.streamBaseState[binding.kLastWriteWasAsync] !== 0) {
      if (!isText && this.#isBusy) request.buffer = data;
      return true;
    }
    this.#isBusy = false;
    // The stream's own write meets the error again, and tells it.
    return status === 0;
  }

  #begin({ WriteWrap }: Binding): WriteRequest {
    const socket = this.#socket;
    const write = socket._write.bind(socket);
    const writev = socket._writev?.bind(socket);
    const final = socket._final.bind(socket);
    socket._write = (chunk, encoding, callback: WriteCallback) => {
      if (this.#isBusy) this.#next = () => write(chunk, encoding, callback);
      else write(chunk, encoding, callback);
    };
    if (writev !== undefined)
      socket._writev = (chunks, callback: WriteCallback) => {
        if (this.#isBusy) this.#next = () => writev(chunks, callback);
        else writev(chunks, callback);
      };
    socket._final = (callback: WriteCallback) => {
      if (this.#isBusy) this.#next = () => final(callback);
      else final(callback);
    };
    const request = new WriteWrap();
    request.buffer = undefined;
    request.oncomplete = (status) => this.#onDone(request, status);
    return request;
  }

  #onDone(request: WriteRequest, status: number): void {
    this.#isBusy = false;
    request.buffer = undefined;
    const next = this.#next;
    this.#next = undefined;
    if (status < 0 && !this.#socket.destroyed) {
      const error = writeError(status);
      if (!this.#passOver(error)) return void this.#socket.destroy(error);
    }
    next?.();
  }
}

function writeError(status: number): Error {
  const code = getSystemErrorName(status);
  return Object.assign(new Error(`write ${code}`), { code, errno: status, syscall: "write" });
}
