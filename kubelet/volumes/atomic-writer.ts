/**
 * A volume's files, replaced all at once: a reader sees the old ones or the new ones, never some of each.
 *
 *   volume/..2026_01_01_00_00_00.42/a/b    the files
 *   volume/..data ─▶ ..2026_01_01_00_00_00.42, swapped by rename(2)
 *   volume/a ─▶ ..data/a    what the container sees
 *
 * Follows: k8s.io/kubernetes pkg/volume/util/atomic_writer.go, on whose layout programs that watch `..data` rely.
 */
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";

export interface ProjectedFile {
  /** Relative, inside the volume. */
  readonly path: string;
  readonly bytes: Buffer;
  readonly mode: number;
}

/** Makes `dir` hold `files`. Returns whether anything had to be written. */
export function writeVolume(dir: string, files: readonly ProjectedFile[], nowMs: number): boolean {
  mkdirSync(dir, { recursive: true });
  const before = currentFolder(dir);
  const wanted = new Map(files.map((file) => [file.path, file]));
  if (before !== undefined && isSame(join(dir, before), wanted)) return false;
  const next = freshName(dir, nowMs);
  mkdirSync(join(dir, next), { mode: 0o755 });
  for (const file of wanted.values()) writeFile(join(dir, next), file);
  symlinkSync(next, join(dir, "..data_tmp"));
  renameSync(join(dir, "..data_tmp"), join(dir, "..data"));
  linkTops(dir, new Set([...wanted.keys()].map(topOf)));
  if (before !== undefined) rmSync(join(dir, before), { recursive: true, force: true });
  return true;
}

function writeFile(folder: string, { path, bytes, mode }: ProjectedFile): void {
  const file = join(folder, path);
  mkdirSync(dirname(file), { recursive: true, mode: 0o755 });
  // Never open to more than it is meant for, not for a moment.
  writeFileSync(file, bytes, { mode: mode & 0o600, flag: "w" });
  chmodSync(file, mode); // Exactly, whatever the umask.
}

/** The folder that `..data` names; what an interrupted write left is removed. */
function currentFolder(dir: string): string | undefined {
  rmSync(join(dir, "..data_tmp"), { force: true });
  try {
    return readlinkSync(join(dir, "..data"));
  } catch {
    return undefined; // The first write.
  }
}

function freshName(dir: string, nowMs: number): string {
  const stamp = new Date(nowMs).toISOString().slice(0, 19).replaceAll(/[-:T]/g, "_");
  for (let count = 0; ; count += 1) {
    const name = `..${stamp}.${count}`;
    if (lstatSync(join(dir, name), { throwIfNoEntry: false }) === undefined) return name;
  }
}

/** Links for the first part of each path; links of files that are no longer there go. */
function linkTops(dir: string, tops: ReadonlySet<string>): void {
  for (const name of readdirSync(dir)) {
    if (!name.startsWith("..") && !tops.has(name)) rmSync(join(dir, name), { recursive: true, force: true });
  }
  for (const top of tops) {
    if (lstatSync(join(dir, top), { throwIfNoEntry: false }) !== undefined) continue;
    symlinkSync(join("..data", top), join(dir, top));
  }
}

const topOf = (path: string): string => path.split("/")[0] ?? path;

function isSame(folder: string, wanted: ReadonlyMap<string, ProjectedFile>): boolean {
  const present = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  if (present.length !== wanted.size) return false;
  return [...wanted.values()].every(({ path, bytes, mode }) => {
    const found = lstatSync(join(folder, path), { throwIfNoEntry: false });
    if (found?.isFile() !== true || (found.mode & 0o777) !== mode || found.size !== bytes.length) return false;
    return readFileSync(join(folder, path)).equals(bytes);
  });
}
