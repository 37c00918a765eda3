/** A file is watched before its folder is there, and after the folder was replaced. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { watchFile } from "./watch-file.ts";

/** Changes that can be waited for. */
class Changes {
  count = 0;
  #wake: (() => void) | undefined;

  readonly add = (): void => {
    this.count++;
    this.#wake?.();
  };

  /** Resolves with the first change that is told of after `step`. */
  async after(step: () => void): Promise<void> {
    const before = this.count;
    step();
    while (this.count === before) await new Promise<void>((resolve) => (this.#wake = resolve));
  }
}

test("watchFile() waits for folders, follows them, and tells of changes", { timeout: 4000 }, async () => {
  const root = mkdtempSync(join(tmpdir(), "wherry-watch-"));
  // fs.watch alone keeps no process alive.
  const alive = setInterval(() => undefined, 1000);
  const changes = new Changes();
  const file = join(root, "a/b/c.ts");
  const close = watchFile(file, changes.add);
  const make = (text: string): void => {
    mkdirSync(join(root, "a/b"), { recursive: true });
    writeFileSync(file, text);
  };
  try {
    await changes.after(() => make("1"));
    await changes.after(() => writeFileSync(file, "2"));
    await changes.after(() => {
      writeFileSync(`${file}.new`, "3");
      renameSync(`${file}.new`, file);
    });
    await changes.after(() => {
      rmSync(join(root, "a"), { recursive: true });
      make("4");
    });
    await changes.after(() => writeFileSync(file, "5"));
  } finally {
    close();
    clearInterval(alive);
    rmSync(root, { recursive: true });
  }
  assert.ok(changes.count >= 5);
});
