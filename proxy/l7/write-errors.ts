/**
 * Lets what a peer had sent be read after a write to it failed.
 *
 *   upstream.ts ─▶ readPastWriteErrors(socket, onWriteError)
 *
 * An upstream may answer before it has the whole request, and close (413: RFC 9110 §15.5.14, RFC 9112 §9.5). What is
 * written to it then fails, and node:net destroys a socket whose write failed, together with the answer that waits in
 * the kernel. Here such a write counts as done, what is written later goes nowhere, and the socket is read to its end,
 * which is near: the system has given the connection up. Invariant: a write that succeeds costs one call more.
 *
 * What stays lost is an answer that the system has thrown away: the upstream's, with what it had not sent yet when it
 * closed with bytes unread, or ours, where its reset discards what was received (not so in Linux). It is 503 (UC).
 */
import type { Socket } from "node:net";

/** Of a connection that is over, so that reading it comes to an end. */
const overCodes: ReadonlySet<string | undefined> = new Set(["EPIPE", "ECONNRESET"]);

type WriteCallback = (error?: Error | null) => void;

/**
 * `onWriteError` is called once; false: the socket is destroyed after all. What comes back says of an error in writing
 * past the stream whether it is passed over, too.
 */
export function readPastWriteErrors(socket: Socket, onWriteError: () => boolean): (error: Error) => boolean {
  const write = socket._write.bind(socket);
  const writev = socket._writev?.bind(socket);
  let hasFailed = false;
  let of: WriteCallback | undefined;
  let guard: WriteCallback = () => undefined;
  const passOver = (error: Error): boolean => {
    if (!hasFailed) hasFailed = overCodes.has((error as NodeJS.ErrnoException).code) && onWriteError();
    return hasFailed;
  };
  // A stream gives each of its writes the same callback, so that one is made for all.
  const guarded = (callback: WriteCallback): WriteCallback => {
    if (of === callback) return guard;
    of = callback;
    guard = (error) => callback(error !== undefined && error !== null && !hasFailed && passOver(error) ? null : error);
    return guard;
  };
  socket._write = (chunk, encoding, callback) => (hasFailed ? callback() : write(chunk, encoding, guarded(callback)));
  if (writev !== undefined)
    socket._writev = (chunks, callback) => (hasFailed ? callback() : writev(chunks, guarded(callback)));
  return passOver;
}
