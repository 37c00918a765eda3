/**
 * The store on SQLite (node:sqlite): the current state in one table, the history in another.
 *
 *   put(), remove() ─▶ waiting writes ─▶ one transaction a turn of the loop ─▶ state + log ─▶ watchers, promises
 *
 * - Writes that arrive in one turn share a transaction (group commit). WAL with synchronous=NORMAL: a killed process
 *   loses nothing that was answered; a power cut may lose the last commits, never the order or the integrity of the
 *   file. `durability: "power"` asks for a sync at each commit (synchronous=FULL).
 * - LIST and GET never read the log; a list in the past undoes the log backwards from the current state.
 * - The file is locked for the process: a second server on the same file is refused, not interleaved.
 *
 * Invariant: a row of `state` equals the newest put of its key in the order of revisions, and revision = max(log,
 * compacted).
 * Follows: kine (one log table, revision = row id), with the lessons of its issues: current state apart, compaction
 * in small steps.
 */
import type { DatabaseSync } from "node:sqlite";
import { messageOf } from "#lib/errors.ts";
import {
  type Durability,
  type LogRow,
  openFile,
  prepareStatements,
  type StateRow,
  type Statements,
} from "./sqlite-file.ts";
import { type Entry, type Listing, type ListOptions, type Store, StoreError, type StoreEvent } from "./store.ts";
import type { StoreWatch, WatchOptions, WriteResult } from "./store.ts";

export interface SqliteConfig {
  /** A file, made when it is not there, or ":memory:". */
  readonly path: string;
  /** What an answered write survives. Default "process". */
  readonly durability?: Durability;
  /** Most writes that may wait for a transaction; more are refused with Busy. Default 10 000. */
  readonly waitingMax?: number;
}

interface Write {
  readonly key: string;
  /** Undefined: remove. */
  readonly value: string | undefined;
  readonly expectedRevision: number;
  readonly resolve: (result: WriteResult) => void;
  readonly reject: (error: StoreError) => void;
}

/** Rows that a compaction deletes, or a watch reads, in one step. */
const stepRows = 1000;

/** Opens the store, making the file when it is not there. Throws StoreError: Corrupt, Locked, Unopenable, UnknownFormat. */
export function openSqliteStore(config: SqliteConfig): Store {
  return new SqliteStore(openFile(config.path, config.durability ?? "process"), config.waitingMax ?? 10_000);
}

class SqliteStore implements Store {
  readonly #database: DatabaseSync;
  readonly #waitingMax: number;
  readonly #statements: Statements;
  readonly #watches = new Set<WatchOptions>();
  #waiting: Write[] = [];
  #revision: number;
  #oldest: number;
  #isClosed = false;

  constructor(database: DatabaseSync, waitingMax: number) {
    this.#database = database;
    this.#waitingMax = waitingMax;
    this.#statements = prepareStatements(database);
    this.#oldest = (this.#statements.oldest.get() as { revision: number }).revision;
    const newest = this.#statements.newest.get() as { revision: number | null };
    this.#revision = Math.max(newest.revision ?? 0, this.#oldest);
  }

  revision(): Promise<number> {
    return this.#read(() => this.#revision);
  }

  oldestRevision(): Promise<number> {
    return this.#read(() => this.#oldest);
  }

  get(key: string): Promise<Entry | undefined> {
    return this.#read(() => this.#current(key));
  }

  list(prefix: string, options: ListOptions = {}): Promise<Listing> {
    return this.#read(() => {
      const revision = options.revision ?? this.#revision;
      this.#checkRevision(revision);
      const entries = new Map<string, Entry>();
      const [low, high] = prefixRange(prefix);
      for (const row of this.#statements.list.all(low, high) as unknown as StateRow[])
        entries.set(row.key, toEntry(row));
      if (revision === this.#revision) return { revision, entries: [...entries.values()] };
      this.#undo(entries, prefix, revision);
      const sorted = [...entries.values()].sort((a, b) => Buffer.compare(Buffer.from(a.key), Buffer.from(b.key)));
      return { revision, entries: sorted };
    });
  }

  put(key: string, value: string, expectedRevision: number): Promise<WriteResult> {
    return this.#enqueue(key, value, expectedRevision);
  }

  remove(key: string, expectedRevision: number): Promise<WriteResult> {
    return this.#enqueue(key, undefined, expectedRevision);
  }

  watch(options: WatchOptions): Promise<StoreWatch> {
    return this.#read(() => {
      this.#checkRevision(options.after);
      // Reading and joining happen in one turn, so that no write comes between them.
      for (let after = options.after; after < this.#revision;) {
        const rows = this.#statements.after.all(after, stepRows) as unknown as LogRow[];
        const events = rows.map(toEvent).filter((event) => keyOf(event).startsWith(options.prefix));
        if (events.length > 0) options.onEvents(events);
        after = rows.at(-1)?.revision ?? this.#revision;
      }
      this.#watches.add(options);
      return { close: () => void this.#watches.delete(options) };
    });
  }

  async compact(revision: number): Promise<void> {
    await this.#read(() => {
      if (revision > this.#revision) throw futureRevision(revision, this.#revision);
      if (revision <= this.#oldest) return;
      this.#statements.setOldest.run(revision);
      this.#oldest = revision;
    });
    // The rows go in small steps, so that no request waits long. What a crash leaves is deleted by the next compaction.
    for (;;) {
      const { changes } = await this.#read(() => this.#statements.forget.run(this.#oldest, stepRows));
      if (Number(changes) < stepRows) break;
      await new Promise((resolve) => setImmediate(resolve));
    }
    // Gives a few free pages back to the file system each time, instead of a long VACUUM now and then.
    await this.#read(() => this.#database.exec("PRAGMA incremental_vacuum(256)"));
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#flush();
    this.#isClosed = true;
    this.#watches.clear();
    this.#database.close();
    await Promise.resolve();
  }

  #enqueue(key: string, value: string | undefined, expectedRevision: number): Promise<WriteResult> {
    return new Promise((resolve, reject) => {
      if (this.#isClosed) return reject(closedError());
      if (this.#waiting.length >= this.#waitingMax)
        return reject(new StoreError("Busy", `Cannot write ${key}: ${this.#waitingMax} writes wait already`));
      if (this.#waiting.length === 0) setImmediate(() => this.#flush());
      this.#waiting.push({ key, value, expectedRevision, resolve, reject });
    });
  }

  /** Writes all that waits in one transaction, tells the watchers, then answers. */
  #flush(): void {
    const writes = this.#waiting;
    if (writes.length === 0) return;
    this.#waiting = [];
    const events: StoreEvent[] = [];
    let results: WriteResult[];
    try {
      this.#database.exec("BEGIN IMMEDIATE");
      results = writes.map((write) => this.#write(write, this.#revision + events.length + 1, events));
      this.#database.exec("COMMIT");
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
      for (const write of writes)
        write.reject(new StoreError("Failed", `Cannot write ${write.key}: ${messageOf(error)}`, { cause: error }));
      return;
    }
    this.#revision += events.length;
    for (const watch of this.#watches) {
      const wanted = events.filter((event) => keyOf(event).startsWith(watch.prefix));
      if (wanted.length > 0) watch.onEvents(wanted);
    }
    for (const [index, write] of writes.entries()) write.resolve(results[index] as WriteResult);
  }

  /** One write inside the transaction. Adds its event when it is made. */
  #write({ key, value, expectedRevision }: Write, revision: number, events: StoreEvent[]): WriteResult {
    const previous = this.#current(key);
    if ((previous?.modRevision ?? 0) !== expectedRevision) return { kind: "conflict", current: previous };
    const createRevision = previous?.createRevision ?? revision;
    if (value !== undefined) {
      this.#statements.put.run(key, value, createRevision, revision);
      events.push({ type: "put", revision, entry: { key, value, createRevision, modRevision: revision }, previous });
    } else if (previous !== undefined) {
      this.#statements.remove.run(key);
      events.push({ type: "remove", revision, key, previous });
    } else return { kind: "conflict", current: undefined };
    const { append } = this.#statements;
    append.run(revision, key, value ?? null, previous?.value ?? null, createRevision, previous?.modRevision ?? 0);
    return { kind: "written", revision };
  }

  #undo(entries: Map<string, Entry>, prefix: string, revision: number): void {
    for (const row of this.#statements.backwards.iterate(revision) as Iterable<unknown>) {
      const { key, previous, create_revision, previous_revision } = row as LogRow;
      if (!key.startsWith(prefix)) continue;
      if (previous === null) entries.delete(key);
      else entries.set(key, { key, value: previous, createRevision: create_revision, modRevision: previous_revision });
    }
  }

  #current(key: string): Entry | undefined {
    const row = this.#statements.get.get(key) as StateRow | undefined;
    return row === undefined ? undefined : toEntry(row);
  }

  #checkRevision(revision: number): void {
    if (revision < this.#oldest)
      throw new StoreError("Compacted", `Cannot read revision ${revision}: the history begins at ${this.#oldest}`);
    if (revision > this.#revision) throw futureRevision(revision, this.#revision);
  }

  /** Runs a synchronous read as a promise; what SQLite throws becomes a StoreError. */
  #read<T>(action: () => T): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#isClosed) return reject(closedError());
      try {
        resolve(action());
      } catch (error) {
        const failed = new StoreError("Failed", `Cannot read the store: ${messageOf(error)}`, { cause: error });
        reject(error instanceof StoreError ? error : failed);
      }
    });
  }
}

function closedError(): StoreError {
  return new StoreError("Closed", "Cannot use the store: it was closed");
}

function futureRevision(revision: number, newest: number): StoreError {
  return new StoreError("FutureRevision", `Cannot read revision ${revision}: the newest is ${newest}`);
}

function toEntry(row: StateRow): Entry {
  return { key: row.key, value: row.value, createRevision: row.create_revision, modRevision: row.mod_revision };
}

function toEvent(row: LogRow): StoreEvent {
  const { revision, key, value, create_revision: createRevision } = row;
  const previous =
    row.previous === null
      ? undefined
      : { key, value: row.previous, createRevision, modRevision: row.previous_revision };
  if (value !== null)
    return { type: "put", revision, entry: { key, value, createRevision, modRevision: revision }, previous };
  if (previous === undefined) throw new StoreError("Corrupt", `Cannot read revision ${revision}: a removal of nothing`);
  return { type: "remove", revision, key, previous };
}

function keyOf(event: StoreEvent): string {
  return event.type === "put" ? event.entry.key : event.key;
}

/** The keys that start with `prefix` are those from it up to, not including, the second text. */
function prefixRange(prefix: string): [string, string] {
  // U+10FFFF is the last code point, and no key has it.
  return [prefix, `${prefix}\u{10FFFF}`];
}
