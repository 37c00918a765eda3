/** The SQLite store against the contract of stores, and what is its own: files that cannot be opened. */
import assert from "node:assert/strict";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { openSqliteStore } from "../../../control/store/sqlite.ts";
import { type Store, StoreError } from "../../../control/store/store.ts";
import { testStore } from "./suite.ts";

testStore("sqlite", () => {
  const directories: string[] = [];
  const paths = new Map<Store, string>();
  const openAt = (directory: string): Store => {
    const path = join(directory, "store.db");
    const store = openSqliteStore({ path });
    paths.set(store, directory);
    return store;
  };
  const makeDirectory = async (): Promise<string> => {
    const directory = await mkdtemp(join(tmpdir(), "wherry-store-"));
    directories.push(directory);
    return directory;
  };
  return {
    open: async () => openAt(await makeDirectory()),
    reopen: async (store, isAbrupt) => {
      const directory = paths.get(store) ?? "";
      if (isAbrupt) {
        // The files as a killed process leaves them: the log of writes not yet folded into the database.
        const copy = await makeDirectory();
        await cp(directory, copy, { recursive: true });
        await store.close();
        return openAt(copy);
      }
      await store.close();
      return openAt(directory);
    },
    clean: async () => {
      for (const directory of directories) await rm(directory, { recursive: true, force: true });
    },
  };
});

async function withDirectory(body: (directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "wherry-store-"));
  try {
    await body(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function openCode(path: string): string | undefined {
  try {
    void openSqliteStore({ path }).close();
    return undefined;
  } catch (error) {
    assert.ok(error instanceof StoreError);
    assert.match(error.message, /^Cannot open store .*: .+ .+$/);
    return error.code;
  }
}

test("openSqliteStore() says why a file cannot be opened", async () => {
  await withDirectory(async (directory) => {
    await writeFile(join(directory, "text.db"), "This is not a database. ".repeat(100));
    assert.equal(openCode(join(directory, "text.db")), "Corrupt");
    assert.equal(openCode(join(directory, "none", "x.db")), "Unopenable");
    const foreign = new DatabaseSync(join(directory, "foreign.db"));
    foreign.exec("CREATE TABLE other (id INTEGER)");
    foreign.close();
    const before = await readFile(join(directory, "foreign.db"));
    assert.equal(openCode(join(directory, "foreign.db")), "UnknownFormat");
    assert.deepEqual(await readFile(join(directory, "foreign.db")), before);
  });
});

test("openSqliteStore() refuses a file that another server has open", async () => {
  await withDirectory(async (directory) => {
    const path = join(directory, "store.db");
    const store = openSqliteStore({ path });
    try {
      assert.equal(openCode(path), "Locked");
    } finally {
      await store.close();
    }
    assert.equal(openCode(path), undefined);
  });
});

test("openSqliteStore() refuses writes beyond its bound with Busy", async () => {
  const store = openSqliteStore({ path: ":memory:", waitingMax: 2 });
  try {
    const results = await Promise.allSettled(["/a", "/b", "/c"].map((key) => store.put(key, "1", 0)));
    assert.deepEqual(
      results.map((result) => result.status),
      ["fulfilled", "fulfilled", "rejected"],
    );
  } finally {
    await store.close();
  }
});
