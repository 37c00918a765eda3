/**
 * The SQLite file of the store: its tables, its statements, and why it cannot be opened.
 *
 *   sqlite.ts ─▶ openFile() ─▶ a database that is ours, set up and locked, or StoreError
 *
 * Invariant: a file of another application or format is refused before anything is written to it.
 */
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { errnoOf, messageOf } from "#lib/errors.ts";
import { StoreError } from "./store.ts";

/** What an answered write survives: the end of the process, or of the power too. */
export type Durability = "process" | "power";

/** A row of `state`. */
export interface StateRow {
  readonly key: string;
  readonly value: string;
  readonly create_revision: number;
  readonly mod_revision: number;
}

/** A row of `log`. `value` is null for a removal, `previous` for a creation. */
export interface LogRow {
  readonly revision: number;
  readonly key: string;
  readonly value: string | null;
  readonly previous: string | null;
  readonly create_revision: number;
  readonly previous_revision: number;
}

/** "wher": how the file says that it is ours (PRAGMA application_id). */
const applicationId = 0x77_68_65_72;
const formatVersion = 1;

const tables = `
  CREATE TABLE IF NOT EXISTS state (
    key TEXT PRIMARY KEY, value TEXT NOT NULL, create_revision INTEGER NOT NULL, mod_revision INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS log (
    revision INTEGER PRIMARY KEY, key TEXT NOT NULL, value TEXT, previous TEXT,
    create_revision INTEGER NOT NULL, previous_revision INTEGER NOT NULL
  );
  CREATE TABLE IF NOT EXISTS compaction (id INTEGER PRIMARY KEY CHECK (id = 0), revision INTEGER NOT NULL);
  INSERT OR IGNORE INTO compaction VALUES (0, 0);
`;

/** Opens the file, making it when it is not there. Throws StoreError: Corrupt, Locked, Unopenable, UnknownFormat. */
export function openFile(path: string, durability: Durability): DatabaseSync {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path);
    prepareFile(database, path, durability);
    return database;
  } catch (error) {
    database?.close();
    throw error instanceof StoreError ? error : openError(path, error);
  }
}

/** The statements of the store, compiled once. */
export type Statements = Readonly<
  Record<
    "get" | "list" | "put" | "remove" | "append" | "after" | "backwards" | "oldest" | "newest" | "setOldest" | "forget",
    StatementSync
  >
>;

/** Compiles the statements for an open file. */
export function prepareStatements(database: DatabaseSync): Statements {
  return {
    get: database.prepare("SELECT key, value, create_revision, mod_revision FROM state WHERE key = ?"),
    list: database.prepare(
      "SELECT key, value, create_revision, mod_revision FROM state WHERE key >= ? AND key < ? ORDER BY key",
    ),
    put: database.prepare("INSERT OR REPLACE INTO state VALUES (?, ?, ?, ?)"),
    remove: database.prepare("DELETE FROM state WHERE key = ?"),
    append: database.prepare("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?)"),
    after: database.prepare("SELECT * FROM log WHERE revision > ? ORDER BY revision LIMIT ?"),
    backwards: database.prepare("SELECT * FROM log WHERE revision > ? ORDER BY revision DESC"),
    oldest: database.prepare("SELECT revision FROM compaction"),
    newest: database.prepare("SELECT max(revision) AS revision FROM log"),
    setOldest: database.prepare("UPDATE compaction SET revision = ?"),
    forget: database.prepare(
      "DELETE FROM log WHERE revision IN (SELECT revision FROM log WHERE revision <= ? ORDER BY revision LIMIT ?)",
    ),
  };
}

/** Sets the file up, or checks that it is one of ours. */
function prepareFile(database: DatabaseSync, path: string, durability: Durability): void {
  // Exclusive locking comes before the first access, so that no shared memory file is needed.
  database.exec("PRAGMA locking_mode = EXCLUSIVE");
  const { application_id: application } = database.prepare("PRAGMA application_id").get() as { application_id: number };
  const { user_version: version } = database.prepare("PRAGMA user_version").get() as { user_version: number };
  const { count } = database.prepare("SELECT count(*) AS count FROM sqlite_schema").get() as { count: number };
  const isOurs = application === applicationId && version === formatVersion;
  if (count > 0 && !isOurs) {
    const observed = application === applicationId ? `format ${version}` : "a database of another application";
    const wanted = `a Wherry store of format ${formatVersion}`;
    throw new StoreError("UnknownFormat", `Cannot open store ${path}: got ${observed}, wanted ${wanted}`);
  }
  // auto_vacuum must come before the first table.
  database.exec("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL");
  database.exec(`PRAGMA synchronous = ${durability === "power" ? "FULL" : "NORMAL"}`);
  database.exec(`BEGIN IMMEDIATE; ${tables}
    PRAGMA application_id = ${applicationId}; PRAGMA user_version = ${formatVersion}; COMMIT`);
}

function openError(path: string, error: unknown): StoreError {
  const message = messageOf(error);
  const code = /not a database|malformed|corrupt/.test(message)
    ? "Corrupt"
    : /locked|busy/.test(message)
      ? "Locked"
      : "Unopenable";
  const hint = {
    Corrupt: "move the file away to start empty, or restore a copy of it",
    Locked: "is another cluster of this name running?",
    Unopenable: "does its directory exist, and may this user write there?",
  }[code];
  const errno = errnoOf(error);
  const detail = errno === undefined || errno === "ERR_SQLITE_ERROR" ? message : `${errno} ${message}`;
  return new StoreError(code, `Cannot open store ${path}: ${detail} (${hint})`, { cause: error });
}
