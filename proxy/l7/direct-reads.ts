/**
 * Lets a socket that a server accepted, or that speaks TLS, read into memory of ours, as `net.connect({ onread })` lets
 * one that we made.
 *
 *   downstream.ts, upstream.ts ─▶ readInto(socket, onread)
 *
 * node:net gives such sockets no such option, and what it does instead (64 KiB of memory, a chunk through a stream, a
 * tick to ask for more) is a sixth of our share of a short request. So the option's fields, which are no public part of
 * node:net, are set later, the way its constructor sets them. Where they are not there (another Node, tests' streams) a
 * socket reads as ever, by "data". Invariant: what was read before is not passed over: then, too, it reads as ever.
 */
import { Socket } from "node:net";
import { streamBinding } from "./stream-binding.ts";

/** node:net's OnReadOpts, with memory that may be another one for each read. */
export interface Reads {
  readonly buffer: () => Uint8Array;
  /** Reading goes on always. */
  readonly callback: (bytes: number) => true;
  /**
   * For the next read; undefined: the same, which then is not looked up and set again. Whoever gives it keeps it until
   * there is another one: the handle has nothing but its address.
   */
  readonly next: () => Uint8Array | undefined;
}

/** What node:net's handles have, and do not say. */
interface Handle {
  useUserBuffer?(buffer: Uint8Array): void;
  /** Told of each read; what it returns is read into next. */
  onread?: (this: Handle, memory: ArrayBuffer | undefined) => Uint8Array | undefined;
}

type Fields = Record<symbol, unknown> & { _handle?: Handle | null };

const symbols: readonly symbol[] = Object.getOwnPropertySymbols(new Socket());
const [buffer, callback, generator] = ["kBuffer", "kBufferCb", "kBufferGen"].map((name) =>
  symbols.find(({ description }) => description === name),
);

/** From now on reads go to `onread`, if they can. True: they do. */
export function readInto(socket: Socket, onread: Reads): boolean {
  const fields = socket as unknown as Fields;
  const { _handle: handle } = fields;
  if (buffer === undefined || callback === undefined || generator === undefined) return false;
  // Where it was made with the option, that one stays.
  if (fields[buffer] !== null) {
    if (fields[callback] !== onread.callback) return false;
    fields[generator] = onread.next;
    if (handle) tellDirectly(handle, onread);
    return false;
  }
  if (handle?.useUserBuffer === undefined) return false;
  if (socket.destroyed || socket.readableLength > 0 || socket.readableEnded) return false;
  const first = onread.buffer();
  fields[generator] = onread.next;
  fields[callback] = onread.callback;
  fields[buffer] = first;
  handle.useUserBuffer(first);
  tellDirectly(handle, onread);
  return true;
}

/**
 * Reads are told by the handle itself: node:net's function in between looks for the stream and a timeout of its own,
 * which our sockets do not have. What is no read (an end, an error) goes there as ever. A handle that is closed tells
 * of no more.
 */
function tellDirectly(handle: Handle, { callback: tell, next }: Reads): void {
  const { onread: usual } = handle;
  if (streamBinding === undefined || typeof usual !== "function") return;
  const { streamBaseState: state, kReadBytesOrError: at } = streamBinding;
  handle.onread = function (memory) {
    const bytes = state[at]!;
    if (bytes <= 0) return usual.call(this, memory);
    tell(bytes);
    return next();
  };
}
