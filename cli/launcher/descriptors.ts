/**
 * The descriptor store: sockets that processes asked the launcher to keep, handed to their successors at start
 * (the idea of systemd's file descriptor store).
 *
 * Invariant: a kept socket is open here until it is dropped, so connections to it wait in the kernel while the process
 * that serves it is restarted.
 */
import { closeSync } from "node:fs";

/** Sockets one process may keep. A pod needs four, a node has at most 250 pods. */
const keptMax = 2048;

export class DescriptorStore {
  readonly #descriptors = new Map<string, number>();

  /** Takes ownership of `fd` under `name`; a former one of that name is closed. */
  keep(name: string, fd: number): void {
    if (this.#descriptors.size >= keptMax && !this.#descriptors.has(name)) {
      closeSync(fd);
      return;
    }
    this.drop(name);
    this.#descriptors.set(name, fd);
  }

  drop(name: string): void {
    const fd = this.#descriptors.get(name);
    if (fd === undefined) return;
    this.#descriptors.delete(name);
    closeSync(fd);
  }

  /** Drops every name that starts with `prefix`. */
  dropAll(prefix: string): void {
    for (const name of this.#descriptors.keys()) if (name.startsWith(prefix)) this.drop(name);
  }

  /** Names and descriptors, in the order in which a new process inherits them. */
  entries(): [name: string, fd: number][] {
    return [...this.#descriptors];
  }
}
