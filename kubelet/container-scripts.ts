/**
 * The shell scripts that stand between the kubelet and a container's program, from the outside in; process-runtime.ts
 * runs them.
 *
 *   keepExit ─▶ firstChildInside ─▶ start.sh (the root file system) ─▶ init ─▶ the program
 *
 * Invariant: nothing of a container runs that is not on disk as running, and its end is on disk whoever lives then.
 */

/**
 * Pid 1 of a container: starts the program, passes TERM on, reaps, and ends with the program's status. The trap comes
 * first: a TERM between the start and the trap would be lost, for pid 1 ignores what it has no handler for. What the
 * shell says itself of a program that was killed is no part of the container's log.
 */
export const init: string = [
  `trap 't=1; [ -z "$c" ] || kill -TERM $c 2>/dev/null' TERM`,
  `run "$@" & c=$!; exec 2>/dev/null; [ -z "$t" ] || kill -TERM $c`,
  `while :; do wait $c; r=$?; kill -0 $c 2>/dev/null || exit $r; done`,
].join("\n");

/**
 * Keeps the exit code of what follows in the file `exit` of the folder $0. It first waits for the word that the
 * container's record is on disk: else a kubelet that is killed in between would leave a container that nobody knows of,
 * and its successor would start a second one. The kubelet's end ends the wait; a record that is there by then
 * tells of nothing and goes.
 */
export const keepExit: string = [
  `read -r go || { grep -qs "\\"pid\\":$$," "$0/state.json" && rm "$0/state.json"; exit 1; }`,
  `exec </dev/null`,
  `"$@"; r=$?; echo "$r $(date +%s%3N)" >"$0/exit.new"; mv "$0/exit.new" "$0/exit"`,
].join("\n");

/**
 * Starts what follows as pid 1 of the namespaces just made, and ends with its status. Instead of `unshare --fork`,
 * which reports a KILL as exit code 1. Before that it enters the container's control group, whose list of processes
 * is $0.
 * The shell's own word on that goes nowhere, for standard error is the container's log:
 * pid 1 takes it back from descriptor 3.
 */
export const firstChildInside: string = `exec 3>&2 2>/dev/null; case $0 in /*) echo 0 >"$0" ;; esac; "$@"; exit $?`;

/** Runs what follows in the control group whose list of processes is $0, if there is one. */
export const inGroup: string = `case $0 in /*) echo 0 >"$0" ;; esac; exec "$@"`;
