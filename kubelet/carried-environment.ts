/**
 * A container's environment, carried past the programs that set the container up. Pure.
 *
 *   {LD_PRELOAD: x} ─▶ environment WHERRY_ENV_0="LD_PRELOAD=x" ─▶ nsenter, unshare, mount, … (privileged, on the host's
 *     files) ─▶ a shell inside, without privileges ─▶ run PROGRAM: exports LD_PRELOAD=x, executes
 *
 * Invariant: no variable that a pod names means anything to a program outside the container, and nothing of this
 * process's environment but the cluster's mark reaches one inside. Values are in no command line, where others could
 * read them.
 */

/** Where the programs that set containers up are found, whatever a container's own PATH says. */
const systemPath = "/usr/sbin:/usr/bin:/sbin:/bin";

export interface CarriedEnvironment {
  /** The whole environment for the first program outside. */
  readonly env: Readonly<Record<string, string>>;
  /** A shell function: `run PROGRAM ARGUMENT…` becomes the program, with the container's environment. */
  readonly runFunction: string;
}

/** `cluster` marks the cluster's processes. Names that a POSIX shell cannot hold are left out: it drops them. */
export function carryEnvironment(variables: Readonly<Record<string, string>>, cluster: string): CarriedEnvironment {
  const entries = Object.entries(variables).filter(([name]) => /^[A-Za-z_][A-Za-z0-9_]*$/.test(name));
  const carried = entries.map(([name, value], at): [string, string] => [`WHERRY_ENV_${at}`, `${name}=${value}`]);
  const lines = carried.map(([carrier]) => `export "$${carrier}"; unset ${carrier}`);
  return {
    env: { PATH: systemPath, WHERRY_CLUSTER: cluster, ...Object.fromEntries(carried) },
    runFunction: ["run() {", ...lines, 'exec "$@"', "}"].join("\n"),
  };
}
