/**
 * What the kubelet keeps of its pods on disk, so that its successor can adopt them.
 *
 *   /run/wherry/<node>/pods/<uid>/pod.json              the pod's network
 *   /run/wherry/<node>/pods/<uid>/volumes/<name>/       volumes
 *   /run/wherry/<node>/pods/<uid>/containers/<name>/    start.sh, env.json, state.json, exit, out-of-memory, words
 *
 * /run is the cluster's own tmpfs: everything here goes with the cluster.
 */
import { mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** What must be known of a pod's network to adopt or remove it. */
export interface PodRecord {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly podIP: string;
  readonly hasSidecar: boolean;
  /** Network, sidecar and volumes are all there: containers may have been started. Before that nothing is sure. */
  readonly furnished: boolean;
  /** The pod has ended: its network and volumes are gone, what is known of its containers is kept for its status. */
  readonly finished?: boolean;
}

export class PodDirs {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  podDir(uid: string): string {
    return join(this.#root, uid);
  }

  volumeDir(uid: string, volume: string): string {
    return join(this.#root, uid, "volumes", volume);
  }

  containerDir(uid: string, container: string): string {
    return join(this.#root, uid, "containers", container);
  }

  volumesDir(uid: string): string {
    return join(this.#root, uid, "volumes");
  }

  containers(uid: string): string[] {
    return list(join(this.#root, uid, "containers"));
  }

  write(record: PodRecord): void {
    mkdirSync(this.podDir(record.uid), { recursive: true, mode: 0o700 });
    writeWhole(join(this.podDir(record.uid), "pod.json"), JSON.stringify(record));
  }

  read(uid: string): PodRecord | undefined {
    const text = readOptional(join(this.podDir(uid), "pod.json"));
    return text === undefined ? undefined : (JSON.parse(text) as PodRecord);
  }

  /** Every pod that has a record. */
  records(): PodRecord[] {
    return list(this.#root).flatMap((uid) => this.read(uid) ?? []);
  }

  remove(uid: string): void {
    rmSync(this.podDir(uid), { recursive: true, force: true });
  }
}

function list(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch {
    return []; // Nothing there yet.
  }
}

/** Writes a file so that no reader ever sees half of it. */
export function writeWhole(file: string, text: string): void {
  writeFileSync(`${file}.new`, text, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

/** The text of a file, or undefined when there is none. */
export function readOptional(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined; // Not written yet, or already gone.
  }
}
