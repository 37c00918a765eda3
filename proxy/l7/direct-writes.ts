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
import { type StreamBinding, streamBinding } from "./stream-binding.ts";

/** What node:net's handles have, and do not say. */
interface Handle {
  writeLatin1String?(request: WriteRequest, text: string): number;
  writeBuffer?(request: WriteRequest, bytes: Uint8Array): number;
}

/** What a handle needs for one write. */
interface WriteRequest {
  /** Called as its method. */
  oncomplete: (status: number) => void;
  /** Kept until it is written. */
  buffer: Uint8Array | undefined;
  owner: DirectWrites;
}

type WriteCallback = (error?: Error | null) => void;

const binding = streamBinding as StreamBinding<WriteRequest> | undefined;

function complete(this: WriteRequest, status: number): void {
  this.owner.onDone(this, status);
}

/** Of one socket. */
export class DirectWrites {
  readonly #socket: Socket & { readonly _handle?: Handle | null };
  readonly #passOver: (error: Error) => boolean;
  /** One that no handle has. */
  #request: WriteRequest | undefined;
  /** The one that was done last: its handle may have it still, until another one is done. */
  #last: WriteRequest | undefined;
  #isGated = false;
  #isBusy = false;
  #hasFailed = false;
  /** What the stream does behind it. */
  #next: (() => void) | undefined;

  /** `passOver` is told of an error in writing once; true: it is not the socket's. */
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
    if (binding === undefined || this.#isBusy || this.#hasFailed || !socket.writable || socket.connecting) return false;
    if (socket.writableLength > 0 || socket.writableCorked > 0) return false;
    if (handle?.writeBuffer === undefined || handle.writeLatin1String === undefined) return false;
    if (!this.#isGated) this.#gate();
    const request = this.#request ?? this.#newRequest(binding);
    // It may be done, or have failed, before the call is back.
    this.#isBusy = true;
    this.#request = undefined;
    const isText = typeof data === "string";
    const status = isText ? handle.writeLatin1String(request, data) : handle.writeBuffer(request, data);
    if (status !== 0) this.onDone(request, status);
    else if (binding.streamBaseState[binding.kLastWriteWasAsync] === 0) {
      this.#isBusy = false;
      this.#request = request;
    } else if (!isText && this.#isBusy) request.buffer = data;
    return true;
  }

  /** The handle still has `request` until this is back, and for what it brings about: another write has another one. */
  onDone(request: WriteRequest, status: number): void {
    this.#isBusy = false;
    request.buffer = undefined;
    this.#request = this.#last;
    this.#last = request;
    const next = this.#next;
    this.#next = undefined;
    if (status < 0 && !this.#socket.destroyed) {
      this.#hasFailed = true;
      const error = writeError(status);
      if (!this.#passOver(error)) this.#socket.destroy(error);
    }
    // One of a socket that is gone is told so.
    next?.();
  }

  /** From now on the stream waits for what is under way here. */
  #gate(): void {
    this.#isGated = true;
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
  }

  #newRequest({ WriteWrap }: StreamBinding<WriteRequest>): WriteRequest {
    const request = new WriteWrap();
    request.oncomplete = complete;
    request.buffer = undefined;
    request.owner = this;
    return request;
  }
}

function writeError(status: number): Error {
  const code = getSystemErrorName(status);
  return Object.assign(new Error(`write ${code}`), { code, errno: status, syscall: "write" });
}
