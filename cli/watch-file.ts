/**
 * Tells of each change of a file, whether it or its folder is there yet or not.
 *
 *   fs.watch (the file's folder, else the nearest one above that is there) ─▶ watchFile() ─▶ onChange
 *
 * A folder is watched and not the file: editors and config maps put a new file, or another link, in its place. Promised
 * is one call at least after a change of a file that is there; not that there was a change at each call.
 */
import { type FSWatcher, existsSync, statSync, watch } from "node:fs";
import { basename, dirname } from "node:path";

/** Watches until the function that comes back is called. Throws what fs.watch throws where it cannot watch at all. */
export function watchFile(file: string, onChange: () => void): () => void {
  let watcher: FSWatcher | undefined;
  let watched = "";
  let isClosed = false;
  /** Watches the folder, or what is nearest to it, from here on. False: it is watched already. */
  const aim = (): boolean => {
    const { path, key } = nearestFolder(dirname(file));
    if (isClosed || watched === key) return false;
    watcher?.close();
    watcher = watch(path, { persistent: false }, (_event, name) => onEvent(name));
    watched = key;
    watcher.on("error", () => {
      watched = "";
      onEvent(null);
    });
    // One may have come between the look and the watch.
    aim();
    return true;
  };
  const onEvent = (name: string | null): void => {
    if (isClosed) return;
    const isOfFile = name === null || name === basename(file) || name === "..data";
    // A folder that comes, or takes the place of another one, may have the file in it.
    if (aim() || isOfFile) if (existsSync(file)) onChange();
  };
  aim();
  return () => {
    isClosed = true;
    watcher?.close();
  };
}

/** `folder`, else the nearest above it; `key` tells folders of one name apart. */
function nearestFolder(folder: string): { readonly path: string; readonly key: string } {
  for (let path = folder; ; path = dirname(path)) {
    const found = statSync(path, { throwIfNoEntry: false, bigint: true });
    // A new folder may be given the inode of the one before.
    const key = `${path} ${found?.ino} ${found?.birthtimeNs}`;
    if (found?.isDirectory() === true || dirname(path) === path) return { path, key };
  }
}
