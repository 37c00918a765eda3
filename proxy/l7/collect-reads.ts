/**
 * Frees what large reads leave behind, before there is much of it.
 *
 *   read-buffers.ts, downstream.ts ─▶ countRead(bytes) ─▶ every 8 MiB: a collection of the young generation
 *
 * Node reads into buffers of 64 KiB outside of the heap, which a collection frees. Beside them a body makes hardly any
 * objects, so that the young generation fills slowly, hundreds of MB wait, and a full collection comes first: it was
 * half the CPU of a 100 KB body. Reads of short messages make enough objects of their own and are not counted.
 */
import { collectGarbage } from "#lib/collect.ts";

/** A read below is a message of its own rather than a part of a body, in bytes. */
const largeMin: number = 16 * 1024;
/** What may wait, in bytes: a collection takes half a millisecond, and this many are read in a few. */
const waitingMax: number = 8 * 1024 * 1024;

let waitingBytes = 0;

/** Told of each read. */
export function countRead(bytes: number): void {
  if (bytes < largeMin) return;
  waitingBytes += bytes;
  if (waitingBytes < waitingMax) return;
  waitingBytes = 0;
  collectGarbage("minor");
}
