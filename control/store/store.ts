/**
 * The contract of a revisioned store. test/contract/store/suite.ts checks every implementation against it.
 *
 *   apiserver (put, remove) ─▶ Store ─▶ watch() ─▶ control/watch (caches)
 *
 * - Revision: each successful write takes the next whole number, one for the entire store. Revisions never repeat,
 *   also not after a reopen. An empty store is at revision 0.
 * - Compare and swap: a write names the revision at which it last saw the key (0: not there). When the key has moved
 *   on, nothing is written and the answer carries what is there.
 * - Durable: a write whose promise resolved survives the end of the process, however it ends. What a power cut may
 *   cost is the implementation's to say.
 * - Watch: events come in revision order (ordered), each once (unique), all of a write or nothing (atomic), and a
 *   watch begun after revision N misses nothing after N (reliable, resumable). An event reaches the watchers no
 *   later than its write's promise resolves, unless a remote store cannot promise that; readers who need it wait for
 *   the revision.
 * - History: kept from `oldestRevision()` on. Older reads fail with the code Compacted.
 */
import { CodedError } from "#lib/errors.ts";

export type StoreErrorCode =
  | "Compacted" // the revision asked for is older than the history
  | "FutureRevision" // the revision asked for was not written yet
  | "Busy" // too many writes wait
  | "Closed" // the store was closed
  | "Corrupt" // the data is not a store, or is damaged
  | "Locked" // another process has the store
  | "Unopenable" // the file or server cannot be reached
  | "UnknownFormat" // written by a newer version, or by something else
  | "Failed"; // reading or writing failed: disk full, input or output error

/** Any expected failure of a store. */
export class StoreError extends CodedError<StoreErrorCode> {}

export interface Entry {
  readonly key: string;
  readonly value: string;
  /** Revision of the write that made the key. */
  readonly createRevision: number;
  /** Revision of the last write to the key. */
  readonly modRevision: number;
}

export type StoreEvent =
  | { readonly type: "put"; readonly revision: number; readonly entry: Entry; readonly previous: Entry | undefined }
  | { readonly type: "remove"; readonly revision: number; readonly key: string; readonly previous: Entry };

/** What became of a write. A conflict carries what is there now; undefined: nothing is. */
export type WriteResult =
  | { readonly kind: "written"; readonly revision: number }
  | { readonly kind: "conflict"; readonly current: Entry | undefined };

export interface ListOptions {
  /** List as of this revision. Default: the newest. */
  readonly revision?: number;
}

export interface Listing {
  /** The state's revision. */
  readonly revision: number;
  /** Sorted by key, by UTF-8 bytes. */
  readonly entries: readonly Entry[];
}

export interface WatchOptions {
  /** Only keys that start with this. */
  readonly prefix: string;
  /** Events after this revision. */
  readonly after: number;
  /** Takes the events at once; must not throw. The store buffers nothing for its watchers. */
  readonly onEvents: (events: readonly StoreEvent[]) => void;
  /** The watch has failed and sends no more. Not called by `close()`. */
  readonly onEnd: (error: StoreError) => void;
}

export interface StoreWatch {
  /** No event is sent afterwards. */
  close(): void;
}

export interface Store {
  /** The newest revision. */
  revision(): Promise<number>;
  /** The oldest revision at which the store can be read and after which it can be watched. */
  oldestRevision(): Promise<number>;
  get(key: string): Promise<Entry | undefined>;
  list(prefix: string, options?: ListOptions): Promise<Listing>;
  /** Writes `value` when the key is at `expectedRevision` (0: it is not there). */
  put(key: string, value: string, expectedRevision: number): Promise<WriteResult>;
  /** Removes the key when it is at `expectedRevision`. */
  remove(key: string, expectedRevision: number): Promise<WriteResult>;
  /** Sends what is known after `options.after`, then what is written. Rejects when that is compacted or in the future. */
  watch(options: WatchOptions): Promise<StoreWatch>;
  /** Forgets history up to `revision`, which becomes the oldest. An older or equal one is no error and changes nothing. */
  compact(revision: number): Promise<void>;
  /** Writes what waits, then closes. Later calls reject with Closed. */
  close(): Promise<void>;
}
