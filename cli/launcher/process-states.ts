/**
 * What the launcher says of the processes that it runs, as a file beside its record, for whoever asks from outside.
 *
 *   supervisor.ts (changes) ─▶ writeProcessStates ─▶ processes.json ─▶ readProcessStates ─▶ wherry status, wherry check
 *
 * Invariant: a reader sees a whole file or none; a launcher that cannot write runs on.
 */
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** One process of the cluster. */
export interface ProcessState {
  /** `control`, `agent-node1`, `sidecars-node1` */
  readonly name: string;
  /** `waiting`: it ended and is started again after the back-off. */
  readonly state: "starting" | "ready" | "waiting";
  /** Since when it is in this state, RFC 3339. */
  readonly since: string;
  /** Times it ended and was started again. */
  readonly restarts: number;
  /** Exit code or signal of its last end. */
  readonly lastEnd?: string;
}

const fileOf = (stateDir: string): string => join(stateDir, "processes.json");

/** Replaces the file. Throws what the file system says. */
export function writeProcessStates(stateDir: string, states: readonly ProcessState[]): void {
  const draft = `${fileOf(stateDir)}.new`;
  writeFileSync(draft, JSON.stringify(states), { mode: 0o600 });
  renameSync(draft, fileOf(stateDir));
}

/** The states that were written last; empty when there are none that can be read. */
export function readProcessStates(stateDir: string): readonly ProcessState[] {
  try {
    return JSON.parse(readFileSync(fileOf(stateDir), "utf8")) as ProcessState[];
  } catch {
    return []; // Absent, or of a launcher that could not write it: nothing is known, which is what is said.
  }
}
