/**
 * The launcher's parent: a shell that reaps what the launcher leaves behind when it is killed.
 *
 * Orphans go to pid 1, and not every pid 1 reaps: a container's may never, and what is not reaped holds the cluster's
 * namespaces. So this process becomes the reaper of orphans and turns into a shell of a megabyte. What it may have
 * open, the whole cluster may.
 */
import { join } from "node:path";
import { assert } from "#lib/assert.ts";
import { becomeSubreaper, raiseOpenFiles } from "#lib/process.ts";

/** Open files wanted for each process: a connection through a node and a sidecar takes two of each. */
const openFilesWanted = 65_536;

/**
 * Runs the launcher to its end. One that was killed (status above 128) leaves orphans: the shell then stays until
 * the last of them has ended, at most 10 s, and reaps them while it waits for `sleep`.
 */
const script = [
  '"$@"',
  "r=$?",
  "[ $r -gt 128 ] || exit $r",
  'for i in $(seq 200); do sleep 0.05; c=; read -r c </proc/$$/task/$$/children; [ -n "$c" ] || break; done',
  "exit $r",
].join("\n");

const launcher = [process.execPath, "--disable-warning=ExperimentalWarning", join(import.meta.dirname, "main.ts")];
assert(process.execve !== undefined, "the pinned Node can replace itself by another program");
becomeSubreaper();
// An ordinary user has what there is; the bounds of connections follow from it.
raiseOpenFiles(openFilesWanted);
// Only the three standard descriptors pass: Node marks all others close-on-exec.
process.execve("/bin/dash", ["dash", "-c", script, "wherry-guardian", ...launcher]);
